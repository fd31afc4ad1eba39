"""The constitutional hash: which constitution this target serves, and the header that says so."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from loadproof.errors import UsageError
from target.answers import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Constitutional-Hash"
DEFAULT: Final = "cdd01ef066bc6cf2"
HEADER_BYTES: Final = HEADER.lower().encode()
_SHAPE: Final = re.compile(r"[0-9A-Za-z._-]{1,128}")


def constitutional_hash() -> str:
    """The value of CONSTITUTIONAL_HASH, or the default; UsageError if it cannot stand in a header."""
    value = os.environ.get("CONSTITUTIONAL_HASH") or DEFAULT
    if not _SHAPE.fullmatch(value):
        raise UsageError(
            f"CONSTITUTIONAL_HASH is {value!r}: "
            "set it to 1 to 128 letters, digits, dots, dashes or underscores"
        )
    return value


def require_hash(request: Request) -> str:
    """The served hash, if the request names the same one.

    400 without the header; 412 (a precondition of the request failed) when it names another constitution.
    """
    served: str = request.app.state.constitutional_hash
    named = request.headers.get(HEADER)
    if named is None:
        raise RefusedError(
            400, "constitutional_hash_missing", f"send the header {HEADER} with the hash that you act under"
        )
    if named != served:
        raise RefusedError(
            412,
            "constitutional_hash_mismatch",
            f"the request acts under {named[:128]!r}, this target serves {served!r}: "
            "set CONSTITUTIONAL_HASH to one value on both sides",
        )
    return served


class Named:
    """ASGI middleware: every answer names the served constitution, unless it names one already."""

    def __init__(self, app: ASGIApp, constitutional_hash: str) -> None:
        self._app = app
        self._header = (HEADER_BYTES, constitutional_hash.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                if all(name != HEADER_BYTES for name, _ in headers):
                    headers.append(self._header)
            await send(message)

        await self._app(scope, receive, naming)
