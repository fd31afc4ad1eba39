"""`run.log`: what the master and its libraries have to say beside the run's events."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def logging_to(path: Path, level: str) -> Iterator[None]:
    """Append to this file meanwhile whatever is logged at this level or above."""
    log = _Log(path, encoding="utf-8")
    log.setFormatter(logging.Formatter("%(asctime)s master %(levelname)s %(name)s: %(message)s"))
    log.setLevel(level)
    root = logging.getLogger()
    root.addHandler(log)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(log)
        log.close()


class _Log(logging.FileHandler):
    """A full disk must not fill the terminal with what it could not take."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 the name is the library's
        """Say nothing: the run itself soon ends for the same reason, in words."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()
