"""JSON in and out: reading a request's body, writing an answer, and one form for every error.

An error is {"error": {"code", "message"}, "constitutional_hash"}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

T = TypeVar("T")

BODY_LIMIT: Final = 1_000_000
JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode
_WORDS: Final = {404: "not_found", 405: "method_not_allowed"}


class ErrorReason(msgspec.Struct, frozen=True):
    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The form of every error: the code is for programs and stays, the message is for people and may change."""

    error: ErrorReason
    constitutional_hash: str


class RefusedError(Exception):
    """A request that is not carried out; becomes an error answer with this status."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        super().__init__(message)


def answer(body: object, status: int = 200) -> Response:
    return Response(_encode(body), status, media_type=JSON)


def error_body(code: str, message: str, constitutional_hash: str) -> bytes:
    return _encode(ErrorAnswer(ErrorReason(code, message), constitutional_hash))


async def read_json(request: Request, form: msgspec.json.Decoder[T]) -> T:
    """The body as `form` describes it.

    Raises RefusedError: 413 above BODY_LIMIT bytes, 400 where it is no JSON, 422 where it has another form.
    """
    announced = request.headers.get("content-length")
    if announced is not None and len(announced) <= 20 and int(announced) > BODY_LIMIT:
        raise _too_large()
    body = b""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        body = body + part if body else part
        if len(body) > BODY_LIMIT:
            raise _too_large()
        more = message.get("more_body", False)
    try:
        return form.decode(body)
    except msgspec.ValidationError as error:
        raise RefusedError(422, "invalid_field", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, "malformed_json", f"the body is not JSON: {error}") from None


def read_query(request: Request, form: type[T]) -> T:
    """The query string as `form` describes it; RefusedError (422) where it has another form.

    What may be left out is UNSET in `form` and not None, which would be read from a text `null`.
    """
    query = dict(request.query_params)
    if len(query) < len(request.query_params.multi_items()):
        raise RefusedError(422, "invalid_query", "say each parameter once")
    try:
        return msgspec.convert(query, form, strict=False)
    except msgspec.ValidationError as error:
        raise RefusedError(422, "invalid_query", str(error)) from None


def path_id(request: Request, name: str) -> int | None:
    """The id in the path; None for a text that no id is written as."""
    text: str = request.path_params[name]
    fits = text.isascii() and text.isdecimal() and len(text) <= 18 and not text.startswith("0")
    return int(text) if fits else None


def _too_large() -> RefusedError:
    return RefusedError(413, "body_too_large", f"the body may have at most {BODY_LIMIT} bytes")


async def on_refused(request: Request, error: Any) -> Response:
    return _error(request, error.status, error.code, error.message, error.headers)


async def on_store_unavailable(request: Request, error: Any) -> Response:
    message = f"the store cannot be used now: {error}"
    return _error(request, 503, "store_unavailable", message, {"Retry-After": "1"})


async def on_http_exception(request: Request, error: HTTPException | Any) -> Response:
    code = _WORDS.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return _error(request, error.status_code, code, message, error.headers)


async def on_disconnect(request: Request, _: Any) -> Response:
    """Nobody reads this answer; it keeps a client that left from being logged as a defect."""
    return _error(request, 400, "disconnected", "the client left before its request was complete")


async def on_defect(request: Request, error: Any) -> Response:
    return _error(request, 500, "internal", f"a defect of the target: {type(error).__name__}; see its log")


def _error(request: Request, status: int, code: str, message: str, headers: Any = None) -> Response:
    body = error_body(code, message, request.app.state.constitutional_hash)
    return Response(body, status, headers=headers, media_type=JSON)
