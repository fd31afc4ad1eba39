"""An HTTP/1.1 answer from its bytes: the head by llhttp, the framing of the body by RFC 9112, section 6.3."""

from __future__ import annotations

import re
from typing import Final

import httptools

from loadproof.client.headers import Headers
from loadproof.errors import ConnectionLostError, MalformedAnswerError

HEAD_LIMIT: Final = 256 * 1024
"""Bytes of one head. Servers send a few hundred; whoever sends more than this never ends it."""
REMEMBERED: Final = 512
_END: Final = b"\r\n\r\n"
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_UNTIL_CLOSE: Final = -1
_CHUNKED: Final = -2


class Head:
    """Status line and header fields of one answer, and how its body ends; shared by answers of equal heads."""

    __slots__ = ("headers", "keep_alive", "length", "raw", "reason", "size", "special", "status")

    def __init__(
        self,
        raw: bytes,
        status: int,
        reason: str,
        headers: Headers,
        length: int,
        *,
        keep_alive: bool,
    ) -> None:
        self.raw = raw
        self.size = len(raw)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.length = length
        """Bytes of the body; negative where it ends with the last chunk or the connection."""
        self.keep_alive = keep_alive
        self.special = (
            status >= 300
            or not keep_alive
            or "set-cookie" in headers
            or headers.get("content-encoding", "identity") != "identity"
        )
        """Whether there is more to do than to hand out the body."""


_heads: dict[bytes, Head] = {}
"""Heads of known length by their bytes: equal bytes mean an equal head, and most servers repeat themselves."""


def known_head(data: bytes, size: int) -> Head | None:
    """The head of one whole answer, if it was met before; not for HEAD requests.

    `size` is a guess at the head's size, that of the answer before: a search for its end is what costs most.
    """
    head = _heads.get(data[:size])
    if head is None:
        head = _heads.get(data[: data.find(_END) + 4])
        if head is None:
            return None
    return head if len(data) == head.size + head.length else None


class AnswerReader:
    """Takes the bytes of a connection until one answer is whole; interim answers (1xx) are passed over.

    Raises MalformedAnswerError for bytes that are no HTTP, and no other error but those that `eof` names.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_left",
        "_method",
        "_tail",
        "complete",
        "head",
        "leftover",
        "pieces",
        "received",
    )

    def __init__(self, method: str) -> None:
        self._method = method
        self._buffer = b""
        self._chunks: _Chunks | None = None
        self._left = 0
        self._tail = b""
        self.head: Head | None = None
        self.pieces: list[bytes] = []
        """The body so far, still with its content coding; whoever takes pieces out frees their memory."""
        self.leftover = False
        """Whether bytes followed the answer: nobody asked for them, and the connection cannot be trusted."""
        self.received = 0
        self.complete = False

    @property
    def status(self) -> int:
        """0 before the head is there."""
        return 0 if self.head is None else self.head.status

    @property
    def reason(self) -> str:
        return "" if self.head is None else self.head.reason

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can serve another request."""
        return self.head is not None and self.head.keep_alive and not self.leftover

    @property
    def body_received(self) -> int:
        """Bytes of the body so far, with what frames its chunks."""
        return 0 if self.head is None else max(0, self.received - self.head.size)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def feed(self, data: bytes) -> bool:
        """Take what the connection brought; True when the answer is whole."""
        self.received += len(data)
        if self.head is None:
            data = self._buffer + data if self._buffer else data
            head = self._take_head(data)
            while head is not None and 100 <= head.status < 200 and head.status != 101:
                data = data[len(head.raw) :]
                head = self._take_head(data)
            if head is None:
                self._buffer = data
                return False
            self._buffer = b""
            self.head = head
            self._left = head.length
            data = data[len(head.raw) :]
            if head.length == _CHUNKED:
                self._chunks = _Chunks(self.pieces)
                self._chunks.begin()
        if self._left >= 0:
            self.complete = self._take_known(data)
        elif self._chunks is not None:
            self.complete = self._take_chunks(data)
        elif data:
            self.pieces.append(data)
        return self.complete

    def eof(self) -> None:
        """The connection ended: so does an answer without another end; else ConnectionLostError."""
        if self.head is None:
            where = "in the middle of the head" if self.received else "before any byte of the answer"
            raise ConnectionLostError(f"the connection was closed {where}")
        if self._left != _UNTIL_CLOSE:
            raise ConnectionLostError("the connection was closed in the middle of the body")
        self.complete = True

    def _take_head(self, data: bytes) -> Head | None:
        end = data.find(_END) + 4
        if end == 3:
            if len(data) > HEAD_LIMIT:
                raise MalformedAnswerError(f"the head is larger than {HEAD_LIMIT // 1024} KiB")
            _check_start(data)
            return None
        if end > HEAD_LIMIT:
            raise MalformedAnswerError(f"the head is larger than {HEAD_LIMIT // 1024} KiB")
        raw = data[:end]
        head = _heads.get(raw)
        if head is not None and self._method != "HEAD":
            return head
        return _parse_head(raw, self._method)

    def _take_known(self, data: bytes) -> bool:
        if len(data) > self._left:
            self.leftover = True
            data = data[: self._left]
        if data:
            self.pieces.append(data)
            self._left -= len(data)
        return self._left == 0

    def _take_chunks(self, data: bytes) -> bool:
        chunks = self._chunks
        assert chunks is not None
        # Between messages llhttp skips line ends without a word. A chunked body ends in just two of them.
        self._tail = (self._tail + data)[-5:]
        if chunks.feed(data):
            self.leftover = chunks.more or not self._tail.strip(b"\r\n")
            return True
        return False


