"""One connection: a non-blocking socket on the hub, with the kernel's stamp of what it received last."""

from __future__ import annotations

import errno
import os
import socket as constants
from _socket import socket as Socket  # noqa: N812 the class that neither ssl nor gevent has wrapped
from functools import lru_cache
from struct import Struct
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from gevent import kill, monkey
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet

from loadproof.errors import ConnectError, ConnectionLostError, RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable

READ: Final = 1
WRITE: Final = 2
RECEIVE_SIZE: Final = 32_768
"""Small enough for malloc to give and take without tidying up its heap each time (glibc does from 64 KiB on)."""
REAP_S: Final = 0.05
"""How often deadlines are looked at, and so how late a time-out may come."""
SOON_NS: Final = 1_000_000
"""A connection that was quiet for longer than this is looked at before any request goes out on it."""
_SO_TIMESTAMPNS: Final = 35
"""asm-generic/socket.h of Linux; the standard library does not name it."""
_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""in.h of Linux: the port is chosen at connect, so that one is free again for every other destination."""
_TIMESPEC: Final = Struct("qq")
_CONTROL_SIZE: Final = constants.CMSG_SPACE(_TIMESPEC.size)
_poll = monkey.get_original("select", "poll")()


class Connection:
    """Bytes out, bytes in. Every wait ends at `deadline_ns` by RequestTimeoutError, if `watch` knows the connection.

    `send` and `receive` raise ConnectionLostError when the connection is broken.
    """

    __slots__ = (
        "_give_way",
        "_hub",
        "_socket",
        "_watcher",
        "address",
        "deadline_ns",
        "doing",
        "fresh",
        "idle_since_ns",
        "last_ns",
        "patience_ns",
        "stamp_ns",
        "waiter",
        "wake",
    )

    def __init__(self) -> None:
        self._hub = get_hub()
        self._give_way = _switch_to(self._hub)
        self._socket: Any = None
        self._watcher: Any = None
        self.address: Any = None
        self.waiter: Any = None
        """The greenlet whose request uses the connection, or used it last."""
        self.wake: Any = None
        """Its `switch`, kept because to look it up costs as much as a clock."""
        self.deadline_ns = 0
        """On CLOCK_MONOTONIC."""
        self.patience_ns = 0
        """How long each part of a large body may take; 0 where `deadline_ns` stands."""
        self.last_ns = 0
        """The deadline that nothing moves, where there is patience."""
        self.doing = "connect"
        self.fresh = True
        """No request has been answered on it."""
        self.idle_since_ns = 0
        self.stamp_ns = 0
        """When the kernel received the last bytes that `receive` gave, on CLOCK_REALTIME; 0 if it did not say."""

    def use_by(self, greenlet: Any) -> None:
        """Wake this greenlet when something comes; RuntimeError for what could never be woken, or timed out."""
        hub = get_hub()
        if greenlet is hub or not hub.loop.default:
            raise RuntimeError(
                "a callback of the event loop or another thread makes a request: make it in a greenlet of the "
                "main thread, as `gevent.spawn` gives"
            )
        self.waiter = greenlet
        self.wake = greenlet.switch

    def open(self, addresses: Iterable[tuple[Any, Any]], source: str | None) -> None:
        """Connect to the first of (family, address) that takes us; ConnectError when none does."""
        problem: OSError | None = None
        for family, address in addresses:
            self.close()
            try:
                self._connect(Socket(family, constants.SOCK_STREAM), address, source)
            except OSError as error:
                if isinstance(error, RequestTimeoutError):
                    raise
                problem = error
                continue
            self.address = address
            self._watcher = self._hub.loop.io(self._socket.fileno(), READ)
            return
        self.close()
        reason = "no address" if problem is None else os.strerror(problem.errno or 0)
        raise ConnectError(f"no connection: {reason}") from problem

    def _connect(self, socket: Socket, address: Any, source: str | None) -> None:
        self._socket = socket
        socket.setblocking(False)
        socket.setsockopt(constants.IPPROTO_TCP, constants.TCP_NODELAY, 1)
        socket.setsockopt(constants.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if source is not None:
            socket.setsockopt(constants.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            socket.bind((source, 0))
        status = socket.connect_ex(address)
        if status == errno.EINPROGRESS:
            self._wait(WRITE)
            status = socket.getsockopt(constants.SOL_SOCKET, constants.SO_ERROR)
        if status:
            raise OSError(status, os.strerror(status))

    def send(self, data: bytes) -> memoryview | None:
        """Send all of it; what is left, when the other end speaks before it is all sent."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _lost(error) from error
        return None if sent == len(data) else self.send_rest(memoryview(data)[sent:])

    def send_rest(self, rest: memoryview) -> memoryview | None:
        """Go on after `send` with what it left; each part that goes out gives the next `patience_ns`."""
        while rest:
            if self._wait(READ | WRITE) & READ:
                return rest
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _lost(error) from error
            if self.patience_ns:
                self.deadline_ns = min(monotonic_ns() + self.patience_ns, self.last_ns)
        return None

    def send_through(self, rest: memoryview) -> None:
        """As `send_rest` to the end, whatever the other end says meanwhile: somebody else listens."""
        while rest:
            self._wait(WRITE)
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise _lost(error) from error

    def receive(self) -> bytes:
        """What came, at least a byte, after waiting for it; empty when the other end has closed.

        It waits before it tries: the answer is never there yet, and a try in vain costs an exception.
        """
        watcher = self._watcher
        watcher.start(self.wake, self)
        give_way = self._give_way
        try:
            while give_way() is not self:
                pass
        finally:
            watcher.stop()
        try:
            data, control, _, _ = self._socket.recvmsg(RECEIVE_SIZE, _CONTROL_SIZE)
        except BlockingIOError:
            again: bytes = self.receive()
            return again
        except OSError as error:
            raise _lost(error) from error
        if control:
            seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
            self.stamp_ns = seconds * 1_000_000_000 + nanoseconds
        else:
            self.stamp_ns = 0
        return data  # type: ignore[no-any-return]

    def receive_once(self) -> bytes | None:
        """As `receive`, but None when what came was no data."""
        return self.receive()

    def is_stale(self) -> bool:
        """Whether something has come that nobody asked for, an end included."""
        descriptor = self._socket.fileno()
        _poll.register(descriptor, READ)
        try:
            return bool(_poll.poll(0))
        finally:
            _poll.unregister(descriptor)

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _wait(self, events: int) -> int:
        """Wait for one of the events on a watcher of its own, and say which came."""
        watcher = self._hub.loop.io(self._socket.fileno(), events)
        happened: list[int] = []
        switch = getcurrent().switch

        def tell(came: int) -> None:
            happened.append(came)
            switch(self)

        watcher.start(tell, pass_events=True)
        try:
            while self._hub.switch() is not self:
                pass
        finally:
            watcher.stop()
            watcher.close()
        return happened[-1]


