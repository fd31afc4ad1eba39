"""The reference target as a process of its own, for tests that talk to it over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HASH = "cdd01ef066bc6cf2"
HEADERS = {"X-Constitutional-Hash": HASH}
POLICY = {
    "title": "Auditors may read records",
    "principle": "Power over a record is never held by one role alone.",
    "effect": "allow",
    "resource": "records/*",
    "conditions": [
        {"attribute": "subject.role", "operator": "equals", "value": "auditor"},
        {"attribute": "context.hour", "operator": "at_least", "value": 9},
    ],
    "priority": 10,
}


@dataclass
class Served:
    """A running target."""

    url: str
    pid: int
    process: subprocess.Popen[bytes]
    folder: Path
    """Stands in for the system's temporary folder: what the target leaves behind is left here."""

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=HEADERS, timeout=30, **options)

    def processes(self) -> list[int]:
        """Every process of the target that is alive, parent first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(90)


def start(
    *arguments: str, folder: Path, pass_fds: tuple[int, ...] = (), before: str = "", **environment: str
) -> Served:
    """Start a target and wait until it says that it answers."""
    process = launch(*arguments, folder=folder, pass_fds=pass_fds, before=before, **environment)
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"the target did not start: {process.communicate()[1].decode()}")
    announced = json.loads(line)
    return Served(announced["url"], announced["pid"], process, folder)


def launch(
    *arguments: str, folder: Path, pass_fds: tuple[int, ...] = (), before: str = "", **environment: str
) -> subprocess.Popen[bytes]:
    """Start a target; its output is piped. `before` is code that changes the module `server` first."""
    script = f"import sys\nfrom target import server\n{before}\nsys.exit(server.main())"
    return subprocess.Popen(
        [sys.executable, *(("-c", script) if before else ("-m", "target.server")), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
    )


def freeze(pid: int) -> None:
    """Stop a process and wait until it stands still; it takes no signal before SIGCONT."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


@contextlib.contextmanager
def serving(*arguments: str, folder: Path, before: str = "", **environment: str) -> Iterator[Served]:
    """A target for the length of the block, ended in order; however the block ends nothing stays behind."""
    served = start(*arguments, folder=folder, before=before, **environment)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.end()
        served.process.communicate()