class _Chunks:
    """llhttp's callbacks for a chunked body."""

    __slots__ = ("_parser", "_pieces", "_whole", "more")

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._whole = False
        self.more = False
        self._parser = httptools.HttpResponseParser(self)

    def begin(self) -> None:
        # The fields of the real head are read, and mean nothing to the chunks.
        self._parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def feed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # What follows a whole answer may be anything.
            if not self._whole:
                raise MalformedAnswerError(f"the answer is no HTTP: {error}") from error
            self.more = True
        return self._whole

    def on_body(self, data: bytes) -> None:
        if not self._whole:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._whole = True

    def on_message_begin(self) -> None:
        if self._whole:
            self.more = True


class _Fields:
    """llhttp's callbacks for a head."""

    __slots__ = ("complete", "fields", "reason")

    def __init__(self) -> None:
        self.reason = b""
        self.fields: list[tuple[str, str]] = []
        self.complete = False

    def on_status(self, status: bytes) -> None:
        self.reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.complete = True


def _parse_head(raw: bytes, method: str) -> Head:
    # llhttp skips line ends before a status line, and takes a NUL in its reason.
    _check_start(raw)
    if b"\0" in raw:
        raise MalformedAnswerError("the answer is no HTTP: there is a NUL in its head")
    fields = _Fields()
    parser = httptools.HttpResponseParser(fields)
    try:
        parser.feed_data(_unfolded(raw))
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        # llhttp stops behind every 101, and httptools takes that for an error where Connection does not tell of it.
        if not fields.complete or parser.get_status_code() != 101:
            raise MalformedAnswerError(f"the answer is no HTTP: {error}") from error
    if not fields.complete:
        raise MalformedAnswerError("the answer is no HTTP: the head does not end where it says")
    headers = Headers(fields.fields)
    status = parser.get_status_code()
    if status < 100:
        raise MalformedAnswerError(f"the answer is no HTTP: there is no status {status:03}")
    length = _body_length(status, headers, method)
    keep_alive = (
        length != _UNTIL_CLOSE and status != 101 and _asks_to_keep(headers, parser.get_http_version())
    )
    head = Head(raw, status, fields.reason.decode("latin-1"), headers, length, keep_alive=keep_alive)
    if length >= 0 and status >= 200 and method != "HEAD":
        if len(_heads) >= REMEMBERED:
            _heads.clear()
        _heads[raw] = head
    return head


def _unfolded(head: bytes) -> bytes:
    """With each value in one line: RFC 9112, 5.2 has a client take folded ones, which llhttp refuses."""
    start = head.index(b"\r\n") + 2
    return head[:start] + _FOLD.sub(b" ", head[start:])


def _body_length(status: int, headers: Headers, method: str) -> int:
    if method == "HEAD" or status < 200 or status in {204, 304}:
        return 0
    coding = headers.get("transfer-encoding")
    if coding is not None:
        codings = [each.strip().lower() for each in coding.split(",")]
        codings = [each for each in codings if each != "identity"]
        if codings not in ([], ["chunked"]):
            raise MalformedAnswerError("the answer has a transfer coding that nobody asked for")
        return _CHUNKED if codings else _UNTIL_CLOSE
    length = headers.get("content-length")
    # llhttp has refused anything but digits, a second one and one beside a transfer coding.
    return _UNTIL_CLOSE if length is None else int(length)


def _asks_to_keep(headers: Headers, version: str) -> bool:
    """What RFC 9112, 9.3 says. llhttp's word is of no use: it has forgotten the fields of an answer without a body."""
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    return "close" not in options and (version >= "1.1" or "keep-alive" in options)


def _check_start(data: bytes) -> None:
    """Refuse at once what cannot become a status line, so that a stranger's protocol is no time-out."""
    start = data[:5]
    if not b"HTTP/".startswith(start) and not data.startswith(b"HTTP/"):
        raise MalformedAnswerError("the answer is no HTTP: it does not begin with HTTP/")
