"""What a request came to, as scenarios read it."""

from __future__ import annotations

import json as standard_json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from loadproof.client.cookies import Cookies
from loadproof.client.headers import Headers
from loadproof.errors import HttpStatusError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from loadproof.client.answer import Head
    from loadproof.client.request import Request

_NO_HEADERS: Final = Headers()
_decode: Final = msgspec.json.Decoder().decode


class SentRequest:
    """The last request that went out for an answer, to look at."""

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, request: Request, body: bytes | None) -> None:
        self.method = request.method
        self.url = request.url
        self.headers = Headers(tuple(request.fields.items()))
        self.body = body


class Response:
    """An answer, or the lack of one: then `status_code` is 0, `content` None and `error` says why."""

    __slots__ = (
        "_asked",
        "_body",
        "_head",
        "_latency_us",
        "_pieces",
        "_sent",
        "content",
        "error",
        "history",
        "js",
        "status_code",
    )

    def __init__(
        self,
        asked: Request,
        sent: bytes | None,
        head: Head | None,
        content: bytes | None,
        latency_us: int,
        error: Exception | None = None,
        history: tuple[Response, ...] = (),
    ) -> None:
        self._asked = asked
        self._sent = sent
        self._head = head
        self._latency_us = latency_us
        self.status_code = 0 if head is None else head.status
        self.content = content
        """The body without its content coding."""
        self.error = error
        """What went wrong before the answer was whole."""
        self.history = history
        """The answers that sent us on, in order."""
        self.js: Any = None
        """The body that `rest` has parsed."""

    @property
    def ok(self) -> bool:
        """Whether there is an answer, and its status is under 400."""
        return self.error is None and 0 < self.status_code < 400

    def __bool__(self) -> bool:
        return self.ok

    @property
    def length(self) -> int:
        """Bytes of the body that are here."""
        return len(self.content or b"")

    @property
    def reason(self) -> str:
        return "" if self._head is None else self._head.reason

    @property
    def headers(self) -> Headers:
        return _NO_HEADERS if self._head is None else self._head.headers

    @property
    def url(self) -> str:
        """Of the last hop."""
        return self._asked.url

    @property
    def request(self) -> SentRequest:
        return SentRequest(self._asked, self._sent)

    @property
    def elapsed(self) -> timedelta:
        """The latency that is recorded."""
        return timedelta(microseconds=self._latency_us)

    @property
    def encoding(self) -> str:
        """As Content-Type says, else UTF-8."""
        content_type = self.headers.get("content-type", "")
        if "charset" not in content_type.lower():
            return "utf-8"
        return get_encoding_from_headers(CaseInsensitiveDict({"content-type": content_type})) or "utf-8"

    @property
    def text(self) -> str | None:
        """The body as text, with marks for what is none; None when there is no answer."""
        if self.content is None:
            return None
        try:
            return self.content.decode(self.encoding, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body parsed; json.JSONDecodeError, which is a ValueError, when it is no JSON."""
        content = self.content or b""
        try:
            return _decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Takes what is JSON for many servers (NaN, a byte order mark, UTF-16), and words the error as known.
            return standard_json.loads(content)

    @property
    def cookies(self) -> Cookies:
        """What this answer sets."""
        jar = Cookies()
        jar.take(self.url, self.headers)
        return jar

    @property
    def is_redirect(self) -> bool:
        return self.status_code in {301, 302, 303, 307, 308} and "location" in self.headers

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link fields by their relation."""
        from requests.utils import parse_header_links  # noqa: PLC0415 rarely asked for

        parsed = parse_header_links(self.headers.get("link", ""))
        return {link.get("rel") or link["url"]: link for link in parsed}

    def raise_for_status(self) -> None:
        """Raise `error`, or HttpStatusError for a status of 400 and above."""
        if self.error is not None:
            raise self.error
        if self.status_code >= 400:
            raise HttpStatusError(self.status_code)

    def iter_content(self, chunk_size: int | None = 1, *, decode_unicode: bool = False) -> Iterator[Any]:
        """The body in pieces; with `stream=True` as they come from the connection."""
        content = self.content or b""
        size = chunk_size or max(1, len(content))
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            yield piece.decode(self.encoding, "replace") if decode_unicode else piece

    def iter_lines(self, *, decode_unicode: bool = False, delimiter: bytes = b"\n") -> Iterator[Any]:
        """The body's lines without their ends; with `stream=True` as they come."""
        rest = b""
        # Pieces of no set size: a line must not wait for the ones after it.
        for piece in self.iter_content(None):
            *lines, rest = (rest + piece).split(delimiter)
            for line in lines:
                clean = line.removesuffix(b"\r")
                yield clean.decode(self.encoding, "replace") if decode_unicode else clean
        if rest:
            yield rest.decode(self.encoding, "replace") if decode_unicode else rest

    def close(self) -> None:
        """Nothing is left to close but of a stream."""

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>" if self.error is None else f"<Response [{self.error}]>"


class CaughtResponse(Response):
    """The answer of a `with ... catch_response=True` block, which decides what it counts as."""

    __slots__ = ("_answer", "_settle", "_settled", "_verdict", "request_meta")

    def __init__(
        self,
        answer: Response,
        settle: Callable[[CaughtResponse | None, Exception | None], None],
        meta: dict[str, Any],
    ) -> None:
        self._answer = answer
        super().__init__(
            answer._asked,  # noqa: SLF001 a copy of its own kind
            answer._sent,  # noqa: SLF001
            answer._head,  # noqa: SLF001
            None,
            answer._latency_us,  # noqa: SLF001
            None,
            answer.history,
        )
        self._settle = settle
        """Told once what failed the request, if anything did; without the response, that nobody has judged it."""
        self._settled = False
        self._verdict: Exception | bool | None = None
        self.request_meta = meta
        """What Locust's listeners of `events.request` are told; `name` may be changed in the block."""

    @property
    def content(self) -> bytes | None:
        return self._answer.content

    @content.setter
    def content(self, content: bytes | None) -> None:
        """The answer has it, and what is streamed must not be waited for."""

    @property
    def error(self) -> Exception | None:
        return self._answer.error

    @error.setter
    def error(self, error: Exception | None) -> None:
        """The answer has it; a stream may break off later."""

    @property
    def length(self) -> int:
        return self._answer.length

    def iter_content(self, chunk_size: int | None = 1, *, decode_unicode: bool = False) -> Iterator[Any]:
        return self._answer.iter_content(chunk_size, decode_unicode=decode_unicode)

    def close(self) -> None:
        self._answer.close()

    def success(self) -> None:
        """Count the request as ok, whatever its status."""
        self._verdict = True

    def failure(self, reason: str | Exception) -> None:
        """Count the request as failed, with this for a reason."""
        self._verdict = reason if isinstance(reason, Exception) else _Failure(str(reason))

    def __enter__(self) -> Self:
        return self

    def __del__(self) -> None:
        # One that was never quite made has no `_settled`.
        if not getattr(self, "_settled", True):
            self._settled = True
            self._settle(None, _Failure("never judged: catch_response=True needs a `with` block"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is not None and not issubclass(kind, Exception):
            self._finish(None, abandoned=True)
            return False
        if kind is not None and self._verdict is None:
            if issubclass(kind, RequestError) and not self.ok:
                # `raise_for_status` in the block: the failure is the answer's own.
                self._finish(value)  # type: ignore[arg-type]
                return True
            self._finish(_Failure(f"the scenario's `with` block raised {kind.__name__}: {value}"))
            return False
        if isinstance(self._verdict, Exception):
            self._finish(self._verdict)
        elif self._verdict is True or self.ok:
            self._finish(None)
        else:
            self._finish(self.error or HttpStatusError(self.status_code))
        return kind is None

    def _finish(self, failure: Exception | None, *, abandoned: bool = False) -> None:
        if not self._settled:
            self._settled = True
            self._settle(None if abandoned else self, failure)
            self.close()


class _Failure(Exception):  # noqa: N818 its text is a scenario's own
    """A scenario's reason to call an answer failed."""
