"""Copies of journals, wherever a run left them: which are of one epoch, which is the most complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyzer.folder import JOURNAL_NAME
from loadproof.errors import JournalError, RunFolderError
from loadproof.measure.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadproof.measure.journal import JournalState

PLACES: Final = (".", "journals", "worker-journals")
"""Where below a given folder journals lie: a worker's own folder, a master's copies, a local run's workers."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Copy:
    """One file that is, or was, the journal of one epoch."""

    path: Path
    worker: str
    epoch: int
    state: JournalState | None
    """None when the file cannot be read at all."""

    @property
    def run(self) -> str | None:
        """None when the file is damaged before it says."""
        return self.state.header.run if self.state and self.state.header else None

    @property
    def complete(self) -> bool:
        return self.state is not None and self.state.complete

    @property
    def whole_bytes(self) -> int:
        """How far it can be believed."""
        return self.state.size if self.state else 0


def find_copies(folders: Sequence[Path], notes: list[str]) -> list[Copy]:
    """Every journal in or just below the folders; `notes` names each that is damaged or no journal of anyone."""
    return [copy for path in _paths(folders) if (copy := _read(path, notes)) is not None]


def most_complete(copies: Sequence[Copy]) -> Copy:
    """The copy of one epoch that reaches furthest.

    RunFolderError when two whole parts differ: then one of them is another run's or was made up, and
    nothing here can tell which.
    """
    best = max(copies, key=lambda copy: (copy.whole_bytes, copy.complete))
    for copy in copies:
        if copy is not best and not _begins_as(best.path, copy.path, copy.whole_bytes):
            raise RunFolderError(
                f"{copy.path} and {best.path} both claim to be the journal of {best.worker}, epoch {best.epoch}, and "
                "contradict each other: give the folders of one run, as its workers left them"
            )
    return best


def _paths(folders: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for folder in folders:
        for place in PLACES:
            for path in sorted((folder / place).glob("*.journal")):
                if (real := path.resolve()) not in seen:
                    seen.add(real)
                    yield path


def _read(path: Path, notes: list[str]) -> Copy | None:
    named = JOURNAL_NAME.fullmatch(path.name)
    state = None
    try:
        state = Journal(path).state
        damage = state.damage
    except JournalError as error:
        damage = str(error)
    if damage is not None:
        kept = state.intervals if state else 0
        about = damage if damage.startswith(str(path)) else f"{path}: {damage}"
        notes.append(f"{about}; {kept} intervals before it are whole")
    header = state.header if state else None
    if header is not None:
        # The name becomes a file's.
        if "/" in header.worker or "\0" in header.worker or header.worker.startswith("."):
            notes.append(f"{path} is left out: its header names no worker, but {header.worker!r}")
            return None
        return Copy(path, header.worker, header.epoch, state)
    if named is None:
        notes.append(f"{path} is left out: neither its name nor its content tells whose journal it is")
        return None
    return Copy(path, named["worker"], int(named["epoch"]), state)


def _begins_as(path: Path, other: Path, size: int) -> bool:
    """Whether the first `size` bytes of two files are the same."""
    if not size:
        return True
    with path.open("rb") as ours, other.open("rb") as theirs:
        while size > 0:
            part = min(size, _CHUNK)
            if ours.read(part) != theirs.read(part):
                return False
            size -= part
    return True
