"""The memory of a server process: its budget, and pressure that really takes it."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path
from typing import Final

BUDGET_BYTES: Final = 512_000_000
"""Above it writes are shed: they are what makes a service grow."""
CHUNK_BYTES: Final = 16 * 1024 * 1024
CHUNKS_A_LOOK: Final = 4
"""64 MiB: some 10 ms of page faults, so that the event loop goes on meanwhile."""
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = resource.getpagesize()


class Memory:
    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._ballast: list[mmap.mmap] = []
        self.resident_bytes = 0
        """As of the last look."""

    @property
    def shedding(self) -> bool:
        return self.resident_bytes > self._budget_bytes

    def look(self, *, pressed: bool) -> None:
        """Look at what is resident; under pressure take what is missing to the budget, and a chunk more."""
        self.resident_bytes = _resident_bytes()
        if not pressed:
            while self._ballast:
                self._ballast.pop().close()
            return
        for _ in range(CHUNKS_A_LOOK):
            if self.resident_bytes > self._budget_bytes + CHUNK_BYTES:
                return
            # Memory of its own mapping goes back to the system when it is closed; freed heap may not.
            chunk = mmap.mmap(-1, CHUNK_BYTES)
            for at in range(0, CHUNK_BYTES, _PAGE):
                chunk[at] = 1
            self._ballast.append(chunk)
            self.resident_bytes += CHUNK_BYTES


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE
