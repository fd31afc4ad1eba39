"""Fixtures of WebSocket servers: a proper one, uvicorn with wsproto, and one that sends any bytes; and of a ledger."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
QUIET = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


@contextlib.contextmanager
def speaking(*options: str) -> Iterator[int]:
    """The port of a uvicorn that speaks WebSocket, once it does."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "speaking_app:app",
            "--app-dir",
            str(HERE),
            "--ws",
            "wsproto",
        ]
        with subprocess.Popen(
            [
                *command,
                "--fd",
                str(listening.fileno()),
                "--log-level",
                "critical",
                "--lifespan",
                "off",
                *options,
            ],
            pass_fds=[listening.fileno()],
            env=QUIET,
        ) as process:
            port = listening.getsockname()[1]
            listening.close()
            try:
                # Who comes early waits in the backlog; with TLS too, plain text has some answer.
                with socket.create_connection(("127.0.0.1", port), timeout=60) as first:
                    first.sendall(b"GET / HTTP/1.1\r\nHost: first\r\nConnection: close\r\n\r\n")
                    with contextlib.suppress(ConnectionResetError):
                        first.recv(1)
                yield port
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def speaking_securely(authority) -> Iterator[int]:
    """Its port, where it has a certificate of the authority for 127.0.0.1."""
    certificate = authority.issue("speaker", "127.0.0.1")
    with speaking("--ssl-certfile", str(certificate.chain), "--ssl-keyfile", str(certificate.key)) as port:
        yield port


@pytest.fixture(scope="module")
def speaker() -> Iterator[str]:
    """Its URL."""
    with speaking() as port:
        yield f"http://127.0.0.1:{port}"


class Blunt:
    """Makes paths of the blunt server, which say what it shall do."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def path(self, frames: bytes = b"", **options: str) -> str:
        return "/?" + urlencode({"frames": frames.hex(), **options})


@pytest.fixture(scope="module")
def blunt() -> Iterator[Blunt]:
    with subprocess.Popen(
        [sys.executable, str(HERE / "blunt_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Blunt(int(process.stdout.readline()))
        process.stdin.close()


@dataclass
class Ledger:
    """All intervals of a test, whoever closed them."""

    intervals: list = field(default_factory=list)

    def durations(self, timed):
        return {
            (key.name, value)
            for interval in self.intervals
            for key, histogram in interval.durations.items()
            if key.timed == timed
            for value in [histogram.count]
        }


@pytest.fixture
def ledger(clients, monkeypatch):
    kept = Ledger()
    close = clients.recorder.close_interval

    def closing(**options):
        kept.intervals.append(close(**options))
        return kept.intervals[-1]

    monkeypatch.setattr(clients.recorder, "close_interval", closing)
    return kept
