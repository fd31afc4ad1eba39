"""Fixtures of the client's conformance suite: a client with its books, and the servers that it is tried on."""

from __future__ import annotations

import functools
import http.server
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority
from gevent import Timeout
from locust.env import Environment
from nginx import nginx as nginx_server
from odd import odd_server

from loadproof.client.books import books as process_books
from loadproof.client.user import LoadUser
from loadproof.measure.interval import Outcome
from loadproof.measure.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from odd import OddServer, Played

WALL_S = 20
"""No request may take longer, whatever the server does."""


@dataclass
class Books:
    """What the recorder holds about all requests and exchanges of a test so far."""

    started: int = 0
    ok: int = 0
    failed: int = 0
    timeouts: int = 0
    unfinished: int = 0
    answered: int = 0
    unanswered: int = 0
    unconnected: int = 0
    bytes_received: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return self.ok + self.failed + self.timeouts + self.unfinished


class Client:
    """The HTTP session of a user whose class has these attributes."""

    def __init__(self, host: str, **attributes: Any) -> None:
        scenario = type("Scenario", (LoadUser,), {"host": host, **attributes})
        self.user = scenario(Environment(user_classes=[scenario]))
        self.session = self.user.client

    def __getattr__(self, name: str) -> Any:
        """`get`, `post` and whatever else the session has, each bounded by the wall."""
        method = getattr(self.session, name)
        return functools.partial(walled, method) if callable(method) else method


def walled(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with Timeout(WALL_S):
        return call(*arguments, **options)


class Clients:
    """Makes clients, all with one recorder, and reads its books."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.usual: dict[str, Any] = {}
        """Attributes that the classes of all clients have."""
        self.made: list[Client] = []
        self._books = Books()

    def __call__(self, host: str, **attributes: Any) -> Client:
        client = Client(host, **self.usual, **attributes)
        self.made.append(client)
        return client

    def books(self) -> Books:
        interval = self.recorder.close_interval()
        books = self._books
        books.started += interval.started
        for key, series in interval.series.items():
            name = {
                Outcome.OK: "ok",
                Outcome.FAILED: "failed",
                Outcome.TIMEOUT: "timeouts",
                Outcome.UNFINISHED: "unfinished",
            }[key.outcome]
            setattr(books, name, getattr(books, name) + series.histogram.count)
            books.bytes_received += series.bytes_received
        for exchanges in interval.exchanges.values():
            books.answered += exchanges.answered
            books.unanswered += exchanges.unanswered
            books.unconnected += exchanges.unconnected
        for error, count in interval.errors.items():
            books.errors += [error.message] * count
        return books


@pytest.fixture
def clients() -> Iterator[Clients]:
    """At the end of every test the first book closes: whatever was started has ended, once."""
    started = time.monotonic_ns()
    recorder = Recorder(
        (), lambda: (time.monotonic_ns() - started) // 1000, [("steady", 10**12)], zero_ns=started
    )
    process_books.begin(recorder, "run-1")
    made = Clients(recorder)
    try:
        yield made
    finally:
        process_books.end()
    for client in made.made:
        client.session.close()
    books = made.books()
    assert recorder.in_flight == 0
    assert books.started == books.ended


class Odd:
    """Plays scripts, and at the end of a test holds what they saw against the second book."""

    def __init__(self, server: OddServer) -> None:
        self._server = server
        self.played: list[Played] = []

    def play(self, *connections: list, is_proxy: bool = False) -> Played:
        played = self._server.play(*connections, is_proxy=is_proxy)
        self.played.append(played)
        return played

    def counted(self) -> int:
        """Requests whose head came in whole, over all scripts of this test."""
        return sum(len(played.requests()) for played in self.played)


@pytest.fixture(scope="module")
def odd_process() -> Iterator[OddServer]:
    with odd_server() as server:
        yield server


@pytest.fixture
def odd(odd_process, clients, request) -> Iterator[Odd]:
    """At the end of a test of this server alone: answered <= counted <= answered + unanswered."""
    made = Odd(odd_process)
    yield made
    books = clients.books()
    others = {"nginx", "uvicorn"} & set(request.fixturenames)
    if not others and not any(played.is_proxy for played in made.played):
        assert books.answered <= made.counted() <= books.answered + books.unanswered
    for played in made.played:
        played.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, authority) -> Iterator[Any]:
    with nginx_server(tmp_path_factory.mktemp("nginx") / "n", authority) as running:
        yield running


@dataclass
class Uvicorn:
    url: str

    def counted(self) -> int:
        with urllib.request.urlopen(self.url + "/counted", timeout=60) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Uvicorn]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "answering_app:app",
            "--app-dir",
            str(Path(__file__).parent),
        ]
        with subprocess.Popen(
            [*command, "--fd", str(listening.fileno()), "--log-level", "error"],
            pass_fds=[listening.fileno()],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        ) as process:
            running = Uvicorn(f"http://127.0.0.1:{listening.getsockname()[1]}")
            listening.close()
            try:
                running.counted()
                yield running
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def old_server(tmp_path_factory) -> Iterator[str]:
    """Python's own file server, which speaks HTTP/1.0; its URL."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "file.txt").write_bytes(b"old\n" * 1000)
    (folder / "folder").mkdir()
    with subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            http.server.__name__,
            "0",
            "--bind",
            "127.0.0.1",
            "--directory",
            str(folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().partition("(")[2].partition("/)")[0]
        finally:
            process.terminate()
