"""An ASGI application for uvicorn: echoes, codings, cookies, redirects, streams, and how many requests came in."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from urllib.parse import parse_qsl

import brotli

TEXT = "".join(f"line {number} – ½\n" for number in range(2_000)).encode()  # noqa: RUF001 not ASCII on purpose
_raw = zlib.compressobj(wbits=-15)
CODED = {
    "gzip": gzip.compress(TEXT),
    "two-gzips": gzip.compress(TEXT[:999]) + gzip.compress(TEXT[999:]),
    "deflate": zlib.compress(TEXT),
    "raw-deflate": _raw.compress(TEXT) + _raw.flush(),
    "br": brotli.compress(TEXT),
    # A frame of one stored block (RFC 8878, 3.1.1): magic, single segment with a size of 1 byte, last block.
    "zstd": b"\x28\xb5\x2f\xfd\x20\x05" + (5 << 3 | 1).to_bytes(3, "little") + b"hello",
    "identity": TEXT,
    "x-unheard-of": b"?",
}

counted = 0


async def app(scope, receive, send):
    global counted  # noqa: PLW0603 one process, one count
    if scope["type"] != "http":
        return
    path, asked = scope["path"], dict(parse_qsl(scope["query_string"].decode("latin-1")))

    async def answer(status=200, body=b"", headers=(), *, pieces=None):
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        if pieces is None:
            pairs.append((b"content-length", str(len(body)).encode()))
            pieces = [body]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    if path == "/counted":
        await answer(body=json.dumps(counted).encode())
        return
    counted += 1
    kind, _, rest = path[1:].partition("/")
    if kind == "early":
        await answer(413, b"too much")
        return
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    if kind == "echo":
        seen = {
            "method": scope["method"],
            "target": (
                scope["raw_path"] + (b"?" if scope["query_string"] else b"") + scope["query_string"]
            ).decode("latin-1"),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
            ],
            "body": body.decode("latin-1"),
            "client": scope["client"][0],
        }
        await answer(body=json.dumps(seen).encode(), headers=[("Content-Type", "application/json")])
    elif kind == "stream":
        sizes = [int(size) for size in rest.split(",")]
        await answer(pieces=[bytes([65 + at % 26]) * size for at, size in enumerate(sizes)])
    elif kind == "coded":
        coding = asked.get("as", rest.removeprefix("two-").removeprefix("raw-").removesuffix("s"))
        pieces = [bytes([byte]) for byte in CODED[rest]] if "dribbled" in asked else None
        await answer(
            body=CODED[rest],
            headers=[("Content-Encoding", coding), ("Content-Type", "text/plain; charset=utf-8")],
            pieces=pieces,
        )
    elif kind == "charset":
        await answer(body="naïve".encode(rest), headers=[("Content-Type", f"text/plain; charset={rest}")])
    elif kind == "cookie":
        # Each value of `set` is a Set-Cookie of its own.
        cookies = [
            value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "set"
        ]
        await answer(headers=[("Set-Cookie", cookie) for cookie in cookies])
    elif kind == "redirect":
        await answer(int(rest), headers=[("Location", asked["to"])] if "to" in asked else [])
    elif kind == "status":
        await answer(int(rest), b"" if rest in {"204", "304"} else b"as asked")
    else:
        await answer(404, b"no such path")
