"""manifest.json as the master leaves it: checked before any of it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadproof.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes that are not the JSON they should be can raise."""


SCHEMA_VERSION: Final = 1
"""The newest manifest that is understood; `distributed.run_folder` writes it."""


class PlannedWorker(msgspec.Struct, frozen=True):
    worker: str
    region: str


class AdmittedEpoch(msgspec.Struct, frozen=True):
    """One process life that the master let in; `how` it left is `fin` or `lost`."""

    worker: str
    region: str
    epoch: int
    joined_us: int | None = None
    left_us: int | None = None
    how: str | None = None
    why: str | None = None


class AbsenceNote(msgspec.Struct, frozen=True):
    who: str
    from_us: int
    until_us: int | None = None
    why: str = ""


class GuardNote(msgspec.Struct, frozen=True):
    guard: str
    level: str
    at_us: int
    why: str


class StopNote(msgspec.Struct, frozen=True):
    by: str
    why: str
    at_us: int
    rule: str | None = None
    """The abort rule that fired."""


class EditNote(msgspec.Struct, frozen=True):
    """From `at_us` on there were `users` in place of `was`, to the plan's end or the next edit."""

    at_us: int
    was: int
    users: int
    who: str


class LoadEditNote(msgspec.Struct, frozen=True):
    """From `at_us` on there was so much load, as a search wanted it; in the plan's unit of load."""

    at_us: int
    load: int


class ProbeNote(msgspec.Struct, frozen=True):
    """One probe of a search; see `loadproof.verdict.probes.Step`. What it showed is told by the journals."""

    level: int
    at_us: int
    from_us: int
    to_us: int
    guard: str | None = None
    guarded: str | None = None


class SearchNote(msgspec.Struct, frozen=True):
    """What the search of a run did."""

    edits: tuple[LoadEditNote, ...] = ()
    probes: tuple[ProbeNote, ...] = ()
    ended_us: int | None = None
    """When it ended the run in order; None where something else did."""
    ending: str | None = None


class Recovered(msgspec.Struct, frozen=True):
    """What `recover` says of a folder that it put together."""

    notes: tuple[str, ...] = ()
    plan_on_trust: bool = False
    """No manifest was found that could tell whether the plan is this run's."""


class Manifest(msgspec.Struct, frozen=True):
    """What the report reads of it; unknown keys are kept for results.json and otherwise ignored."""

    run: str
    workers: tuple[PlannedWorker, ...]
    epochs: tuple[AdmittedEpoch, ...]
    closed: bool
    smoke: bool = False
    run_length_us: int | None = None
    plan_sha256: str | None = None
    limits_us: tuple[int, ...] | None = None
    stop: StopNote | None = None
    target_counts: dict[str, int] | None = None
    target_counts_note: str | None = None
    target_count_lost: str | None = None
    locust_counted: int | None = None
    absences: tuple[AbsenceNote, ...] = ()
    quorum_lost: tuple[AbsenceNote, ...] = ()
    users_edited: tuple[EditNote, ...] = ()
    guards: tuple[GuardNote, ...] = ()
    search: SearchNote | None = None
    recovered: Recovered | None = None
    clock_offset_us_max: int | None = None


def refuse_newer(folder: Path, manifest: Mapping[str, Any]) -> None:
    """RunFolderError for a run of a later version: what it says by then, nobody here knows, so nothing is judged."""
    version = manifest.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{folder} is of a newer loadproof: its manifest.json has the schema version {version}, and this one "
            f"reads up to {SCHEMA_VERSION}; take the loadproof that made the run"
        )


def read_manifest(path: Path) -> tuple[Manifest | None, dict[str, Any], str | None]:
    """The manifest typed, as it stands, and what is wrong with it in words; with damage the first is None."""
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None, {}, "manifest.json is missing"
    except OSError as error:
        return None, {}, f"manifest.json cannot be read: {error.strerror}"
    except UNREADABLE as error:
        return None, {}, f"manifest.json is cut or damaged: {error}"
    try:
        return msgspec.convert(raw, Manifest), raw, None
    except msgspec.ValidationError as error:
        return None, raw, f"manifest.json is damaged: {error}"
