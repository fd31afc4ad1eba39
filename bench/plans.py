"""Runs of loadproof itself: a plan for a scenario file, and what the run's journals say."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processes

from loadproof.measure.histogram import Histogram
from loadproof.measure.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psutil

    from loadproof.measure.interval import Interval, Outcome

STEADY = "steady"
"""The phase that is judged, in every plan here."""
SCENARIOS = Path(__file__).parent / "scenarios"


def write_plan(folder: Path, scenario: str, target: str, load: list[dict[str, Any]], **more: Any) -> Path:
    """A plan file in the folder; JSON is YAML."""
    plan = {
        "name": scenario.replace("_", "-"),
        "locustfile": str(SCENARIOS / f"{scenario}.py"),
        "target": target,
        "load": load,
        "seed": 1,
        **more,
    }
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return path


def run_command(plan: Path, *, judged: bool = False) -> list[str]:
    """`loadproof run` with everything it writes in the plan's folder."""
    command = [sys.executable, "-m", "loadproof", "run", str(plan)]
    command += ["--reports", str(plan.parent / "reports"), "--charts", str(plan.parent / "charts")]
    return [*command, "--json"] if judged else [*command, "--no-analysis", "--quiet"]


def workers(process: psutil.Process) -> list[psutil.Process]:
    """Of a `loadproof run`; its master is the process itself."""
    return [one for one in processes.tree(process) if "distributed.worker_process" in one.cmdline()]


def run_folder(plan: Path) -> Path:
    """The one that the run left."""
    (folder,) = (plan.parent / "reports").iterdir()
    return folder


def intervals(plan: Path, first: int = 0, last: int | None = None) -> list[Interval]:
    """Every worker's intervals of the seconds first to last, the last one not included; by default all.

    RuntimeError when a journal is torn.
    """
    found = []
    for path in sorted((run_folder(plan) / "journals").glob("*.journal")):
        journal = Journal(path)
        found += [
            interval
            for interval in journal.intervals()
            if first <= interval.second and (last is None or interval.second < last)
        ]
        if not journal.state.complete:
            raise RuntimeError(f"{path.name} is torn: {journal.state.damage}")
    return found


def count(intervals: list[Interval], *outcomes: Outcome) -> int:
    """Requests of the steady phase that ended so within the intervals."""
    return sum(histogram.count for histogram in latencies(intervals, *outcomes))


def quantiles_ms(histograms: Iterable[Histogram], *shares: float) -> list[float]:
    """Of all histograms together, in milliseconds; nan of none."""
    total = Histogram()
    for histogram in histograms:
        total += histogram
    found = [total.quantile(share) for share in shares]
    return [math.nan if one is None else one / 1_000 for one in found]


def latencies(intervals: list[Interval], *outcomes: Outcome) -> Iterator[Histogram]:
    """Of the requests that started in the steady phase and ended so."""
    for interval in intervals:
        for key, series in interval.series.items():
            if key.outcome in outcomes and key.phase == STEADY:
                yield series.histogram