@lru_cache(maxsize=8)
def _switch_to(hub: Any) -> Any:
    """The switch of greenlet itself: that of gevent asks each greenlet for a hook that none of ours has."""
    return greenlet.switch.__get__(hub)


class Deadlines:
    """Ends the waits of connections whose time is over: one timer for all, none a request."""

    def __init__(self) -> None:
        self.open: dict[Any, int] = {}
        """What waits, among it connections; shared with the recorder, which wants to know the same."""
        self._timer: Any = None

    def start(self) -> None:
        """Begin to watch; once a process, and again after a fork of the hub."""
        loop = get_hub().loop
        if self._timer is None or self._timer.loop is not loop:
            self._timer = loop.timer(REAP_S, REAP_S, ref=False)
            self._timer.start(self._reap)

    def end_all(self) -> None:
        """End every wait by GreenletExit, whosever it is: a scenario's own greenlets outlive its users."""
        for connection in self._waiting():
            if connection.waiter is not None:
                kill(connection.waiter)

    def _waiting(self) -> list[Connection]:
        return [waits for waits in self.open if isinstance(waits, Connection)]

    def _reap(self) -> None:
        now = monotonic_ns()
        late = [connection for connection in self._waiting() if connection.deadline_ns < now]
        for connection in late:
            if connection.waiter is not None and connection.deadline_ns < now:
                connection.waiter.throw(RequestTimeoutError(f"{connection.doing} timeout"))


def _lost(error: OSError) -> ConnectionLostError:
    return ConnectionLostError(f"the connection broke: {os.strerror(error.errno or 0)}")
