"""Named counters of one process in a memory-mapped file that its sibling processes read while it writes.

    file      header, then SPARE u64 for the owner's use, then the records of RECORD_BYTES each
    header    u64 magic, u64 process id of the writer, u64 records ever used, 40 bytes unused
    record    u64 count, u64 length of the key, key (at most KEY_BYTES), padding

Native byte order: writer and readers run on one machine. Each file has one writing process, and each counter
one writing thread, so an increment needs no lock; readers of another process see it at once, as the mapping
is shared. `memoryview.cast("Q")` stores and loads aligned words whole, which `struct` with an explicit byte
order does not.
"""

from __future__ import annotations

import mmap
import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC: Final = int.from_bytes(b"LPTALLY1", "little")
WORD: Final = 8
RECORD_BYTES: Final = 256
KEY_BYTES: Final = RECORD_BYTES - 2 * WORD
SPARE: Final = 1024
_HEADER_WORDS: Final = 8
_FIRST_RECORD: Final = (_HEADER_WORDS + SPARE) * WORD
_RECORD_WORDS: Final = RECORD_BYTES // WORD


class TallyFullError(Exception):
    """All records are taken."""


class Tally:
    """At most `records` counters; the file has its full size from the start and is sparse until used."""

    def __init__(self, path: Path, records: int) -> None:
        """Open the file, or make it; a fresh one is all zeros, which is an empty tally."""
        size = _FIRST_RECORD + records * RECORD_BYTES
        with path.open("a+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._words = memoryview(self._map).cast("Q")
        self._slots: dict[bytes, int] = {}
        self._free = list(range(records - 1, -1, -1))
        self._allocating = threading.Lock()
        self.spare = self._words[_HEADER_WORDS : _HEADER_WORDS + SPARE]
        """Words for the owner's own use."""

    def own(self) -> None:
        """Say that this process is the one that writes here."""
        self._words[1] = os.getpid()
        self._words[0] = MAGIC

    @property
    def owner(self) -> int | None:
        """Process id of the writer; None before `own`."""
        return self._words[1] if self._words[0] == MAGIC else None

    def slot(self, key: bytes) -> int:
        """The counter of `key`, for `add`; taken at the first call.

        Raises TallyFullError when no record is free, ValueError when the key is longer than KEY_BYTES.
        """
        slot = self._slots.get(key)
        if slot is not None:
            return slot
        if not 0 < len(key) <= KEY_BYTES:
            raise ValueError(f"a counter's key has 1 to {KEY_BYTES} bytes, not {len(key)}")
        with self._allocating:
            if key in self._slots:
                return self._slots[key]
            if not self._free:
                raise TallyFullError
            record = self._free.pop()
            start = _FIRST_RECORD + record * RECORD_BYTES
            word = start // WORD
            self._words[word] = 0
            self._map[start + 2 * WORD : start + 2 * WORD + len(key)] = key
            self._words[word + 1] = len(key)
            self._words[2] = max(self._words[2], record + 1)
            self._slots[key] = word
            return word

    def add(self, slot: int, amount: int = 1) -> None:
        self._words[slot] += amount

    def release(self, key: bytes) -> None:
        """Forget a counter; its record may be taken by another key."""
        with self._allocating:
            word = self._slots.pop(key)
            self._words[word + 1] = 0
            self._words[word] = 0
            self._free.append((word * WORD - _FIRST_RECORD) // RECORD_BYTES)

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Every counter with its count now; another process may be writing meanwhile."""
        for record in range(self._words[2]):
            start = _FIRST_RECORD + record * RECORD_BYTES
            word = start // WORD
            length = self._words[word + 1]
            if length:
                yield self._map[start + 2 * WORD : start + 2 * WORD + length], self._words[word]
