"""What the target and the generator use: CPU, memory and open files of process trees, by psutil."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
import psutil

from distributed.cgroup import memory_limit
from loadproof.faults.cgroup import usable_cores

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from distributed.clock import RunClock
    from distributed.run_folder import RunFolder

KINDS: Final = ("cpu", "memory", "rss", "open_files")
SAMPLED: Final = frozenset(f"{who}.{kind}" for who in ("generator", "target") for kind in KINDS)
"""Every resource that can be read on this machine."""


@dataclass(frozen=True)
class Used:
    """One reading of a process tree; None where it could not be read, or is a difference to no reading before."""

    cpu: float | None
    """CPU time over what the processors, or a quota, give."""
    rss: int | None
    """Resident bytes."""
    open_files: int | None


class ProcessTree:
    """CPU, memory and open files of processes with their descendants; who ended keeps its CPU time counted.

    What may be used is told by the first of the processes.
    """

    def __init__(self, pids: list[int]) -> None:
        self._roots = pids
        self.cores = usable_cores(pids[0])
        self.memory = memory_limit(pids[0])
        self._cpu_seconds: dict[int, float] = {}
        self._ended_seconds = 0.0
        self._last: tuple[float, float] | None = None

    def sample(self) -> Used:
        now = time.monotonic()
        seconds: dict[int, float] = {}
        resident = 0
        files: int | None = 0
        for process in self._processes():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    seconds[process.pid] = times.user + times.system
                    resident += process.memory_info().rss
                opened = _open_files(process.pid)
                files = None if files is None or opened is None else files + opened
            except psutil.Error:
                continue
        for pid, spent in self._cpu_seconds.items():
            if pid not in seconds:
                self._ended_seconds += spent
        self._cpu_seconds = seconds
        if not seconds:
            self._last = None
            return Used(None, None, None)
        total = sum(seconds.values()) + self._ended_seconds
        share = None
        if self._last is not None and now > self._last[0]:
            share = max(0.0, (total - self._last[1]) / (now - self._last[0]) / self.cores)
        self._last = (now, total)
        return Used(share, resident, files)

    def _processes(self) -> list[psutil.Process]:
        found = {}
        for pid in self._roots:
            try:
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    found[process.pid] = process
            except psutil.Error:
                continue
        return list(found.values())


def sample_resources(
    folder: RunFolder,
    clock: RunClock,
    processes: Mapping[str, list[int]],
    elsewhere: Collection[str] = (),
) -> NoReturn:
    """Write `<name>.cpu`, `.memory` (share of what may be used), `.rss` and `.open_files` once a second.

    Those that are sampled `elsewhere` are left out.
    """
    trees = {name: ProcessTree(pids) for name, pids in processes.items()}
    second = 0
    while True:
        gevent.sleep(clock.seconds_until(second * 1_000_000))
        now = max(0, clock.now_us())
        for name, tree in trees.items():
            used = tree.sample()
            values = {
                "cpu": None if used.cpu is None else round(used.cpu, 4),
                "rss": used.rss,
                "memory": None if used.rss is None else round(used.rss / tree.memory, 5),
                "open_files": used.open_files,
            }
            for kind, value in values.items():
                if value is not None and f"{name}.{kind}" not in elsewhere:
                    folder.sample(now, f"{name}.{kind}", value)
        second = max(second + 1, now // 1_000_000 + 1)


def steal_us() -> int | None:
    """Time that the hypervisor took from this machine so far, over all processors."""
    try:
        steal = getattr(psutil.cpu_times(), "steal", None)
    except OSError:
        return None
    return None if steal is None else int(steal * 1_000_000)


def _open_files(pid: int) -> int | None:
    """File descriptors of a process; None if they are not ours to see."""
    folder = f"/proc/{pid}/fd"
    try:
        # Linux 6.2 and later tell the number as the folder's size; to list 100,000 of them takes 50 ms.
        return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 called for each process
    except OSError:
        return None
