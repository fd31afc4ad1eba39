"""`file_load`: a file is written and synced to its disk over and over beside the run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.fault import FaultError
from loadproof.faults.machine import need
from loadproof.units import format_bytes

if TYPE_CHECKING:
    from loadproof.faults.lifeline import Lifeline

BLOCK: Final = 1024 * 1024
IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


class FileLoad:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._bytes: int = settings["size"]
        self._rate: int | None = settings.get("rate")
        self._folder: str | None = settings.get("folder")

    def shares(self) -> list[dict[str, Any]]:
        # The one for temporary files is in memory on many systems.
        usual = (tempfile.gettempdir(), str(Path.cwd()))
        folder = self._folder or next((one for one in usual if not _why_not(one)), usual[0])
        if why_not := _why_not(folder):
            raise FaultError(f"the folder {folder} {why_not}: name another with `folder`")
        need(self._bytes, shutil.disk_usage(folder).free, f"the disk of {folder}")
        return [{**self._settings, "folder": folder}]

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


def _why_not(folder: str) -> str:
    """Why no disk is pressed there; nothing if one is."""
    try:
        device = Path(folder).stat().st_dev
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "cannot be written"
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        place, _, kind = line.partition(" - ")
        if place.split()[2] == number and kind.split()[0] in IN_MEMORY:
            return "is in memory, on no disk"
    return ""
