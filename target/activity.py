"""The log of what users changed, a file in the target's storage: where that is gone, lines wait in memory."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MOST_WAITING: Final = 100_000


class Activity:
    """Fails open: nobody is refused because it cannot be written, and nothing is lost up to MOST_WAITING lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[str] = deque()
        self.written = 0
        self.lost = 0
        self.error = ""
        """Why lines wait; empty when none do."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def record(self, what: str) -> None:
        self._waiting.append(f"{time.time():.6f} {what}\n")
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        if not self.error:
            self.flush()

    def flush(self) -> None:
        """Write what waits, all in one go: opened each time, as a file of a storage that went away is no longer it."""
        if not self._waiting:
            self.error = ""
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(self._waiting))
        except OSError as error:
            self.error = error.strerror or str(error)
            return
        self.written += len(self._waiting)
        self._waiting.clear()
        self.error = ""
