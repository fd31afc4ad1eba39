"""The ZeroMQ sockets between master and workers; the only place that knows of pyzmq.

Locust looks its socket classes up when a runner is made, so ours are put in their place before.
"""

from __future__ import annotations

import zmq
from locust.rpc import zmqrpc

LARGEST_MESSAGE = 8 * 1024 * 1024


class Server(zmqrpc.Server):  # type: ignore[misc]  # Locust's sockets are not typed
    """The master's end."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        _bound(self.socket)


class Client(zmqrpc.Client):  # type: ignore[misc]  # as above
    """A worker's end."""

    def __init__(self, host: str, port: int, identity: str) -> None:
        super().__init__(host, port, identity)
        _bound(self.socket)


def _bound(socket: zmq.Socket[bytes]) -> None:
    # Unsent messages must never keep a process alive: what matters stands in the journal's file.
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6_000)


def use_our_sockets() -> None:
    zmqrpc.Server = Server
    zmqrpc.Client = Client
