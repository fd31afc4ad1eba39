"""The next run of a folder of runs: waited for until it is closed, and no older one taken in its place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from analyzer.manifest import read_manifest
from loadproof.errors import NoRunError, RunFolderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S: Final = 60.0
"""How long a run that ends may take to be closed: twice the default of `stop_timeout`."""
_LOOK_S: Final = 0.2


class NextRun:
    """The first run that is begun in a folder once this object is made; RunFolderError if that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._old = frozenset(self._names())
        self._begun: Path | None = None

    def find(self) -> Path | None:
        """Its folder; None before there is one, and when its master has taken it away since nothing could be run."""
        if self._begun is None or not self._begun.is_dir():
            new = (self.folder / name for name in sorted(self._names() - self._old))
            self._begun = next((path for path in new if _is_begun(path)), None)
        return self._begun

    def wait(self, asked_to_end: Callable[[], int], say: Callable[[str], None]) -> Path:
        """Return when it is closed; or, asked to end, a minute later at most, and at once when asked twice.

        NoRunError when nobody has begun a run by then. `asked_to_end` tells how often that was asked.
        """
        say(f"waiting for the next run in {self.folder}")
        told: Path | None = None
        deadline: float | None = None
        while True:
            found = self.find()
            if found is not None and _is_closed(found):
                return found
            if found is not None and found != told:
                say(f"{found} has begun")
                told = found
            asked = asked_to_end()
            if asked and found is None:
                raise NoRunError(f"no run was begun in {self.folder}: there is nothing to judge")
            if asked and deadline is None:
                say(f"told to end: waiting up to {PATIENCE_S:.0f} s until {found} is closed")
                deadline = time.monotonic() + PATIENCE_S
            if found is not None and deadline is not None and (asked > 1 or time.monotonic() > deadline):
                say(f"{found} is not closed: judging what is there")
                return found
            time.sleep(_LOOK_S)

    def _names(self) -> set[str]:
        try:
            return {entry.name for entry in self.folder.iterdir() if entry.is_dir()}
        except OSError as error:
            raise RunFolderError(
                f"{self.folder}: {error.strerror}; name the folder that the next run is written to"
            ) from error


def _is_begun(run: Path) -> bool:
    """Its master has written down that it begins; what `recover` puts together was begun before."""
    manifest, _, _ = read_manifest(run / "manifest.json")
    return (run / "manifest.json").is_file() and (manifest is None or manifest.recovered is None)


def _is_closed(run: Path) -> bool:
    manifest, _, _ = read_manifest(run / "manifest.json")
    return manifest is not None and manifest.closed
