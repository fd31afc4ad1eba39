"""`memory_load`: so much memory is held beside the run."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.machine import available_memory, need
from loadproof.units import format_bytes

if TYPE_CHECKING:
    from loadproof.faults.lifeline import Lifeline

CHUNK: Final = 4 * 1024 * 1024


class MemoryLoad:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._bytes: int = settings["memory"]

    def shares(self) -> list[dict[str, Any]]:
        need(self._bytes, available_memory(), "memory")
        return [{"memory": self._bytes}]

    def carry(self, lifeline: Lifeline) -> str:
        # Where memory runs out after all the kernel ends this process, and neither target nor run.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        # Not zeros: those could be kept without taking any room.
        chunk = os.urandom(CHUNK)
        held = mmap.mmap(-1, self._bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for at in range(0, self._bytes, CHUNK):
            held[at : at + CHUNK] = chunk[: self._bytes - at]
            if lifeline.has_ended():
                return ""
        lifeline.say_ready()
        lifeline.wait()
        held.close()
        return f"held {format_bytes(self._bytes)}"
