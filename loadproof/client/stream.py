"""An answer that is read piece by piece, as `stream=True` asks; its latency ends with its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import Timeout
from greenlet import getcurrent

from loadproof.client.coding import decoded
from loadproof.client.response import Response
from loadproof.errors import RequestError, RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadproof.client.answer import AnswerReader, Head
    from loadproof.client.connection import Connection
    from loadproof.client.request import Request
    from loadproof.client.session import HttpSession


class StreamedResponse(Response):
    """`iter_content` and `iter_lines` give what comes; `content` waits for the rest. RequestError if it breaks off.

    Pieces of a compressed body are given as they are, compressed; `content` is not.
    """

    __slots__ = ("_connection", "_reader", "_session", "_wait_s", "_whole", "on_end")

    def __init__(
        self,
        asked: Request,
        sent: bytes | None,
        head: Head | None,
        latency_us: int,
        history: tuple[Response, ...],
        session: HttpSession,
        connection: Connection,
        reader: AnswerReader,
        wait_ns: int,
    ) -> None:
        self._session = session
        self._connection: Connection | None = connection
        self._reader = reader
        self._wait_s = wait_ns / 1e9
        self._whole: bytes | None = None
        self.on_end: Callable[[StreamedResponse | None, Exception | None], None] | None = None
        """Told once that the answer is whole or left, or what it broke by; without it, that its user was ended."""
        super().__init__(asked, sent, head, None, latency_us, None, history)
        if reader.complete:
            self._end()

    @property
    def content(self) -> bytes | None:
        if self._whole is None:
            self._whole = decoded(b"".join(self._pieces_left()), self.headers)
        return self._whole

    @content.setter
    def content(self, content: bytes | None) -> None:
        self._whole = content

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._connection is None

    @property
    def length(self) -> int:
        return sum(map(len, self._reader.pieces)) if self._whole is None else len(self._whole)

    def iter_content(self, chunk_size: int | None = 1, *, decode_unicode: bool = False) -> Iterator[Any]:
        if self._whole is not None:
            yield from super().iter_content(chunk_size, decode_unicode=decode_unicode)
            return
        rest = b""
        for piece in self._pieces_left():
            rest += piece
            size = chunk_size or len(rest)
            while rest and len(rest) >= size:
                part, rest = rest[:size], rest[size:]
                yield part.decode(self.encoding, "replace") if decode_unicode else part
        if rest:
            yield rest.decode(self.encoding, "replace") if decode_unicode else rest

    def close(self) -> None:
        """Leave the rest of the answer unread."""
        self._leave(None)

    def __del__(self) -> None:
        # A scenario may just drop it. One that was never quite made has no connection.
        if getattr(self, "_connection", None) is not None:
            self._leave(None)

    def _leave(self, error: Exception | None, *, abandoned: bool = False) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._tell(error, abandoned=abandoned)

    def _tell(self, error: Exception | None, *, abandoned: bool = False) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(None if abandoned else self, error)

    def _pieces_left(self) -> Iterator[bytes]:
        try:
            yield from self._read_on()
        except RequestError as error:
            self.error = error
            self._leave(error)
            raise

    def _read_on(self) -> Iterator[bytes]:
        pieces = self._reader.pieces
        while True:
            while pieces:
                yield pieces.pop(0)
            if self._connection is None:
                return
            limit = Timeout(self._wait_s)
            try:
                # Not always who has asked reads on.
                self._connection.use_by(getcurrent())
                with limit:
                    data = self._connection.receive()
            except RequestError:
                raise
            except BaseException as error:
                # The scenario may have a Timeout of its own around this.
                if error is limit:
                    raise RequestTimeoutError("read timeout") from error
                self._leave(None, abandoned=True)
                raise
            if not data:
                self._reader.eof()
                self._leave(None)
            elif self._reader.feed(data):
                self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        if self._reader.keep_alive:
            connection.fresh = False
            self._session.keep(self._asked.origin, connection)
        else:
            connection.close()
        self._tell(None)
