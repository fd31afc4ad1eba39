"""One complete run folder out of what a dead master and its workers left; the evidence itself is never touched."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from analyzer.manifest import UNREADABLE
from analyzer.remains import Remains, find_remains, sha256
from loadproof.errors import RunFolderError

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence
    from pathlib import Path

_STOPS: Final = ("stop", "abort")
"""Events by which the master noted that a run was to end before its plan."""


@dataclass(frozen=True)
class Recovered:
    """The new run folder, ready to be judged."""

    folder: Path
    notes: tuple[str, ...]
    """What was damaged, lost or left out, a sentence each; the report has them too."""


def recover(folders: Sequence[Path], now: datetime.datetime) -> Recovered:
    """Collect journals, plan, manifest, events and samples into a new folder beside the master's.

    Of each epoch the copy that reaches furthest is taken. What died with the master stays unknown: the target's
    counts, Locust's own total, samples after its death.

    RunFolderError when there is no plan or no journal of the run, when folders of several runs are mixed, when
    two copies contradict each other, or when the new folder cannot be written.
    """
    for folder in folders:
        if not folder.is_dir():
            raise RunFolderError(
                f"{folder}: there is no such folder; name the run folder and the workers' journal folders"
            )
    try:
        remains = find_remains(folders)
    except OSError as error:
        raise RunFolderError(f"{error.filename}: cannot be read: {error.strerror}") from error
    place = _new_folder(remains.home if remains.home is not None else remains.plan_file.parent)
    said = {
        "utc": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "folders": [str(folder) for folder in folders],
        "notes": remains.notes,
        "plan_on_trust": remains.manifest is None,
    }
    try:
        _copy_evidence(remains, place)
        _copy_samples(remains, place)
        _copy_events(remains, place, said)
        manifest = _base_manifest(remains) | remains.raw | _closed(remains) | {"recovered": said}
        (place / "manifest.json").write_text(
            json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise RunFolderError(
            f"{place}: cannot be written: {error.strerror}; free space there. What was given is unchanged"
        ) from error
    return Recovered(place, tuple(remains.notes))


def _new_folder(beside: Path) -> Path:
    """`<folder>-recovered`, or the first such name that is free."""
    if beside.name in {"", ".."}:
        beside = beside.resolve()
    for number in range(1, 1_000):
        place = beside.with_name(f"{beside.name}-recovered" + (f"-{number}" if number > 1 else ""))
        try:
            place.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise RunFolderError(
                f"{place}: cannot be made: {error.strerror}; copy the folders to a place that is writable"
            ) from error
        return place
    raise RunFolderError(f"{beside}-recovered and many more exist: remove those that are not needed")


def _copy_evidence(remains: Remains, place: Path) -> None:
    (place / "journals").mkdir()
    shutil.copyfile(remains.plan_file, place / "plan.yaml")
    for (worker, epoch), copy in remains.epochs.items():
        if copy is not None and copy.state is not None:
            shutil.copyfile(copy.path, place / "journals" / f"{worker}-{epoch}.journal")
    if remains.home is not None and (remains.home / "run.log").is_file():
        shutil.copyfile(remains.home / "run.log", place / "run.log")


def _copy_samples(remains: Remains, place: Path) -> None:
    """The lines before the first that is cut: a killed master may leave half of one, which would cost them all."""
    if remains.home is None or not (remains.home / "samples.jsonl").is_file():
        return
    whole = []
    lines = (remains.home / "samples.jsonl").read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            msgspec.json.decode(line)
        except UNREADABLE:
            remains.notes.append(
                f"{remains.home / 'samples.jsonl'}: line {number} is cut or damaged; only those before it are used"
            )
            break
        whole.append(line)
    (place / "samples.jsonl").write_bytes(b"".join(whole))


def _copy_events(remains: Remains, place: Path, said: dict[str, Any]) -> None:
    events = b""
    if remains.home is not None and (remains.home / "events.jsonl").is_file():
        events = (remains.home / "events.jsonl").read_bytes()
        if events and not events.endswith(b"\n"):
            events += b"\n"
    journals = sum(copy is not None for copy in remains.epochs.values())
    event = {
        "at_us": None,
        "utc": said["utc"],
        "kind": "recovered",
        "who": None,
        "text": f"put together from {journals} journals in {', '.join(said['folders'])}",
    }
    (place / "events.jsonl").write_bytes(events + json.dumps(event).encode() + b"\n")


def _base_manifest(remains: Remains) -> dict[str, Any]:
    """What a plan and journals alone tell."""
    plan = remains.plan
    return {
        "schema_version": 1,
        "run": remains.run,
        "name": plan.name,
        "title": plan.title,
        "target": plan.target,
        "seed": plan.seed,
        "plan_sha256": sha256(remains.plan_file),
        "workers": [{"worker": worker, "region": region} for worker, region in remains.planned],
    }


def _closed(remains: Remains) -> dict[str, Any]:
    """What the master would have written at the end, None for what only it knew."""
    manifest = remains.manifest
    was_whole = manifest is not None and all(told.how == "fin" for told in manifest.epochs)
    if manifest is not None and manifest.closed:
        return {
            "epochs": _epochs(remains),
            # Locust's total holds what arrived at the master; the journals may now hold more.
            "locust_counted": manifest.locust_counted if was_whole else None,
        }
    return {
        "closed": True,
        "epochs": _epochs(remains),
        "run_length_us": remains.end_us,
        "stop": _stop(remains),
        "target_counts": None,
        "target_counts_note": "the master ended before it asked the target for its count",
        "locust_counted": None,
    }


def _epochs(remains: Remains) -> list[dict[str, Any]]:
    known = {(told.worker, told.epoch): told for told in remains.manifest.epochs} if remains.manifest else {}
    regions = dict(remains.planned)
    lost = {event.who: event.text for event in remains.events if event.kind == "worker_lost"}
    epochs = []
    for (worker, epoch), copy in remains.epochs.items():
        told = known.get((worker, epoch))
        state = copy.state if copy is not None else None
        is_complete = copy is not None and copy.complete
        epochs.append(
            {
                "worker": worker,
                "region": (state.header.region if state and state.header else regions.get(worker, "")),
                "epoch": epoch,
                "joined_us": told.joined_us if told else None,
                "left_us": told.left_us if told and told.left_us is not None else state and state.last_us,
                "how": "fin" if is_complete else "lost",
                "why": None if is_complete else (told.why if told and told.why else lost.get(worker)),
            }
        )
    return epochs


def _stop(remains: Remains) -> dict[str, Any] | None:
    """Why the run ended before its plan, if it did: a wish that the master noted, or its own death."""
    for event in remains.events:
        if event.kind in _STOPS:
            at_us = remains.end_us if event.at_us is None else event.at_us
            by, rule = ("abort", event.who) if event.kind == "abort" else ("hand", None)
            return {"by": by, "why": event.text, "at_us": max(0, at_us), "rule": rule}
    if remains.end_us >= remains.plan.duration_us:
        return None
    why = "the master died, and the workers ended with it"
    return {"by": "failure", "why": why, "at_us": remains.end_us}
