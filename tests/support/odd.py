"""Scripts for the odd server: what it does on a connection, step by step, and what it saw."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parent / "odd_server.py"

REQUEST = ["request"]
"""Read one request whole, with its body."""
HEAD = ["head"]
"""Read a request's head only; the body stays unread."""
BODY = ["body"]
"""Read the body of the request whose head was read."""
DRAIN = ["drain"]
"""Read on until the peer closes: says nothing meanwhile, so it is how a server hangs."""
HOLD = ["hold", 15.0]
"""Neither read nor send until the peer leaves; then the connection ends all the same."""
AWAIT = ["await"]
"""Do nothing until the test calls `go`."""
SHUT = ["shut"]
"""End our half of the connection; the other half stays open."""
RESET = ["reset"]
"""End the connection by a TCP reset."""
TUNNEL = ["tunnel"]
"""Relay to the target of the CONNECT that was read."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def send(*pieces: bytes) -> list:
    """In one piece; a connection is closed when its steps are through, so closing is no step of its own."""
    return ["send", b"".join(pieces).decode("latin-1")]


def echo(*pieces: bytes) -> list:
    """Send with the last request's target in place of `{target}`, and the target's length of `{length}`."""
    return ["echo", b"".join(pieces).decode("latin-1")]


def dribble(data: bytes, gap: float = 0.0) -> list:
    """A send a byte, and `gap` seconds after each."""
    return ["dribble", data.decode("latin-1"), gap]


def flood(data: bytes) -> list:
    """Send this again and again until the peer leaves."""
    return ["flood", data.decode("latin-1")]


def pause(seconds: float) -> list:
    """Do nothing for so long."""
    return ["pause", seconds]


def take(count: int) -> list:
    """Read so many bytes, whatever they are."""
    return ["bytes", count]


def tls(certificate: Path, key: Path) -> list:
    """Do the server's half of a handshake; the steps after it are encrypted."""
    return ["tls", str(certificate), str(key)]


@dataclass
class Seen:
    """A request whose head came in whole."""

    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str | None:
        """The one header of that name; None if there is none."""
        found = [value for each, value in self.headers if each.lower() == name.lower()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None


class Played:
    """A script that is being played on a port of its own."""

    def __init__(self, server: OddServer, port: int, *, is_proxy: bool) -> None:
        self._server = server
        self.port = port
        self.is_proxy = is_proxy
        self.url = f"http://127.0.0.1:{port}"
        self.tls_url = f"https://127.0.0.1:{port}"

    def requests(self) -> list[Seen]:
        return [Seen(**request) for request in self._server.ask(seen=self.port)["requests"]]

    def connections(self) -> int:
        return self._server.ask(seen=self.port)["connections"]

    def wait_until_ended(self, count: int) -> None:
        """Wait until so many connections were closed by the server: the peer's kernel knows then, too."""
        assert self._server.ask(ended=self.port, count=count)["ended"] >= count

    def go(self) -> None:
        """Let the connection go on from its AWAIT, and wait for its next step: what that sends, the peer's kernel has."""
        assert self._server.ask(go=self.port)["gone"]

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.ask(close=self.port)


class OddServer:
    """The process that plays all scripts of a test file."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **command) -> dict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def play(self, *connections: list, is_proxy: bool = False) -> Played:
        """The n-th connection plays the n-th list of steps, later ones the last."""
        return Played(self, self.ask(play=connections)["port"], is_proxy=is_proxy)


@contextlib.contextmanager
def odd_server() -> Iterator[OddServer]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield OddServer(process)
        process.stdin.close()
