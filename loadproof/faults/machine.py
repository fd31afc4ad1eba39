"""What this machine can still bear."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from loadproof.faults.cgroup import folders, read, usable_cores
from loadproof.faults.fault import FaultError
from loadproof.units import format_bytes

RESERVE_BYTES: Final = 256 * 1024 * 1024
"""What must stay free of memory and of a disk, for what is tested and for who tests it."""
_LIMITS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of a group with its limit and what is used of it, and what of that is a cache that the kernel gives up."""


def available_memory() -> int:
    """Bytes that could be taken without swapping, by the kernel's estimate and by the groups of this process."""
    told = re.search(r"^MemAvailable: *(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    found = [int(told[1]) * 1024] if told else []
    for folder in folders(None, "memory"):
        told_of_it = dict(line.split() for line in read(folder / "memory.stat").splitlines())
        for limit, usage, cache in _LIMITS:
            limited, used = read(folder / limit), read(folder / usage)
            if limited.isdigit() and used.isdigit():
                found.append(int(limited) - int(used) + int(told_of_it.get(cache, 0)))
    return max(0, min(found, default=0))


def need(wanted: int, free: int, what: str) -> None:
    """FaultError where so many bytes cannot be taken of what is free."""
    if wanted + RESERVE_BYTES > free:
        raise FaultError(
            f"{format_bytes(wanted)} of {what} are wanted, {format_bytes(free)} are free, and "
            f"{format_bytes(RESERVE_BYTES)} must stay so"
        )


def cores_of(text: str) -> float:
    """`1.5`, or `80%` of those that can be used; FaultError where there are not so many."""
    usable = usable_cores()
    wanted = float(text[:-1]) / 100 * usable if text.endswith("%") else float(text)
    if wanted > usable:
        raise FaultError(f"{wanted:g} cores are wanted, and there are {usable:g}")
    return wanted
