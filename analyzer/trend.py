"""A folder of runs over time: what each measured, and since which run it is another."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from analyzer.baselines import runs_in
from analyzer.conditions import conditions, unlike
from analyzer.folder import read_effective_plan
from analyzer.manifest import UNREADABLE, refuse_newer
from loadproof.errors import RunFolderError
from loadproof.verdict.change_points import change_points
from loadproof.verdict.difference import ALPHA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from analyzer.baselines import FoundRun

_LATENCIES: Final = ("p50", "p95", "p99")


@dataclass(frozen=True)
class TrendRun:
    """One run; `totals` and `by_name` are those of its results.json."""

    run: str
    folder: str
    started: str
    verdict: str
    totals: Mapping[str, Any]
    by_name: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """From `run` on; `before` and `after` are medians of the runs between changes."""

    run: str
    before: float
    after: float
    p: float

    @property
    def relative(self) -> float | None:
        """None from 0."""
        return self.after / self.before - 1 if self.before else None


@dataclass(frozen=True)
class Series:
    """One statistic over the runs, None where one does not tell it."""

    where: str
    """An endpoint, or empty for all requests."""
    what: str
    unit: str
    values: tuple[float | None, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Trend:
    name: str
    runs: tuple[TrendRun, ...]
    series: tuple[Series, ...]
    left_out: tuple[str, ...]
    """Which runs are not in it and why, in sentences."""


def trend(folder: Path, name: str | None = None, last: int | None = None) -> Trend:
    """The runs below a folder that are like its newest one, the oldest first.

    `name` picks a plan, else it is that of the newest run; `last` takes no more than so many. RunFolderError when
    there is no judged run.
    """
    left_out: list[str] = []
    every = runs_in(folder)
    if name is None and every:
        name = str(every[-1].manifest.get("name", ""))
    runs = [one for one in every if one.manifest.get("name") == name]
    if len(runs) < len(every):
        left_out.append(f"{len(every) - len(runs)} runs are of other plans than {name}")
    fit = list(_fit(runs, left_out))[-last if last else 0 :]
    if not fit:
        which = "" if name is None else f" of the plan {name!r}"
        raise RunFolderError(
            f"{folder} has no judged run{which} that is valid; `loadproof runs list` shows all"
        )
    found = tuple(run for run, _ in fit)
    return Trend(name or "", found, _series(found), tuple(left_out))


def _fit(runs: Sequence[FoundRun], left_out: list[str]) -> Iterator[tuple[TrendRun, dict[str, str]]]:
    """Those with results of worth and the conditions of the newest among them."""
    read: list[tuple[TrendRun, dict[str, str]]] = []
    for one in runs:
        run = _results(one)
        if run is None:
            left_out.append(f"{one.path.name} was never judged: `loadproof report` does it")
        elif run.verdict == "INVALID":
            left_out.append(f"{one.path.name} is INVALID")
        else:
            try:
                refuse_newer(one.path, one.manifest)
                plan = read_effective_plan(one.path / "plan.yaml", one.manifest)
            except RunFolderError as error:
                left_out.append(str(error).partition("\n")[0].removesuffix(":"))
                continue
            read.append((run, conditions(plan, one.manifest, smoke=bool(one.manifest.get("smoke")))))
    for run, found in read:
        differing = unlike(read[-1][1], found, run.folder)
        if differing:
            left_out.append(f"{run.folder} is not like the newest run: {differing[0]}")
        else:
            yield run, found


def _results(one: FoundRun) -> TrendRun | None:
    try:
        found = msgspec.json.decode((one.path / "results.json").read_bytes(), type=_Results)
    except (OSError, *UNREADABLE):
        return None
    return TrendRun(found.run, one.path.name, one.started, found.verdict, found.totals, found.by_name)


class _Results(msgspec.Struct):
    run: str
    verdict: str
    totals: dict[str, Any]
    by_name: dict[str, dict[str, Any]]


def _series(runs: Sequence[TrendRun]) -> tuple[Series, ...]:
    """All requests first, then each endpoint that every run has; one false change in twenty such tables."""
    drawn: list[tuple[str, str, str, list[float | None]]] = []
    whole = [run.totals for run in runs]
    drawn += [("", what, "ms", _latencies(whole, what)) for what in _LATENCIES]
    drawn.append(("", "error_ratio", "ratio", [_number(totals.get("error_ratio")) for totals in whole]))
    drawn.append(("", "rate", "per_s", [_number(totals.get("rate_per_s")) for totals in whole]))
    names = [name for name in runs[-1].by_name if all(name in run.by_name for run in runs)]
    for name in names:
        totals = [run.by_name[name] for run in runs]
        drawn += [(name, what, "ms", _latencies(totals, what)) for what in _LATENCIES]
        drawn.append((name, "error_ratio", "ratio", [_number(one.get("error_ratio")) for one in totals]))
    alpha = ALPHA / len(drawn)
    ids = [run.run for run in runs]
    return tuple(
        Series(where, what, unit, tuple(values), _changes(ids, values, alpha))
        for where, what, unit, values in drawn
    )


def _changes(runs: Sequence[str], values: Sequence[float | None], alpha: float) -> tuple[Change, ...]:
    known = [(run, value) for run, value in zip(runs, values, strict=True) if value is not None]
    numbers = [value for _, value in known]
    points = change_points(numbers, alpha)
    edges = [0, *(point.index for point in points), len(numbers)]
    return tuple(
        Change(
            known[point.index][0],
            statistics.median(numbers[edges[at] : point.index]),
            statistics.median(numbers[point.index : edges[at + 2]]),
            point.p,
        )
        for at, point in enumerate(points)
    )


def _latencies(totals: Sequence[Mapping[str, Any]], what: str) -> list[float | None]:
    return [
        _number(latency.get(what)) if isinstance(latency := one.get("latency_ms"), dict) else None
        for one in totals
    ]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def document(found: Trend) -> dict[str, Any]:
    """The trend as plain values."""
    return {
        "schema_version": 1,
        "name": found.name,
        "left_out": list(found.left_out),
        "runs": [
            {"run": run.run, "folder": run.folder, "started_utc": run.started, "verdict": run.verdict}
            for run in found.runs
        ],
        "series": [
            {
                "where": series.where,
                "what": series.what,
                "unit": series.unit,
                "values": list(series.values),
                "changes": [
                    {
                        "run": change.run,
                        "before": change.before,
                        "after": change.after,
                        "change": change.relative,
                        "p": change.p,
                    }
                    for change in series.changes
                ],
            }
            for series in found.series
        ],
    }
