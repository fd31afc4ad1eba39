"""`file_load`: a file is written and synced to its disk over and over beside the run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.fault import FaultError
from loadproof.faults.machine import need
from loadproof.units import format_bytes

if TYPE_CHECKING:
    from loadproof.faults.pressure import Lifeline

BLOCK: Final = 1024 * 1024


class FileLoad:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._bytes: int = settings["size"]
        self._rate: int | None = settings.get("rate")
        self._folder: str = settings.get("folder") or tempfile.gettempdir()

    def shares(self) -> list[dict[str, Any]]:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise FaultError(f"the folder {self._folder} cannot be used: {error.strerror}") from None
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise FaultError(f"the folder {self._folder} cannot be written")
        need(self._bytes, free, f"the disk of {self._folder}")
        return [self._settings]

    def carry(self, lifeline: Lifeline) -> str:
        # It never has a name: whoever ends this process, the kernel takes the file away.
        with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, self._bytes)
            block = os.urandom(min(BLOCK, self._bytes))
            written = syncs = 0
            lifeline.say_ready()
            begin = time.monotonic()
            while not lifeline.has_ended(self._wait_s(written, begin)):
                at = written % self._bytes
                written += os.pwrite(file.fileno(), block[: self._bytes - at], at)
                os.fsync(file.fileno())
                syncs += 1
        return f"wrote {format_bytes(written)} in {syncs:,} writes, each synced"

    def _wait_s(self, written: int, begin: float) -> float:
        return max(0.0, begin + written / self._rate - time.monotonic()) if self._rate else 0.0
