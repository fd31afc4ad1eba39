"""Clients of other protocols: XML-RPC, a raw socket, timed blocks, and users that count by themselves."""

import threading
import time
from contextlib import contextmanager
from xmlrpc.client import Fault, ServerProxy
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from gevent import socket
from gevent.server import StreamServer
from locust import User, constant, events, task
from locust.runners import MasterRunner


@events.init.add_listener
def serve(environment, **_rest):
    """The servers that these users talk to, beside them in the worker."""
    if isinstance(environment.runner, MasterRunner):
        return
    calculator = SimpleXMLRPCServer(("127.0.0.1", 0), SimpleXMLRPCRequestHandler, logRequests=False)
    calculator.register_function(lambda a, b: a // b, "divide")
    threading.Thread(target=calculator.serve_forever, daemon=True).start()
    Calculator.port = calculator.server_address[1]

    def echo(connection, _address):
        while line := connection.recv(100):
            connection.sendall(line)

    lines = StreamServer(("127.0.0.1", 0), echo)
    lines.start()
    Lines.port = lines.server_port


class XmlRpcClient(ServerProxy):
    def __init__(self, url, request):
        super().__init__(url)
        self._request = request

    def __getattr__(self, name):
        remote = super().__getattr__(name)

        def timed(*arguments):
            told = {
                "request_type": "xmlrpc",
                "name": name,
                "response_length": 0,
                "context": {},
                "exception": None,
            }
            began = time.perf_counter()
            try:
                told["response"] = remote(*arguments)
            except Fault as fault:
                told["response"], told["exception"] = None, fault
            told["response_time"] = (time.perf_counter() - began) * 1000
            self._request.fire(**told)
            return told["response"]

        return timed


class Calculator(User):
    wait_time = constant(0.05)
    port = 0

    def on_start(self):
        self.client = XmlRpcClient(f"http://127.0.0.1:{self.port}/", self.environment.events.request)

    @task(5)
    def divide(self):
        assert self.client.divide(6, 3) == 2

    @task
    def by_zero(self):
        self.client.divide(6, 0)


class Lines(User):
    wait_time = constant(0.05)
    port = 0

    def on_start(self):
        self.connection = socket.create_connection(("127.0.0.1", self.port))

    @task
    def line(self):
        with self.environment.events.request.measure("tcp", "line") as told:
            self.connection.sendall(b"hello\n")
            told["response_length"] = len(self.connection.recv(100))

    def on_stop(self):
        self.connection.close()


@contextmanager
def stopwatch(name):
    began, error = time.time(), None
    try:
        yield
    except ValueError as raised:
        error = raised
    events.request.fire(
        request_type="block",
        name=name,
        response_time=(time.time() - began) * 1000,
        response_length=0,
        exception=error,
    )


class Worker(User):
    wait_time = constant(0.1)

    @task
    def work(self):
        with stopwatch("work"):
            time.sleep(0.01)

    @task
    def fail(self):
        with stopwatch("failing work"):
            raise ValueError("no")
