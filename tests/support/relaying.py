"""A way between a worker and its master that can be stopped, cut at one end, and led elsewhere."""

import contextlib
from dataclasses import dataclass, field

import gevent
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer

BUFFER_BYTES = 4_096
"""What the kernel may hold for us, so that a stopped way is felt soon."""


@dataclass
class Connection:
    """One connection of a worker and its continuation to the master."""

    worker: socket.socket
    master: socket.socket
    flowing: Event = field(default_factory=Event)
    from_worker: bytearray = field(default_factory=bytearray)

    def carry(self):
        self.flowing.set()
        back = gevent.spawn(self._copy, self.master, self.worker)
        self._copy(self.worker, self.master, self.from_worker)
        back.join()

    def close(self):
        for end in (self.worker, self.master):
            end.close()

    def _copy(self, source, sink, record=None):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if record is not None:
                    record += data
                self.flowing.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class Relay:
    """Listens at `port` and carries to `onward`; what is done to it concerns the connections that it has then."""

    def __init__(self, onward):
        self.onward = onward
        self.connections = []
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self._server = StreamServer(listener, self._accept)
        self._server.start()
        self.port = self._server.server_port

    def stop(self):
        """Carry nothing more, and close nothing: neither end can tell."""
        for connection in self.connections:
            connection.flowing.clear()

    def resume(self):
        for connection in self.connections:
            connection.flowing.set()

    def close_to_worker(self):
        """The worker sees its connection end; to the master it stays half-open."""
        for connection in self.connections:
            connection.flowing.clear()
            connection.worker.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Both see their connection end."""
        for connection in self.connections:
            connection.close()
        self.connections = []

    def close(self):
        self._server.stop()
        self.resume()
        self.cut()

    def _accept(self, worker, _address):
        master = socket.socket()
        master.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        try:
            master.connect(("127.0.0.1", self.onward))
        except OSError:
            worker.close()
            return
        connection = Connection(worker, master)
        self.connections.append(connection)
        connection.carry()
