"""What the target and the generator use: CPU and memory of process trees and of the machine, by psutil."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import gevent
import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed.clock import RunClock
    from distributed.run_folder import RunFolder

CGROUP = Path("/sys/fs/cgroup")


class ProcessTree:
    """CPU and memory of a process with its descendants; a process that ended keeps its share counted."""

    def __init__(self, pids: list[int]) -> None:
        self._roots = pids
        self._cpu_seconds: dict[int, float] = {}
        self._ended_seconds = 0.0
        self._last: tuple[float, float] | None = None

    def sample(self) -> tuple[float | None, int]:
        """(CPU as a share of all usable cores, resident bytes).

        The share is None at the first call: CPU is a difference.
        """
        now = time.monotonic()
        seconds: dict[int, float] = {}
        resident = 0
        for process in self._processes():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    seconds[process.pid] = times.user + times.system
                    resident += process.memory_info().rss
            except psutil.Error:
                continue
        for pid, spent in self._cpu_seconds.items():
            if pid not in seconds:
                self._ended_seconds += spent
        self._cpu_seconds = seconds
        if not seconds:
            self._last = None
            return None, 0
        total = sum(seconds.values()) + self._ended_seconds
        share = None
        if self._last is not None and now > self._last[0]:
            share = max(0.0, (total - self._last[1]) / (now - self._last[0]) / usable_cores())
        self._last = (now, total)
        return share, resident

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


def sample_resources(folder: RunFolder, clock: RunClock, processes: Mapping[str, list[int]]) -> NoReturn:
    """Write `<name>.cpu`, `<name>.memory` (share of what the machine has) and `<name>.rss` once a second."""
    limit = memory_limit()
    trees = {name: ProcessTree(pids) for name, pids in processes.items()}
    second = 0
    while True:
        gevent.sleep(clock.seconds_until(second * 1_000_000))
        now = max(0, clock.now_us())
        for name, tree in trees.items():
            cpu, resident = tree.sample()
            if cpu is not None:
                folder.sample(now, f"{name}.cpu", round(cpu, 4))
            if resident:
                folder.sample(now, f"{name}.rss", resident)
                folder.sample(now, f"{name}.memory", round(resident / limit, 5))
        second = max(second + 1, now // 1_000_000 + 1)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def memory_limit() -> int:
    """Bytes that this machine or container can hold: the cgroup's limit where there is one."""
    total = psutil.virtual_memory().total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (CGROUP / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(total, int(text))
    return int(total)


def throttled_us() -> int | None:
    """Time that this cgroup was held back by a CPU quota so far; None without a quota."""
    try:
        quota = (CGROUP / "cpu.max").read_text().split()[0]
        if quota == "max":
            return None
        for line in (CGROUP / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "throttled_usec":
                return int(value)
    except (OSError, IndexError, ValueError):
        pass
    try:
        if int((CGROUP / "cpu/cpu.cfs_quota_us").read_text()) <= 0:
            return None
        for line in (CGROUP / "cpu/cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "throttled_time":
                return int(value) // 1_000
    except (OSError, ValueError):
        pass
    return None


def steal_us() -> int | None:
    """Time that the hypervisor took from this machine so far, over all processors."""
    try:
        steal = getattr(psutil.cpu_times(), "steal", None)
    except OSError:
        return None
    return None if steal is None else int(steal * 1_000_000)
