"""Baselines: found by what a user calls them, read as digests, and kept in the run folder as `baseline.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from analyzer.digest import Digest  # noqa: TC001 msgspec reads the annotation
from analyzer.manifest import UNREADABLE, read_manifest
from analyzer.whole_file import put
from loadproof.errors import RunFolderError
from loadproof.verdict.result import Verdict
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE: Final = "baseline.json"
SCHEMA_VERSION: Final = 1
_LATEST: Final = "latest:"


class Baselines(msgspec.Struct, frozen=True):
    """What a run folder tells of its baselines."""

    baselines: tuple[Digest, ...]
    leave: bool = False
    """Compare them though they are not alike."""
    schema_version: int = SCHEMA_VERSION

    def values(self) -> dict[str, float]:
        """What each rule measured in them, in its unit; the mean of several as a comparison takes it."""
        found: dict[str, float] = {}
        every = {told.what: told for digest in self.baselines for told in digest.rules}
        for what, told in every.items():
            values = [
                one.value
                for digest in self.baselines
                for one in digest.rules
                if one.what == what and one.value is not None
            ]
            if len(values) == len(self.baselines):
                found[what] = _mean(values, relative=told.unit != Unit.RATIO)
        return found


def _mean(values: Sequence[float], *, relative: bool) -> float:
    if relative and all(value > 0 for value in values):
        return math.exp(math.fsum(map(math.log, values)) / len(values)) if len(values) > 1 else values[0]
    return math.fsum(values) / len(values)


def keep_baselines(folder: Path, baselines: Baselines) -> None:
    """Write them beside the run; RunFolderError where that cannot be."""
    put(folder / FILE, msgspec.json.format(msgspec.json.encode(baselines), indent=1) + b"\n")


def read_baselines(folder: Path, notes: list[str]) -> Baselines | None:
    """Those that the folder holds; a file that cannot be believed is a note, and no baseline."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Baselines)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except UNREADABLE as error:
        why = f"is cut or damaged ({error})"
    notes.append(f"{FILE} {why}: nothing is compared; name the baselines again with --baseline")
    return None


def find_baselines(words: Sequence[str], reports: Path, run: Path | None, name: str) -> list[Path]:
    """The run folders that `--baseline` words name; RunFolderError for one that names none.

    A word is a run folder; a folder of them, which means those of the plan `name` that are not INVALID; or
    `latest:NAME`, the newest such run below `reports`. `run` is never its own baseline.
    """
    found: list[Path] = []
    for word in words:
        if word.startswith(_LATEST):
            wanted = word.removeprefix(_LATEST)
            runs = list(_fit_runs(reports, wanted, run))
            if not runs:
                raise RunFolderError(f"{word}: {reports} has no judged run of the plan {wanted!r}; {_HINT}")
            found.append(runs[-1])
            continue
        path = Path(word)
        if is_run(path):
            found.append(path)
            continue
        runs = list(_fit_runs(path, name, run)) if path.is_dir() else []
        if not runs:
            what = f"has no judged run of the plan {name!r}" if path.is_dir() else "is no folder"
            raise RunFolderError(f"{word} {what}; {_HINT}")
        found += runs
    kept = [path for path in dict.fromkeys(found) if run is None or path.resolve() != run.resolve()]
    if not kept:
        raise RunFolderError("a run cannot be its own baseline: name another")
    return kept


_HINT: Final = "name a run folder, a folder of them, or latest:NAME"


def is_run(path: Path) -> bool:
    """Whether a folder is a run's: it has a plan beside a manifest or journals."""
    return (path / "plan.yaml").is_file() and (
        (path / "manifest.json").is_file() or (path / "journals").is_dir()
    )


@dataclass(frozen=True)
class FoundRun:
    """A run folder as its manifest tells of it."""

    path: Path
    manifest: dict[str, Any]

    @property
    def started(self) -> str:
        """UTC in ISO 8601, which sorts by time; empty where it is not known."""
        return str(self.manifest.get("started_utc") or "")


def runs_in(folder: Path) -> list[FoundRun]:
    """Every run folder directly below, the oldest first; RunFolderError where there is no such folder."""
    try:
        places = sorted(path for path in folder.iterdir() if not path.is_symlink() and is_run(path))
    except OSError as error:
        raise RunFolderError(f"{folder}: {error.strerror}; name a folder of run folders") from error
    found = [FoundRun(path, read_manifest(path / "manifest.json")[1]) for path in places]
    return sorted(found, key=lambda one: (one.started, one.path.name))


def _fit_runs(folder: Path, name: str, run: Path | None) -> Iterator[Path]:
    for one in runs_in(folder):
        is_run_itself = run is not None and one.path.resolve() == run.resolve()
        if one.manifest.get("name") == name and not is_run_itself and _is_fit(one):
            yield one.path


def _is_fit(run: FoundRun) -> bool:
    """Judged, and not INVALID but for rules without data: the first run has no baseline for its rules."""
    if run.manifest.get("smoke"):
        return False
    if run.manifest.get("verdict") in {Verdict.PASS, Verdict.WARN, Verdict.FAIL}:
        return True
    try:
        results = msgspec.json.decode((run.path / "results.json").read_bytes(), type=_Results)
    except (OSError, *UNREADABLE):
        return False
    return all(reason.code == "no_data" for reason in results.reasons if reason.verdict == Verdict.INVALID)


class _Reason(msgspec.Struct):
    verdict: str
    code: str


class _Results(msgspec.Struct):
    reasons: tuple[_Reason, ...]
