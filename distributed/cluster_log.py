"""`cluster.jsonl`: what a master has to know again when it is killed and started anew on the same run folder.

Each line is written before what it says is sent, so whatever a worker may follow stands here. A last line that was cut
was never sent.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from distributed.run_folder import end_line
from loadproof.errors import RunFolderError, UsageError
from loadproof.plan.edits import LoadEdit

if TYPE_CHECKING:
    from pathlib import Path

    from distributed.membership import Placement

NAME: Final = "cluster.jsonl"
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class ClusterLog:
    """The writing end; RunFolderError when the disk takes no more."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._written: dict[str, int] = {}
        """Worker -> the revision of the latest placement that stands here."""
        try:
            end_line(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def began(self, start_ns: int) -> None:
        """Zero of the run clock on CLOCK_MONOTONIC, which begins with the machine."""
        self._write(began=start_ns, boot=_boot_id())

    def admitted(self, worker: str, epoch: int, life: str, joined_us: int | None) -> None:
        self._write(admitted=worker, epoch=epoch, life=life, joined_us=joined_us)

    def lost(self, worker: str, epoch: int, why: str) -> None:
        self._write(lost=worker, epoch=epoch, why=why)

    def placing(self, placement: Placement) -> None:
        """Before a placement is sent; one that stands here already is not written again."""
        if self._written.get(placement.worker) != placement.revision:
            self._written[placement.worker] = placement.revision
            self._write(
                placed=placement.worker, revision=placement.revision, pieces=_ranges(sorted(placement.pieces))
            )

    def edited(self, edit: LoadEdit) -> None:
        self._write(edited=edit.at_us, load=edit.load)

    def close(self) -> None:
        # What could not be written was said when it was to be written.
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, **facts: Any) -> None:
        try:
            self._file.write(json.dumps(facts) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> RunFolderError:
        return RunFolderError(f"{self._path} cannot be written: {error.strerror}; free space there")


@dataclass
class RememberedEpoch:
    """One process that had been let in."""

    worker: str
    epoch: int
    life: str
    joined_us: int | None
    lost: str | None = None


@dataclass
class Remembered:
    """What the lines come to."""

    start_ns: int
    epochs: list[RememberedEpoch] = field(default_factory=list)
    revisions: dict[str, int] = field(default_factory=dict)
    """Worker -> the highest revision that it may have been sent."""
    holders: dict[int, str] = field(default_factory=dict)
    """Piece -> on whom it was placed last."""
    edits: list[LoadEdit] = field(default_factory=list)

    def held(self, worker: str) -> frozenset[int]:
        """The pieces that only this worker may carry."""
        return frozenset(piece for piece, holder in self.holders.items() if holder == worker)


def read_cluster_log(folder: Path) -> Remembered:
    """UsageError, saying what to do instead, when a run cannot be gone on with."""
    path = folder / NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): there is no run to go on with in {folder}"
        ) from error
    remembered: Remembered | None = None
    epochs: dict[tuple[str, int], RememberedEpoch] = {}
    revisions: dict[str, int] = {}
    holders: dict[int, str] = {}
    edits: list[LoadEdit] = []
    for number, line in enumerate(lines, start=1):
        try:
            facts = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise UsageError(f"{path}, line {number} is damaged: use `loadproof recover`") from error
        if "began" in facts:
            if facts["boot"] != _boot_id():
                raise UsageError(
                    f"the machine was started anew since {folder} began, and with it its clock: use `loadproof recover`"
                )
            remembered = Remembered(facts["began"])
        elif "admitted" in facts:
            epoch = RememberedEpoch(facts["admitted"], facts["epoch"], facts["life"], facts["joined_us"])
            epochs[epoch.worker, epoch.epoch] = epoch
        elif "lost" in facts:
            epochs[facts["lost"], facts["epoch"]].lost = facts["why"]
        elif "edited" in facts:
            edits.append(LoadEdit(facts["edited"], facts["load"]))
        elif "placed" in facts:
            worker = facts["placed"]
            revisions[worker] = max(revisions.get(worker, 0), facts["revision"])
            for first, last, step in facts["pieces"]:
                holders.update(dict.fromkeys(range(first, last + 1, step), worker))
    if remembered is None:
        raise UsageError(
            f"the load of {folder} had not begun: there is nothing to go on with, start the run anew"
        )
    remembered.epochs, remembered.revisions, remembered.holders = list(epochs.values()), revisions, holders
    remembered.edits = edits
    return remembered


def _ranges(pieces: list[int]) -> list[tuple[int, int, int]]:
    """(first, last, step) over and over: what a worker carries is mostly every so-manieth piece."""
    ranges: list[tuple[int, int, int]] = []
    position = 0
    while position < len(pieces):
        first = pieces[position]
        step = pieces[position + 1] - first if position + 1 < len(pieces) else 1
        last = first
        while position + 1 < len(pieces) and pieces[position + 1] - last == step:
            last = pieces[position + 1]
            position += 1
        ranges.append((first, last, step))
        position += 1
    return ranges


def _boot_id() -> str | None:
    try:
        with open(BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 no path of ours
            return file.read().strip()
    except OSError:
        return None
