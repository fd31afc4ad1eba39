"""What a process may use by the limits of its control groups, of version 1 or 2, up to the root."""

from __future__ import annotations

import psutil

from loadproof.faults.cgroup import folders, quota, read


def memory_limit(pid: int | None = None) -> int:
    """Bytes that a process (None: this one) and those of its groups may hold together, at most what the machine has."""
    limit = int(psutil.virtual_memory().total)
    for folder in folders(pid, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = read(folder / name)
            if text.isdigit():
                limit = min(limit, int(text))
    return limit


def throttled_us() -> int | None:
    """Time that quotas held this process's groups back so far; None without a quota."""
    throttled = None
    for folder in folders(None, "cpu"):
        if quota(folder) is None:
            continue
        told = dict(line.split(" ", 1) for line in read(folder / "cpu.stat").splitlines() if " " in line)
        if told.get("throttled_usec", "").isdigit():
            throttled = (throttled or 0) + int(told["throttled_usec"])
        elif told.get("throttled_time", "").isdigit():
            throttled = (throttled or 0) + int(told["throttled_time"]) // 1_000
    return throttled
