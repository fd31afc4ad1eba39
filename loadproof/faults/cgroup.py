"""Control groups of this machine, of version 1 or 2: where those of a process are, and what its processors are worth.

A container shows its own group as the root, while `/proc/PID/cgroup` may name the path outside: folders that do
not exist are passed over, and the root is always looked at. Files and values: Linux, admin-guide/cgroup-v1 and
cgroup-v2.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
    quotas = (found for folder in folders(pid, "cpu") if (found := quota(folder)) is not None)
    return min(cores, *quotas, cores)


def quota(folder: Path) -> float | None:
    """Processors that a group's quota is worth; None without one."""
    allowed, _, period = read(folder / "cpu.max").partition(" ")
    if not allowed:
        allowed, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    # No quota is `max` in version 2 and -1 in version 1.
    return int(allowed) / int(period) if allowed.isdigit() and period.isdigit() and int(period) else None


def folders(pid: int | None, controller: str) -> Iterator[Path]:
    """The folders of a process's group and of those above it, the root last."""
    for line in read(PROC / str(pid or "self") / "cgroup").splitlines():
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


def read(path: Path) -> str:
    """A file's text without the blanks around it; empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
