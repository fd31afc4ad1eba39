"""What is left of a run whose master died: its plan, manifest, events, and the best copy of every journal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.copies import Copy, find_copies, most_complete
from analyzer.folder import planned_by, read_effective_plan
from analyzer.manifest import Manifest, read_manifest, refuse_newer
from analyzer.side_files import read_events
from loadproof.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from analyzer.model import Event
    from loadproof.plan.model import Plan

Epochs = dict[tuple[str, int], Copy | None]
"""(worker, epoch) -> its journal; None when none was found."""


@dataclass(frozen=True)
class Remains:
    run: str
    home: Path | None
    """The folder that the master wrote."""
    manifest: Manifest | None
    raw: dict[str, Any]
    """The manifest as it stands, with what only its writer knows the meaning of."""
    plan_file: Path
    plan: Plan
    epochs: Epochs
    """In order of worker and epoch."""
    events: tuple[Event, ...]
    notes: list[str]
    """What is damaged, lost or left out, a sentence each."""

    @property
    def planned(self) -> tuple[tuple[str, str], ...]:
        """(worker, region)."""
        return _planned(self.manifest, self.plan)

    @property
    def end_us(self) -> int:
        """Run-clock end of the last interval that anyone wrote."""
        states = [copy.state for copy in self.epochs.values() if copy is not None and copy.state is not None]
        return max((state.last_us for state in states if state.last_us is not None), default=0)


def find_remains(folders: Sequence[Path]) -> Remains:
    """Read everything but the intervals; RunFolderError, see `recover`, where a run cannot be told from it."""
    notes: list[str] = []
    home, manifest, raw = _master(folders, notes)
    plan_file = _plan_file(folders, manifest)
    plan = read_effective_plan(plan_file, raw)
    copies = find_copies(folders, notes)
    run = manifest.run if manifest is not None else _only_run(copies)
    epochs = _best_copies(copies, run, notes)
    if not any(copy and copy.run for copy in epochs.values()):
        raise RunFolderError(
            f"no journal of run {run or plan.name} in {_listed(folders)}: name the workers' journal folders too "
            "(journals/<run> where they ran, or below their --journal-dir)"
        )
    for told in manifest.epochs if manifest else ():
        epochs.setdefault((told.worker, told.epoch), None)
    # A master opens its copy when it lets a worker in, so its folder shows who never came. Without it a worker
    # of which nothing is there may have loaded the target all the same.
    if manifest is None or home is None or not (home / "journals").is_dir():
        came = {worker for worker, _ in epochs}
        for worker, _ in _planned(manifest, plan):
            if worker not in came:
                notes.append(f"no journal of {worker} was given, and what the master knew of it is lost")
                epochs[worker, 0] = None
    return Remains(
        run=run or plan.name,
        home=home,
        manifest=manifest,
        raw=raw,
        plan_file=plan_file,
        plan=plan,
        epochs={key: epochs[key] for key in sorted(epochs)},
        events=() if home is None else tuple(read_events(home / "events.jsonl", [])),
        notes=notes,
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _master(folders: Sequence[Path], notes: list[str]) -> tuple[Path | None, Manifest | None, dict[str, Any]]:
    """The folder that the master wrote, and its manifest as far as it can be read."""
    found: list[tuple[Path, Manifest, dict[str, Any]]] = []
    homes = [folder for folder in folders if (folder / "manifest.json").exists()]
    for folder in homes:
        manifest, raw, damage = read_manifest(folder / "manifest.json")
        refuse_newer(folder, raw)
        if manifest is None:
            notes.append(f"{folder}: {damage}")
        else:
            found.append((folder, manifest, raw))
    for folder, manifest, _ in found[1:]:
        if manifest.run != found[0][1].run:
            raise RunFolderError(
                f"{found[0][0]} is of run {found[0][1].run} and {folder} of run {manifest.run}: "
                "recover one run at a time"
            )
    if found:
        return found[0]
    home = next((folder for folder in (*homes, *folders) if (folder / "events.jsonl").exists()), None)
    return home, None, {}


def _plan_file(folders: Sequence[Path], manifest: Manifest | None) -> Path:
    plans = [folder / "plan.yaml" for folder in folders if (folder / "plan.yaml").is_file()]
    if not plans:
        raise RunFolderError(
            f"no plan.yaml in {_listed(folders)}: copy the plan that was run to one of them under that name, and "
            "recover again"
        )
    digests = {path: sha256(path) for path in plans}
    if manifest is not None and manifest.plan_sha256 is not None:
        return next((path for path in plans if digests[path] == manifest.plan_sha256), plans[0])
    for path in plans[1:]:
        if digests[path] != digests[plans[0]]:
            raise RunFolderError(
                f"{plans[0]} and {path} differ, and no manifest tells which was run: keep the right one only"
            )
    return plans[0]


def _only_run(copies: Sequence[Copy]) -> str | None:
    runs = sorted({copy.run for copy in copies if copy.run is not None})
    if len(runs) > 1:
        raise RunFolderError(
            f"there are journals of several runs ({', '.join(runs)}) and no manifest tells which is meant: "
            "give the folders of one run, or its run folder with them"
        )
    return runs[0] if runs else None


def _best_copies(copies: Sequence[Copy], run: str | None, notes: list[str]) -> Epochs:
    of_epoch: dict[tuple[str, int], list[Copy]] = {}
    for copy in copies:
        if copy.run not in {None, run}:
            notes.append(f"{copy.path} is left out: it belongs to run {copy.run}, not to {run}")
        else:
            of_epoch.setdefault((copy.worker, copy.epoch), []).append(copy)
    best: Epochs = {}
    for key, same in of_epoch.items():
        copy = best[key] = most_complete(same)
        if copy.state is not None and copy.state.damage is None and not copy.complete:
            notes.append(
                f"{copy.path} has no FIN, nor has another copy of {copy.worker}, epoch {copy.epoch}; if that worker "
                "still runs, let it end and recover again"
            )
    return best


def _planned(manifest: Manifest | None, plan: Plan) -> tuple[tuple[str, str], ...]:
    if manifest is not None:
        return tuple((one.worker, one.region) for one in manifest.workers)
    return planned_by(plan)


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))
