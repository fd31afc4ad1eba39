"""Processes as faults take them: a tree of them, each known by its start so that no other is meant."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.faults.fault import FaultError

if TYPE_CHECKING:
    import signal

PATIENCE_S: Final = 5.0


class Process(NamedTuple):
    pid: int
    started: str
    """Clock ticks after the boot, and which boot: a pid is given again, the three together never."""

    @property
    def state(self) -> str | None:
        """`T` is stopped, `Z` has ended with all its threads; None where it is gone."""
        fields = _stat(self.pid)
        if fields is None or _started(fields) != self.started:
            return None
        # A first thread may end before the others, which still hold what the process has open, its port too.
        return "D" if fields[0] == "Z" and int(fields[17]) > 1 else fields[0]

    @property
    def is_alive(self) -> bool:
        return self.state not in {None, "Z", "X"}

    def send(self, number: signal.Signals) -> None:
        """FaultError where it cannot be sent; one that is gone needs none."""
        if not self.is_alive:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise FaultError(f"process {self.pid} is another user's: {number.name} is not allowed") from None


def tree(roots: tuple[int, ...]) -> list[Process]:
    """These processes and all below them, parents first; FaultError where there is none, or we are among them."""
    found: dict[int, Process] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop(0)
        fields = _stat(pid)
        if fields is None or pid in found:
            continue
        found[pid] = Process(pid, _started(fields))
        waiting += _children(pid)
    if not found:
        raise FaultError("the target has no process on this machine that can be seen")
    ours = _ancestors() & found.keys()
    if ours:
        raise FaultError(f"the target runs in process {min(ours)}, which the run hangs on itself")
    return list(found.values())


def marked(mark: str) -> list[Process]:
    """All processes with this word on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        fields = _stat(int(entry.name))
        if mark.encode() in words and fields is not None:
            found.append(Process(int(entry.name), _started(fields)))
    return found


def await_state(processes: list[Process], states: set[str | None]) -> list[Process]:
    """Those that have not come to one of these states in time."""
    deadline = time.monotonic() + PATIENCE_S
    while left := [process for process in processes if process.state not in states]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.005)
    return []


def _started(fields: list[str]) -> str:
    return f"{fields[19]} {_boot()}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    """The fields behind the name, which may hold anything."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except OSError:
        pass
    return found


def _ancestors() -> set[int]:
    """Ourselves and all above us."""
    pid, found = os.getpid(), set()
    while pid > 0 and (fields := _stat(pid)) is not None:
        found.add(pid)
        pid = int(fields[1])
    return found
