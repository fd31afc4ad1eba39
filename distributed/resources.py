"""What target, generator and master use: CPU, memory, files and threads of process trees, by psutil."""

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

KINDS: Final = ("cpu", "memory", "rss", "vsz", "open_files", "threads", "uptime")
TOLD: Final = ("state", "heap", "objects")
"""What a target may tell of itself, see `distributed.told`: bytes of what it keeps, bytes in use, a number."""
SAMPLED: Final = frozenset(
    [f"{who}.{kind}" for who in ("generator", "master", "target") for kind in KINDS]
    + [f"target.{kind}" for kind in TOLD]
)
"""Every resource that can be read on this machine, or told."""


@dataclass(frozen=True)
class Used:
    """One reading of a process tree; None where it could not be read, or is a difference to no reading before."""

    cpu: float | None
    """CPU time over what the processors, or a quota, give."""
    rss: int | None
    """Resident bytes."""
    open_files: int | None
    vsz: int | None = None
    """Bytes of address space."""
    threads: int | None = None
    uptime: float | None = None
    """Seconds since the youngest of the roots was started."""


class ProcessTree:
    """What processes with their descendants use, or `alone` without; who ended keeps its CPU time counted.

    What may be used is told by the first of the processes.
    """

    def __init__(self, pids: list[int], *, alone: bool = False) -> None:
        self._roots = pids
        self._alone = alone
        self.cores = usable_cores(pids[0])
        self.memory = memory_limit(pids[0])
        self._cpu_seconds: dict[int, float] = {}
        self._ended_seconds = 0.0
        self._last: tuple[float, float] | None = None

    def sample(self) -> Used:
        now = time.monotonic()
        seconds: dict[int, float] = {}
        resident = virtual = threads = 0
        files: int | None = 0
        started = []
        for process in self._processes():
            try:
                with process.oneshot():
                    memory = process.memory_info()
                    if memory.rss == 0:
                        continue  # it has ended, and nobody has asked how
                    times = process.cpu_times()
                    seconds[process.pid] = times.user + times.system
                    resident += memory.rss
                    virtual += memory.vms
                    threads += process.num_threads()
                    if process.pid in self._roots:
                        started.append(process.create_time())
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
        uptime = time.time() - max(started) if started else None
        return Used(share, resident, files, virtual, threads, uptime)

    def _processes(self) -> list[psutil.Process]:
        found = {}
        for pid in self._roots:
            try:
                root = psutil.Process(pid)
                for process in (root, *([] if self._alone else root.children(recursive=True))):
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
    """Write what they and this process, the `master`, use once a second: `target.rss`, ..., each of `KINDS`.

    Those that are sampled `elsewhere` are left out.
    """
    trees = {name: ProcessTree(pids) for name, pids in processes.items()}
    trees["master"] = ProcessTree([os.getpid()], alone=True)
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
                "vsz": used.vsz,
                "open_files": used.open_files,
                "threads": used.threads,
                "uptime": None if used.uptime is None else round(used.uptime, 1),
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
