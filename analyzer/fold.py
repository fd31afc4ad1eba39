"""One pass over all journals in order of time, for the judge's evidence, the timeline and metrics.csv.

Memory is bounded by the number of series and seconds, never by the number of intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from analyzer.heat import HeatFold
from analyzer.model import Second
from analyzer.quantiles import P50, P95, P99, quantiles
from analyzer.rows import MetricRow, RowPacker
from analyzer.seconds import MergedSecond, Source, in_bulk, one_by_one
from loadproof.measure.arrays import quantiles_each
from loadproof.measure.interval import ErrorKey, Interval, Outcome, Series, Timed
from loadproof.measure.merge import add_into, added
from loadproof.plan.arrivals import volume_before
from loadproof.plan.profile import phase_at, user_us_between
from loadproof.verdict.evidence import OTHER, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.measure.histogram import Histogram
    from loadproof.plan.model import Plan
    from loadproof.verdict.tallies import RegionSeries

_SECOND_US: Final = 1_000_000


@dataclass
class Health:
    """How one worker fared, beside what the judge keeps of it."""

    pacer_lag: Histogram
    receive_lag: Histogram
    user_wait: Histogram
    users_max: int = 0
    cpu_us: int = 0
    length_us: int = 0
    stamped: int = 0
    unstamped: int = 0

    def add(self, interval: Interval) -> None:
        self.users_max = max(self.users_max, sum(interval.users.values()))
        self.cpu_us += interval.cpu_us
        self.length_us += interval.length_us
        self.pacer_lag += interval.pacer_lag
        self.receive_lag += interval.receive_lag
        self.user_wait += interval.user_wait
        self.stamped += interval.stamped
        self.unstamped += interval.unstamped


class Fold:
    """What all journals add up to."""

    def __init__(self, plan: Plan, limits_us: Sequence[int]) -> None:
        self.plan = plan
        self.evidence = Evidence(plan, limits_us)
        self.health: dict[str, Health] = {}
        self.timeline: list[Second] = []
        self.rows = RowPacker()
        self.durations: dict[tuple[Timed, str], Histogram] = {}
        """What else was timed, by its name, over the whole run."""
        self.heat = HeatFold(-(-plan.duration_us // _SECOND_US))
        self.error_seconds: dict[ErrorKey | str, tuple[int, int]] = {}
        """When each error, or exception that left a task, was first and last seen; keys as in the evidence."""

    def read(self, sources: Iterable[Source]) -> None:
        """Read all journals to their ends, interval by interval; call it once."""
        self._read(one_by_one(sources))

    def read_in_bulk(self, sources: Iterable[Source]) -> None:
        """As `read`, several times as fast; after a DoubtError only a new Fold can read them, one by one."""
        self._read(in_bulk(sources, self.evidence.limits_us, self.evidence.takes))

    def _read(self, seconds: Iterable[MergedSecond]) -> None:
        for one in seconds:
            second = one.second
            for missing in range(self.timeline[-1].second + 1 if self.timeline else min(0, second), second):
                self._close_second(missing, [], {})
            for source, interval, ended in one.parts:
                self.evidence.add(source.worker, source.region, interval, ended)
                self._see_errors(second, interval)
                self._see_worker(source.worker, interval)
                for timed, histogram in interval.durations.items():
                    add_into(self.durations, {(timed.timed, timed.name): histogram})
            if one.apart:
                for key, series in one.series.items():
                    self.evidence.add_series(key, series, second)
            self._add_rows(second, one.series)
            self._close_second(second, [interval for _, interval, _ in one.parts], one.series)

    def _see_worker(self, worker: str, interval: Interval) -> None:
        health = self.health.get(worker)
        if health is None:
            health = self.health[worker] = Health(
                interval.pacer_lag.nothing(), interval.receive_lag.nothing(), interval.user_wait.nothing()
            )
        health.add(interval)

    def _see_errors(self, second: int, interval: Interval) -> None:
        places: list[ErrorKey | str] = [
            error if error in self.evidence.errors else error._replace(message=OTHER)
            for error in interval.errors
        ]
        places += [text if text in self.evidence.task_errors else OTHER for text in interval.task_errors]
        for place in places:
            first, _ = self.error_seconds.get(place, (second, second))
            self.error_seconds[place] = (first, second)

    def _add_rows(self, second: int, merged: dict[RegionSeries, Series]) -> None:
        rows = sorted([one for one in merged.items() if one[1].histogram.count], key=itemgetter(0))
        shown = quantiles_each([series.histogram for _, series in rows], P50, P95, P99)
        for ((region, key), series), (p50, p95, p99) in zip(rows, shown, strict=True):
            histogram = series.histogram
            assert histogram.max is not None
            self.rows.add(
                MetricRow(
                    second,
                    region,
                    key.scenario,
                    key.method,
                    key.name,
                    key.outcome.value,
                    key.phase,
                    histogram.count,
                    histogram.total / histogram.count,
                    p50,
                    p95,
                    p99,
                    histogram.max,
                    series.bytes_received,
                    " ".join(key.faults),
                )
            )

    def _close_second(
        self, second: int, intervals: Sequence[Interval], merged: dict[RegionSeries, Series]
    ) -> None:
        counts = dict.fromkeys(Outcome, 0)
        for where, series in merged.items():
            counts[where.series.outcome] += series.histogram.count
        ok = added(series.histogram for where, series in merged.items() if where.series.outcome is Outcome.OK)
        self.heat.add(second, ok)
        p50, p95, p99 = quantiles(ok, P50, P95, P99) if ok.count else (None, None, None)
        start = second * _SECOND_US
        taken, dropped = _starts(intervals)
        phase = phase_at(self.plan.load, start)
        self.timeline.append(
            Second(
                second=second,
                phase=phase.name if phase else None,
                users_planned=user_us_between(self.plan.load, start, start + _SECOND_US) / _SECOND_US,
                users=sum(map(_active_users, intervals)) if intervals else None,
                in_flight=sum(interval.in_flight for interval in intervals) if intervals else None,
                covered_us=max((interval.length_us for interval in intervals), default=0),
                ok=counts[Outcome.OK],
                failed=counts[Outcome.FAILED] + counts[Outcome.TIMEOUT],
                unfinished=counts[Outcome.UNFINISHED],
                p50_us=p50,
                p95_us=p95,
                p99_us=p99,
                starts_planned=_planned_starts(self.plan, start) if self.plan.open else None,
                starts_taken=taken if self.plan.open and intervals else None,
                starts_dropped=dropped if self.plan.open and intervals else None,
                pacer_lag_p99_us=_p99(interval.pacer_lag for interval in intervals),
                receive_lag_p99_us=_p99(interval.receive_lag for interval in intervals),
                user_wait_p99_us=_p99(interval.user_wait for interval in intervals),
            )
        )


def _starts(intervals: Sequence[Interval]) -> tuple[int, int]:
    """(taken, dropped) of an open plan."""
    counts = [counts for interval in intervals for counts in interval.arrivals.values()]
    return sum(one.taken for one in counts), sum(one.no_user + one.late for one in counts)


def _p99(histograms: Iterable[Histogram]) -> int | None:
    """Over all of them together; None where they hold nothing."""
    merged = added(histograms)
    return quantiles(merged, P99)[0] if merged.count else None


def _planned_starts(plan: Plan, start_us: int) -> float:
    """The integral of the rate over one second: no whole number where the next start is due later."""
    return volume_before(plan.load, start_us + _SECOND_US) - volume_before(plan.load, start_us)


def _active_users(interval: Interval) -> float:
    """Mean active users within the interval."""
    if not interval.length_us:
        return sum(interval.users.values())
    return sum(interval.user_us.values()) / interval.length_us
