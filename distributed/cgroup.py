"""What a process may use: its processors and the limits of its control groups, of version 1 or 2, up to the root.

A container shows its own group as the root, while `/proc/PID/cgroup` may name the path outside: folders that do
not exist are passed over, and the root is always looked at. Files and values: Linux, admin-guide/cgroup-v1 and
cgroup-v2.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")


def usable_cores(pid: int | None = None) -> float:
    """Processors that a process (None: this one) may run on, or the share of them that a quota leaves."""
    try:
        cores = float(len(os.sched_getaffinity(pid or 0)))
    except OSError:
        cores = float(os.cpu_count() or 1)
    quotas = (quota for folder in _folders(pid, "cpu") if (quota := _quota(folder)) is not None)
    return min(cores, *quotas, cores)


def memory_limit(pid: int | None = None) -> int:
    """Bytes that a process (None: this one) and those of its groups may hold together, at most what the machine has."""
    limit = int(psutil.virtual_memory().total)
    for folder in _folders(pid, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name)
            if text.isdigit():
                limit = min(limit, int(text))
    return limit


def throttled_us() -> int | None:
    """Time that quotas held this process's groups back so far; None without a quota."""
    throttled = None
    for folder in _folders(None, "cpu"):
        if _quota(folder) is None:
            continue
        told = dict(line.split(" ", 1) for line in _text(folder / "cpu.stat").splitlines() if " " in line)
        if told.get("throttled_usec", "").isdigit():
            throttled = (throttled or 0) + int(told["throttled_usec"])
        elif told.get("throttled_time", "").isdigit():
            throttled = (throttled or 0) + int(told["throttled_time"]) // 1_000
    return throttled


def _quota(folder: Path) -> float | None:
    """Processors that a group's quota is worth; None without one."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    # No quota is `max` in version 2 and -1 in version 1.
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _folders(pid: int | None, controller: str) -> Iterator[Path]:
    """The folders of a process's group and of those above it, the root last."""
    for line in _text(PROC / str(pid or "self") / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(","):
            base = CGROUPS / controller
        elif number == "0" and not names:
            base = CGROUPS
        else:
            continue
        steps = [step for step in path.split("/") if step not in {"", ".."}]
        for length in range(len(steps), -1, -1):
            folder = base.joinpath(*steps[:length])
            if folder.is_dir():
                yield folder


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
