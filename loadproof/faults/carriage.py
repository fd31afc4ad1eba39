"""One connection of a worker and its continuation to the target, with what is on its way in either direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable

    from loadproof.faults.disturbance import Disturbance

MOST_DELAYED: Final = 4 * 1024 * 1024
"""Bytes that wait for their time in one direction before no more are read."""
MOST_LIMITED: Final = 64 * 1024
"""The same where bandwidth is limited: whoever sends must feel it."""


class Waiting(NamedTuple):
    due_s: float
    came_s: float
    data: bytes
    """Empty for the end."""


class Side(asyncio.Protocol):
    """One of the two sockets; what it receives is carried to `other`."""

    def __init__(self, pair: Pair, *, is_target: bool) -> None:
        self._pair = pair
        self._is_target = is_target
        self._disturbance = pair.disturbance
        self.transport: asyncio.Transport | None = None
        self.other: Side = self
        self._queue: deque[Waiting] = deque()
        """Received here, not yet sent there."""
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        """Nothing more can be sent to this socket for now."""
        self._is_read = False
        """To its end."""
        self.has_ended = False
        """Its end was told to the other."""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # Reading begins only after this call, and could not be paused before it has.
        self._loop.call_soon(self._pair.connected)

    def data_received(self, data: bytes) -> None:
        if self._pair.is_half_open:
            return
        if self._queue or self._is_held or self._disturbance.delays:
            self._delay(data)
        else:
            self.other.send(data)

    def eof_received(self) -> bool:
        self._is_read = True
        now = self._loop.time()
        if self._queue or self._is_held or self._disturbance.close_s or self._disturbance.delays:
            latest = self._queue[-1].due_s if self._queue else now
            self._queue.append(Waiting(max(latest, now + self._end_delay_s()), now, b""))
            self._set_timer()
        else:
            self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.lost(self, is_broken=exc is not None)

    def pause_writing(self) -> None:
        self._full = True
        self.other.regulate()

    def resume_writing(self) -> None:
        self._full = False
        self.other.regulate()

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def regulate(self) -> None:
        """Read on, or do not; send what is due."""
        if self.transport is None or self.transport.is_closing():
            return
        most = MOST_DELAYED if self._disturbance.bytes_per_s is None else MOST_LIMITED
        is_held = self._is_held
        wants = not is_held and not self.other._full and self._queued < most  # noqa: SLF001 of the same pair
        if wants and not self.transport.is_reading() and not self._is_read:
            self.transport.resume_reading()
        elif not wants and self.transport.is_reading():
            self.transport.pause_reading()
        if not is_held:
            self._set_timer()

    def hasten(self) -> None:
        """A fault is over: what waits only for it is due."""
        if self._disturbance.bytes_per_s is None:
            latency_s = self._disturbance.latency_s if self._is_target else 0.0
            self._queue = deque(
                one._replace(
                    due_s=min(
                        one.due_s, one.came_s + latency_s + (0 if one.data else self._disturbance.close_s)
                    )
                )
                for one in self._queue
            )

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        if self.transport is not None and not self.transport.is_closing():
            reset(self.transport.get_extra_info("socket"))
            self.transport.abort()

    def drop(self) -> None:
        """Nothing of what waits is sent any more."""
        self._queue.clear()
        self._queued = 0
        self._full = False

    @property
    def _is_held(self) -> bool:
        return "blackhole" in self._disturbance.kinds or (
            self.other.transport is None and not self._pair.is_half_open
        )

    def _end_delay_s(self) -> float:
        latency_s = self._disturbance.latency_s if self._is_target else 0.0
        return self._disturbance.close_s + latency_s

    def _delay(self, data: bytes) -> None:
        now = self._loop.time()
        latency_s = self._disturbance.draw_latency_s() if self._is_target else 0.0
        size = len(data) if self._disturbance.bytes_per_s is None else self._disturbance.slice_bytes
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            due_s = self._disturbance.passed_s(len(piece), now, from_target=self._is_target) + latency_s
            latest = self._queue[-1].due_s if self._queue else 0.0
            self._queue.append(Waiting(max(latest, due_s), now, piece))
            self._queued += len(piece)
        self._set_timer()
        self.regulate()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue and not self._is_held:
            self._timer = self._loop.call_at(self._queue[0].due_s, self._release)

    def _release(self) -> None:
        self._timer = None
        # The loop's clock may call a little early.
        now = self._loop.time() + 0.0005
        while self._queue and self._queue[0].due_s <= now:
            piece = self._queue.popleft()
            self._queued -= len(piece.data)
            if piece.data:
                self.other.send(piece.data)
            else:
                self._end()
        self._set_timer()
        self.regulate()

    def _end(self) -> None:
        """Tell the other that nothing more comes from here; both have said so: it is over."""
        self.has_ended = True
        transport = self.other.transport
        if self.other.has_ended:
            self._pair.close()
        elif transport is not None and not transport.is_closing():
            transport.write_eof()


class Pair:
    """`gone` is called once when nothing is left of it."""

    def __init__(self, disturbance: Disturbance, gone: Callable[[Pair], None]) -> None:
        self.disturbance = disturbance
        self._gone = gone
        self.is_half_open = False
        self.worker = Side(self, is_target=False)
        self.target = Side(self, is_target=True)
        self.worker.other, self.target.other = self.target, self.worker
        self._is_over = False

    def connected(self) -> None:
        if self._is_over:
            self.reset()
        self.regulate()

    def regulate(self) -> None:
        for side in (self.worker, self.target):
            side.hasten()
            side.regulate()

    def lose_target(self) -> None:
        """The target sees the connection end; to the worker it stands, and swallows what is sent."""
        self.is_half_open = True
        for side in (self.worker, self.target):
            side.drop()
        if self.target.transport is not None:
            self.target.transport.abort()
        self.regulate()

    def reset(self) -> None:
        self._is_over = True
        for side in (self.worker, self.target):
            side.abort()
        self._gone(self)

    def close(self) -> None:
        self._is_over = True
        for side in (self.worker, self.target):
            if side.transport is not None:
                side.transport.close()
        self._gone(self)

    def lost(self, side: Side, *, is_broken: bool) -> None:
        """A socket is gone. One that broke takes the other with it; one that was closed has told its end before."""
        if self._is_over or (self.is_half_open and side is self.target):
            return
        if is_broken or self.is_half_open or not side.has_ended:
            self.reset()


def reset(connection: socket.socket | TransportSocket) -> None:
    """From now on its close is a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
