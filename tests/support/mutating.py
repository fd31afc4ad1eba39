"""Answers of all kinds that a server may send, and seeded ways of damaging them."""

from __future__ import annotations

import gzip
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\nETag: "x"\r\n\r\n{"ok": false}',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b;c="d"\r\n world\r\n0\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall that comes until the connection closes",
    b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nold and without a length",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbye",
    b"HTTP/1.1 204 No Content\r\nDate: Sat, 21 Nov 2026 06:14:37 GMT\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 100\r\n\r\n',
    b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nmade",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 503\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nset-cookie: c=d; Secure\r\nContent-Length: 1\r\n\r\n.",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmoreHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
    b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n \tb\r\nContent-Length: 1\r\n\r\n.",
    b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n0\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n00\r\n\r\n\r\n",
    b"HTTP/1.1 200 \xfc\xf1\r\nX-High: \xe9\xff\r\nX-Empty:\r\nX-Spaced: \t a \t\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n"
    + gzip.compress(b"hello", mtime=0),
    b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(60))
    + b"Content-Length: 1\r\n\r\n?",
)
"""Mostly well-formed and whole; some with more behind them."""
TOKENS = (
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"\n\n", b"HTTP/1.1 ", b"HTTP/1.1 100 C\r\n\r\n",
    b"Content-Length: ", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"0\r\n\r\n", b"5\r\n",
    b"ffffffffffffffff\r\n", b"-1", b"99999999999999999999", b"0x5", b";", b"=", b",", b"\xff", b"Upgrade: h2c\r\n",
)  # fmt: skip
METHODS = ("GET", "GET", "GET", "POST", "HEAD")


def damaged(random: Random) -> bytes:
    """One to four mutations of one answer: bits, bytes, cuts, splices, repeats and tokens where none belong."""
    data = bytearray(random.choice(CORPUS))
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.randint(0, 24))
        match random.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << random.randrange(8)
            case 1 if data:
                data[at % len(data)] = random.randrange(256)
            case 2:
                del data[at:end]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at:end] * random.randint(1, 5)
            case 5:
                other = random.choice(CORPUS)
                data[at:] = other[random.randint(0, len(other)) :]
            case 6:
                data[at:end] = random.choice(TOKENS)
            case _:
                data[at:at] = random.choice(TOKENS)
    return bytes(data)


def split(random: Random, data: bytes) -> list[bytes]:
    """The data in up to six reads; a read is never empty."""
    cuts = sorted({0, len(data), *(random.randint(0, len(data)) for _ in range(random.randint(0, 5)))})
    return [data[start:end] for start, end in pairwise(cuts)]


def cases(seed: int, count: int) -> Iterator[tuple[bytes, str, list[bytes]]]:
    """Damaged answers, each with a method and a way in which it comes in."""
    random = Random(seed)
    for _ in range(count):
        data = damaged(random)
        yield data, random.choice(METHODS), split(random, data)
