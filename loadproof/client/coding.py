"""Content codings: what a server compressed comes back as it was."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import brotli
import zstandard

from loadproof.errors import MalformedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.client.headers import Headers


def decoded(body: bytes, headers: Headers) -> bytes:
    """The body without the codings that Content-Encoding names, undone from the last to the first.

    A coding that is not known is left as it is, for the scenario to deal with; MalformedAnswerError for a
    body that is not what it says.
    """
    codings = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    for coding in reversed(codings):
        if not body:
            break
        try:
            if coding in {"gzip", "x-gzip"}:
                body = _unpacked(body, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))
            elif coding == "deflate":
                # RFC 9110, 8.4.1.2: zlib's format, though some servers send bare deflate.
                wrapped = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
                window = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
                body = _unpacked(body, lambda: zlib.decompressobj(window))  # noqa: B023 called at once
            elif coding == "br":
                body = brotli.decompress(body)
            elif coding == "zstd":
                body = _unpacked(body, zstandard.ZstdDecompressor().decompressobj)
            elif coding not in {"identity", ""}:
                break
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise MalformedAnswerError(f"the body is not {coding} as it says") from error
    return body


def _unpacked(body: bytes, unpacker: Callable[[], Any]) -> bytes:
    """Gzip and zstd may hold several members or frames one after another; EOFError when the last is not whole."""
    pieces = []
    while body:
        part = unpacker()
        pieces.append(part.decompress(body))
        if not part.eof:
            raise EOFError
        # Some servers pad with zeros.
        body = part.unused_data.lstrip(b"\0")
    return b"".join(pieces)
