"""A real PostgreSQL and a real Redis on loopback ports of their own, that can be stopped, killed and started again."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import redis
from commands import wait_until
from ports import free_port
from serving import freeze

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

PR_SET_PDEATHSIG = 1
STORES = ("sqlite", "postgresql")
SEALED = "sealed"
"""The name of a user, if there is one, who must say the password."""


@dataclass
class Postgres:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _names: Iterator[int] = field(default_factory=itertools.count)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off"}
        self.process = _begin(
            [
                _postgres("postgres"),
                *("-D", str(self.folder / "data"), "-p", str(self.port)),
                *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
            ],
            self.folder / "log",
            user=_user(),
        )
        wait_until(lambda: self._answers() or self._failed())

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: by SIGINT it closes its connections, by SIGQUIT it crashes, and no SIGKILL leaves its children."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """With all its processes stopped in the middle of what they do: the kernel accepts, nobody answers."""
        assert self.process is not None
        main = self.process.pid
        # The first one, so that none is added meanwhile.
        freeze(main)
        children = [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
        for pid in children:
            freeze(pid)
        try:
            yield
        finally:
            for pid in (*children, main):
                os.kill(pid, signal.SIGCONT)

    def new(self, options: str = "") -> str:
        """The URL of a new, empty database."""
        name = f"govern_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://target@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres")).close()
            return True
        return False

    def _failed(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return False


@dataclass
class Redis:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it empty, and wait until it answers."""
        words = (
            f"redis-server --bind 127.0.0.1 --port {self.port} --appendonly no --dir {self.folder}".split()
        )
        self.process = _begin([*words, "--save", ""], self.folder / "redis.log")
        wait_until(self._answers)

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


@dataclass
class Databases:
    postgres: Postgres
    redis: Redis


@contextlib.contextmanager
def databases() -> Iterator[Databases]:
    """Both, running; their files are gone at the end, and they are too, however the tests end."""
    # Not in pytest's own folders, which nobody but root may enter.
    folder = Path(tempfile.mkdtemp(prefix="loadproof-databases-"))
    both = Databases(Postgres(folder, free_port()), Redis(folder, free_port()))
    try:
        if (user := _user()) is not None:
            shutil.chown(folder, user)
        made = subprocess.run(
            [
                _postgres("initdb"),
                *f"-D {folder}/data -U target -A trust -E UTF8 --locale=C --no-sync".split(),
            ],
            user=user,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        # The first line that fits decides: this user needs a password, all others do not.
        access = folder / "data" / "pg_hba.conf"
        access.write_text(f"host all {SEALED} 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        both.postgres.start()
        both.redis.start()
        yield both
    finally:
        for server, number in (both.postgres, signal.SIGQUIT), (both.redis, signal.SIGKILL):
            if server.process is not None and server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.stop(number)
        shutil.rmtree(folder)


def options_of(request: pytest.FixtureRequest, store: str) -> list[str]:
    """What a target on one of the STORES is started with, with a database of its own if that is PostgreSQL.

    What it has in Redis is its own by the store's name.
    """
    if store == "sqlite":
        return []
    running: Databases = request.getfixturevalue("databases")
    return ["--store", running.postgres.new(), "--redis", running.redis.url]


def flags(storage: dict[str, str]) -> list[str]:
    """The fixture `storage` as a command line has it."""
    return [word for name, url in storage.items() for word in (f"--{name}", url)]


def _postgres(program: str) -> str:
    """Debian keeps each version's programs to itself, out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    assert found, f"{program} is missing: `apt-get install postgresql`"
    return str(found[-1])


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def _begin(words: list[str], log: Path, user: str | None = None) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            user=user,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # SIGQUIT ends both; tests that are killed end nothing themselves.
            preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT),  # noqa: PLW1509 one call of the kernel
        )
