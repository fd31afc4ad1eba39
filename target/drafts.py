"""What writing flows keep in memory: the newest drafts with their source material, or all that there ever were.

Each is a mapping of its own, so that the kernel has its pages back as soon as it is let go. Memory of the
heap is given back only from its end, and a resident size would not show that anything was freed.
"""

from __future__ import annotations

import mmap
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 64
"""Drafts that a process keeps unless `keep_drafts` is on."""
MATERIAL_BYTES: Final = 64
"""Of source material that is kept with a draft, for each of its words."""


class Drafts:
    """Of one process; `count` is told how many and how many bytes came (or, below 0, went)."""

    def __init__(self, count: Callable[[int, int], None]) -> None:
        self._kept: deque[mmap.mmap] = deque()
        self._count = count

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, text: bytes, words: int) -> None:
        """Remember a draft of so many words; its material is as many copies of it as fit."""
        size = max(1, words * MATERIAL_BYTES)
        memory = mmap.mmap(-1, size)
        memory.write((text * (size // len(text) + 1))[:size])
        self._kept.append(memory)
        self._count(1, size)

    def let_go(self, most: int = MOST) -> tuple[int, int]:
        """Forget the oldest until `most` are left; how many drafts and bytes that was."""
        drafts = freed = 0
        while len(self._kept) > most:
            memory = self._kept.popleft()
            drafts += 1
            freed += len(memory)
            memory.close()
        if drafts:
            self._count(-drafts, -freed)
        return drafts, freed
