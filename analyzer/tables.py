"""The report's tables out of the evidence: totals and groups of them, series, checks, metrics, errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from analyzer.model import (
    ArrivalTotals,
    CheckSample,
    CheckTotals,
    ErrorTotals,
    Group,
    MetricTotals,
    SeriesRow,
    Totals,
)
from analyzer.quantiles import latency
from analyzer.wording import endpoint_text
from loadproof.measure.interval import CheckCounts, Outcome
from loadproof.measure.merge import added
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.rates import PEAK_SECONDS, completed
from loadproof.verdict.selection import Requests, Selection
from loadproof.verdict.tallies import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import ErrorKey
    from loadproof.verdict.case import Case
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.tallies import RegionSeries, Tally


@dataclass(frozen=True)
class Tables:
    """The evidence of a run as tables, in the very terms that rules are judged in."""

    case: Case

    @property
    def evidence(self) -> Evidence:
        return self.case.evidence

    def totals(self, selection: Selection) -> Totals:
        requests = Requests(self.evidence, selection)
        ok = requests.histogram([Outcome.OK])
        timeouts = requests.histogram([Outcome.TIMEOUT]).count
        ended, dropped = requests.ended, sum(requests.dropped.values())
        length_us = self.case.timeline.length_us(selection.phases)
        taken = {key: tally for key, tally in self.evidence.totals.items() if selection.takes(key)}
        first_byte = added(
            _first_byte(tally) for key, tally in taken.items() if key.series.outcome is Outcome.OK
        )
        return Totals(
            requests=ended,
            ok=ok.count,
            failures=requests.histogram([Outcome.FAILED]).count + timeouts,
            timeouts=timeouts,
            unfinished=requests.histogram([Outcome.UNFINISHED]).count,
            rate_per_s=ok.count * SECOND_US / length_us if length_us else None,
            peak_rate_per_s=self._peak(selection),
            error_ratio=(requests.errors + dropped) / (ended + dropped) if ended + dropped else None,
            latency=latency(ok),
            bytes_received=sum(tally.bytes_received for tally in taken.values()),
            bytes_sent=sum(tally.bytes_sent for tally in taken.values()),
            first_byte=latency(first_byte),
        )

    def by_scenario(self, phases: frozenset[str]) -> tuple[Group, ...]:
        names = {where.series.scenario for where in self._started_in(phases)}
        return tuple(Group(name, self.totals(Selection(phases, scenario=name))) for name in sorted(names))

    def by_region(self, phases: frozenset[str]) -> tuple[Group, ...]:
        names = {where.region for where in self._started_in(phases)}
        return tuple(Group(name, self.totals(Selection(phases, region=name))) for name in sorted(names))

    def by_name(self, phases: frozenset[str]) -> tuple[Group, ...]:
        """By endpoint, named `POST /policies/:id`."""
        endpoints = sorted({(where.series.name, where.series.method) for where in self._started_in(phases)})
        texts = Counter(endpoint_text(method, name) for name, method in endpoints)
        return tuple(
            # One endpoint named with its method and without it is two: neither may hide the other.
            Group(
                text if texts[text] == 1 else f"{method} {name}",
                self.totals(Selection(phases, name=name, method=method)),
            )
            for name, method in endpoints
            for text in (endpoint_text(method, name),)
        )

    def by_phase(self) -> tuple[Group, ...]:
        """Every phase that the run reached, in the plan's order."""
        return tuple(
            Group(
                span.phase.name,
                self.totals(Selection(frozenset({span.phase.name}))),
                warmup=span.phase.warmup,
            )
            for span in self.case.timeline.spans
            if span.start_us < self.case.timeline.end_us
        )

    def series(self) -> tuple[SeriesRow, ...]:
        rows = []
        for (region, key), tally in sorted(self.evidence.totals.items(), key=lambda item: item[0]):
            of, first_byte = latency(tally.histogram), latency(_first_byte(tally))
            if of is not None and first_byte is not None:
                names = (region, key.scenario, key.method, key.name, key.outcome, key.phase)
                wire = (tally.bytes_received, tally.bytes_sent, first_byte, key.faults)
                rows.append(SeriesRow(*names, tally.histogram.count, of, *wire))
        return tuple(rows)

    def arrivals(self) -> ArrivalTotals:
        """Over the whole run."""
        rows = [row for seconds in self.evidence.arrivals.values() for _, row in seconds.items()]
        return ArrivalTotals(*(sum(row[column] for row in rows) for column in range(3)))

    def checks(self) -> tuple[CheckTotals, ...]:
        """Over the whole run: warm-up is no excuse for a broken invariant."""
        found: dict[str, CheckCounts] = {}
        for where, counts in self.evidence.checks.items():
            total = found.setdefault(where.check.check, CheckCounts())
            total += counts
        return tuple(
            CheckTotals(
                name, found[name].passed, found[name].failed, found[name].skipped, self._samples(name)
            )
            for name in sorted(found)
        )

    def metrics(self) -> tuple[MetricTotals, ...]:
        found: dict[str, Metric] = {}
        for where, metric in self.evidence.metrics.items():
            total = found.setdefault(where.metric.metric, Metric())
            total.count += metric.count
            total.total += metric.total
            total.min = min((low for low in (total.min, metric.min) if low is not None), default=None)
            total.max = max((high for high in (total.max, metric.max) if high is not None), default=None)
        return tuple(
            MetricTotals(name, metric.count, float(metric.total / metric.count), metric.min, metric.max)
            for name, metric in sorted(found.items())
            if metric.count and metric.min is not None and metric.max is not None
        )

    def errors(self, seen: Mapping[ErrorKey | str, tuple[int, int]]) -> tuple[ErrorTotals, ...]:
        """The most frequent first; `seen` tells the first and the last second of each."""
        never = (None, None)
        found = [
            ErrorTotals(*error, count, *seen.get(error, never))
            for error, count in self.evidence.errors.items()
        ]
        found += [
            ErrorTotals("", "", "", text, count, *seen.get(text, never))
            for text, count in self.evidence.task_errors.items()
        ]
        return tuple(
            sorted(
                found,
                key=lambda error: (-error.count, error.name, error.method, error.scenario, error.message),
            )
        )

    def outcomes(self) -> dict[Outcome, int]:
        """Requests of the whole run by outcome."""
        counts = dict.fromkeys(Outcome, 0)
        for where, tally in self.evidence.totals.items():
            counts[where.series.outcome] += tally.histogram.count
        return counts

    def _samples(self, check: str) -> tuple[CheckSample, ...]:
        return tuple(
            CheckSample(worker, sample.scenario, sample.at_us, sample.detail)
            for worker, sample in self.evidence.samples.get(check, [])
        )

    def _started_in(self, phases: frozenset[str]) -> list[RegionSeries]:
        return [where for where in self.evidence.totals if where.series.phase in phases]

    def _peak(self, selection: Selection) -> float | None:
        """As the statistic `peak_rate`; None when no phase has ten full seconds."""
        counts = completed(self.case, selection, any_phase=True) or {}
        best = None
        for _, stretch in self.case.timeline.phases(selection.phases):
            sums = [0, *accumulate(counts.get(second, 0) for second in stretch.full_seconds)]
            for end in range(PEAK_SECONDS, len(sums)):
                best = max(best or 0, sums[end] - sums[end - PEAK_SECONDS])
        return None if best is None else best / PEAK_SECONDS


def _first_byte(tally: Tally) -> Histogram:
    """Answers that came whole in one read have the time of their end for that of their first byte."""
    return tally.histogram if tally.first_byte is None else tally.first_byte
