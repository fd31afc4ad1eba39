"""An open WebSocket connection: somebody reads it all the time, so that pings are answered while a user thinks."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Final, NamedTuple

import gevent
from gevent import GreenletExit, Timeout
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from websocket import ABNF

from loadproof.client.frames import NO_CODE, FrameReader, Message, close_code, encode
from loadproof.errors import ConnectionLostError, RequestError, RequestTimeoutError

if TYPE_CHECKING:
    from loadproof.client.connection import Connection

BACKLOG: Final = 8 * 1024 * 1024
"""Bytes of messages that may wait unread: more would fill the generator's memory."""
OVERHEAD: Final = 128
"""Bytes that a waiting message takes beside its content."""
CLOSE_S: Final = 5.0
"""How long a server may take to answer our closing frame."""
NORMAL: Final = 1000
"""RFC 6455, 7.4.1: the purpose of the connection is fulfilled."""


class Received(NamedTuple):
    content: str | bytes
    read_ns: int
    """When its last byte was read, on CLOCK_MONOTONIC."""
    stamp_ns: int
    """When the kernel received it, on CLOCK_REALTIME; 0 if it did not say."""


class Channel:
    """Messages both ways until one end closes; any greenlet may send and receive."""

    def __init__(self, connection: Connection, came: bytes, send_s: float) -> None:
        self._connection = connection
        self._pending = came
        self._send_s = send_s
        self._frames = FrameReader(self._take)
        self._message = Message()
        self._inbox: deque[Received] = deque()
        self._waiting = 0
        self._read_ns = monotonic_ns()
        self._news = Event()
        self._sending = BoundedSemaphore(1)
        self._closing = False
        """Whether our closing frame is out."""
        self.ended: RequestError | None = None
        """Why nothing is sent or received any more; None while it is."""
        self.failure: RequestError | None = None
        """The same, unless it was a closing in agreement or the server's own with code 1000."""
        self._reader = gevent.spawn(self._read)
        connection.use_by(self._reader)

    def send(self, opcode: int, content: str | bytes) -> None:
        """ConnectionLostError when the connection is over; RequestTimeoutError, which ends it, if nobody takes it."""
        frame = encode(opcode, content)
        timer = Timeout(self._send_s)
        timer.start()
        begun = False
        try:
            with self._sending:
                if self.ended is not None:
                    raise self.ended
                begun = True
                rest = self._connection.send(frame)
                if rest is not None:
                    self._connection.send_through(rest)
        except ConnectionLostError as error:
            self._end(error)
            raise
        except Timeout as expired:
            late = RequestTimeoutError("send timeout")
            if begun:
                # A part of the frame may be out: nothing else can follow it.
                self._end(late)
            if expired is not timer:
                raise
            raise late from None
        except BaseException:
            if begun:
                self._end(ConnectionLostError("a message was sent in part"))
            raise
        finally:
            timer.close()

    def receive(self, wait_s: float) -> Received:
        """The oldest message unread; RequestTimeoutError if none comes, `ended` if none will."""
        until = monotonic() + wait_s
        while not self._inbox:
            if self.ended is not None:
                raise self.ended
            self._news.clear()
            if not self._news.wait(max(0.0, until - monotonic())) and not self._inbox:
                raise RequestTimeoutError("receive timeout")
        message = self._inbox.popleft()
        self._waiting -= len(message.content) + OVERHEAD
        return message

    def close(self) -> None:
        """Close in agreement with the server, unless it is over already; messages unread are lost."""
        if self.ended is not None:
            return
        self._closing = True
        self._say(ABNF.OPCODE_CLOSE, NORMAL.to_bytes(2, "big"))
        if self.ended is None:
            self._reader.join(CLOSE_S)
        if self.ended is None:
            self._end(RequestTimeoutError("close timeout"))

    def drop(self) -> None:
        """Leave without a word."""
        self.ended = ConnectionLostError("the WebSocket is closed: its `with` block is over")
        self._inbox.clear()
        self._reader.kill()
        self._connection.close()
        self._news.set()

    def _read(self) -> None:
        try:
            while self.ended is None:
                self._take_in(self._frames.read())
        except GreenletExit:
            raise
        except RequestError as error:
            self._end(error)

    def _take_in(self, frame: ABNF) -> None:
        if frame.opcode == ABNF.OPCODE_PING:
            if not self._closing:
                # Beside the reading, which must not wait until a server that waits for it takes a pong.
                gevent.spawn(self._say, ABNF.OPCODE_PONG, frame.data)
        elif frame.opcode == ABNF.OPCODE_CLOSE:
            self._agree(close_code(frame))
        elif frame.opcode != ABNF.OPCODE_PONG:
            content = self._message.add(frame)
            if content is None or self._closing:
                return
            if self._waiting > BACKLOG:
                raise RequestError(f"the scenario leaves more than {BACKLOG >> 20} MiB of messages unread")
            self._waiting += len(content) + OVERHEAD
            self._inbox.append(Received(content, self._read_ns, self._connection.stamp_ns))
            self._news.set()

    def _agree(self, code: int) -> None:
        """Answer the server's closing frame, unless it answers ours."""
        if not self._closing:
            self._closing = True
            # A server that does not wait for it has closed all the same.
            self._say(ABNF.OPCODE_CLOSE, b"" if code == NO_CODE else code.to_bytes(2, "big"))
        said = "no code" if code == NO_CODE else f"code {code}"
        self.ended = ConnectionLostError(f"the server closed the WebSocket with {said}")
        self.failure = None if code in {NORMAL, NO_CODE} else self.ended
        self._news.set()

    def _say(self, opcode: int, content: str | bytes) -> None:
        """Send what nobody waits for; if it cannot be sent, `ended` says so."""
        with suppress(RequestError):
            self.send(opcode, content)

    def _end(self, error: RequestError) -> None:
        if self.ended is None:
            self.ended = self.failure = error
        self._news.set()

    def _take(self, size: int) -> bytes:
        if not self._pending:
            self._pending = self._connection.receive()
            self._read_ns = monotonic_ns()
            if not self._pending:
                raise ConnectionLostError("the server ended the connection without closing the WebSocket")
        piece, self._pending = self._pending[:size], self._pending[size:]
        return piece
