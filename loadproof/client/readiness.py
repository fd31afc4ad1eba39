"""Which connections have something to read: one epoll for all of them, itself watched by gevent's loop.

A watcher of gevent's for each connection costs two calls and the loop's bookkeeping a wait, a tenth of a request.
"""

from __future__ import annotations

from functools import lru_cache
from select import EPOLLIN
from typing import TYPE_CHECKING, Any, Final

from gevent import monkey

if TYPE_CHECKING:
    from loadproof.client.connection import Connection

BATCH: Final = 128
"""Connections that are served before the loop looks at anything else."""
_READ: Final = 1
_epoll = monkey.get_original("select", "epoll")


class Readiness:
    """Wakes who reads a connection when something is there, and tells a connection that nobody reads.

    What is there and stays unread would be told again and again: such a connection is watched no more until
    somebody reads it.
    """

    def __init__(self, hub: Any) -> None:
        self._epoll = _epoll()
        self._connections: dict[int, Connection] = {}
        self._watcher = hub.loop.io(self._epoll.fileno(), _READ)
        self._watcher.start(self._tell)

    def watch(self, descriptor: int, connection: Connection) -> None:
        self._connections[descriptor] = connection
        self._epoll.register(descriptor, EPOLLIN)

    def forget(self, descriptor: int) -> None:
        """Before the descriptor is closed: another connection may get its number at once."""
        if self._connections.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _tell(self) -> None:
        connections = self._connections
        for descriptor, _ in self._epoll.poll(0, BATCH):
            connection = connections.get(descriptor)
            if connection is None:
                continue
            reader = connection.reader
            if reader is not None:
                # It comes back here when it waits for something else.
                reader.switch(connection)
            elif connection.is_readable():
                self.forget(descriptor)
                connection.watched = False


@lru_cache(maxsize=8)
def readiness(hub: Any) -> Readiness:
    """The one of this hub."""
    return Readiness(hub)
