"""One pass over all journals in order of time, for the judge's evidence, the timeline and the tables.

Memory is bounded by the number of series, seconds and distinct errors, never by the number of intervals.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final

from analyzer.model import CheckSample, Second
from analyzer.quantiles import P50, P95, P99, quantiles
from analyzer.rows import MetricRow, RowPacker
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    CheckCounts,
    Endpoint,
    ErrorKey,
    Exchanges,
    Interval,
    MetricSummary,
    Outcome,
    Series,
    SeriesKey,
)
from loadproof.plan.profile import phase_at, user_us_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadproof.plan.model import Plan

CHECK_SAMPLES: Final = 20
"""Failed checks of one name that are kept to be shown."""
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True)
class Source:
    """One journal that counts: who wrote it, and its intervals in order of time."""

    worker: str
    region: str
    intervals: Iterable[Interval]


@dataclass
class WorkerFold:
    region: str
    requests: int = 0
    users_max: int = 0
    cpu_us: int = 0
    length_us: int = 0
    cpu_ratio_max: float = 0.0
    longest_us: int = 0
    throttled_us: int | None = None
    steal_us: int | None = None
    pacer_lag: Histogram = field(default_factory=Histogram)
    receive_lag: Histogram = field(default_factory=Histogram)

    def add(self, interval: Interval) -> None:
        self.requests += interval.started
        self.users_max = max(self.users_max, sum(interval.users.values()))
        self.cpu_us += interval.cpu_us
        self.length_us += interval.length_us
        if interval.length_us:
            self.cpu_ratio_max = max(self.cpu_ratio_max, interval.cpu_us / interval.length_us)
        self.longest_us = max(self.longest_us, interval.length_us)
        self.throttled_us = _plus(self.throttled_us, interval.throttled_us)
        self.steal_us = _plus(self.steal_us, interval.steal_us)
        self.pacer_lag += interval.pacer_lag
        self.receive_lag += interval.receive_lag


class Fold:
    """What the whole run adds up to; fed one second of all workers at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started = 0
        self.series: dict[tuple[str, SeriesKey], Series] = {}
        """By region."""
        self.exchanges: dict[Endpoint, Exchanges] = {}
        self.checks: dict[str, CheckCounts] = {}
        self.check_samples: dict[str, list[CheckSample]] = {}
        self.metrics: dict[str, MetricSummary] = {}
        self.errors: dict[ErrorKey, int] = {}
        self.task_errors: dict[str, int] = {}
        self.workers: dict[str, WorkerFold] = {}
        self.timeline: list[Second] = []
        self.rows = RowPacker()

    def add(self, second: int, seen: list[tuple[Source, Interval]]) -> None:
        """All intervals of one second; seconds come in ascending order."""
        for missing in range(len(self.timeline), second):
            self._close_second(missing, [], {})
        merged: dict[tuple[str, SeriesKey], Series] = {}
        for source, interval in seen:
            for key, series in interval.series.items():
                _merge(merged, (source.region, key), series)
            self._add_interval(source, interval)
        for (region, key), series in sorted(merged.items()):
            _merge(self.series, (region, key), series)
            self._add_row(second, region, key, series)
        self._close_second(second, [interval for _, interval in seen], merged)

    def _add_interval(self, source: Source, interval: Interval) -> None:
        self.started += interval.started
        worker = self.workers.setdefault(source.worker, WorkerFold(source.region))
        worker.add(interval)
        for endpoint, exchanges in interval.exchanges.items():
            known = self.exchanges.setdefault(endpoint, Exchanges())
            known += exchanges
        for check, counts in interval.checks.items():
            total = self.checks.setdefault(check.check, CheckCounts())
            total += counts
        for metric, summary in interval.metrics.items():
            if metric.metric in self.metrics:
                self.metrics[metric.metric] += summary
            else:
                self.metrics[metric.metric] = MetricSummary(
                    summary.count, summary.total, summary.min, summary.max
                )
        for error, count in interval.errors.items():
            self.errors[error] = self.errors.get(error, 0) + count
        for text, count in interval.task_errors.items():
            self.task_errors[text] = self.task_errors.get(text, 0) + count
        for failed in interval.evidence:
            samples = self.check_samples.setdefault(failed.check, [])
            if len(samples) < CHECK_SAMPLES:
                samples.append(CheckSample(source.worker, failed.scenario, failed.at_us, failed.detail))

    def _add_row(self, second: int, region: str, key: SeriesKey, series: Series) -> None:
        histogram = series.histogram
        if histogram.max is None:
            return
        p50, p95, p99 = quantiles(histogram, P50, P95, P99)
        mean = histogram.total / histogram.count
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
                mean,
                p50,
                p95,
                p99,
                histogram.max,
                series.bytes_received,
            )
        )

    def _close_second(
        self, second: int, intervals: list[Interval], merged: dict[tuple[str, SeriesKey], Series]
    ) -> None:
        counts = dict.fromkeys(Outcome, 0)
        ok = Histogram()
        for (_, key), series in merged.items():
            counts[key.outcome] += series.histogram.count
            if key.outcome is Outcome.OK:
                ok += series.histogram
        p50, p95, p99 = quantiles(ok, P50, P95, P99) if ok.count else (None, None, None)
        start = second * _SECOND_US
        phase = phase_at(self.plan.load, start)
        self.timeline.append(
            Second(
                second=second,
                phase=phase.name if phase else None,
                users_planned=user_us_between(self.plan.load, start, start + _SECOND_US) / _SECOND_US,
                users=sum(map(_active_users, intervals)) if intervals else None,
                in_flight=sum(interval.in_flight for interval in intervals) if intervals else None,
                ok=counts[Outcome.OK],
                failed=counts[Outcome.FAILED] + counts[Outcome.TIMEOUT],
                unfinished=counts[Outcome.UNFINISHED],
                p50_us=p50,
                p95_us=p95,
                p99_us=p99,
            )
        )


def seconds(sources: Iterable[Source]) -> Iterator[tuple[int, list[tuple[Source, Interval]]]]:
    """All journals merged into seconds, ascending; one interval a journal is held beside the second's own."""
    streams = [_numbered(number, source) for number, source in enumerate(sources)]
    merged = heapq.merge(*streams, key=lambda entry: entry[:2])
    for second, entries in groupby(merged, key=lambda entry: entry[0]):
        yield second, [(source, interval) for _, _, source, interval in entries]


def _numbered(number: int, source: Source) -> Iterator[tuple[int, int, Source, Interval]]:
    for interval in source.intervals:
        yield interval.second, number, source, interval


def _merge(into: dict[tuple[str, SeriesKey], Series], key: tuple[str, SeriesKey], series: Series) -> None:
    known = into.get(key)
    if known is None:
        known = into[key] = Series(Histogram(), [0] * len(series.over))
    known += series


def _active_users(interval: Interval) -> float:
    """Mean active users within the interval."""
    if not interval.length_us:
        return sum(interval.users.values())
    return sum(interval.user_us.values()) / interval.length_us


def _plus(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more
