"""The temporary folder of one running target: its counters, and its store unless one is named.

A lock tells whether anybody still lives in it. It belongs to the open file, which server processes inherit,
so the kernel frees it when the last of them is gone, however they went. Whoever starts a target next removes
the folders that a SIGKILL of all processes at once left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

PREFIX: Final = "loadproof-target-"
_MAKING: Final = "loadproof-making-"
_LOCK: Final = "lock"


def make_folder() -> Path:
    """A new, locked folder; also removes those that nobody lives in any more."""
    base = Path(tempfile.gettempdir())
    for old in base.glob(PREFIX + "*"):
        _remove_if_deserted(old)
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=base))
    # Deliberately never closed: the lock is held as long as a process has it open.
    lock = os.open(making / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # It gets its name when it is locked, so that nobody takes it for a deserted one.
    return making.rename(base / making.name.replace(_MAKING, PREFIX))


def remove_folder(folder: Path) -> None:
    """Remove it, also while a process that is about to leave still makes files in it."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _remove_if_deserted(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # somebody else's, or removed just now
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    else:
        remove_folder(folder)
    finally:
        os.close(lock)
