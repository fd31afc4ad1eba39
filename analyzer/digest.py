"""What a comparison needs of one run: its rules and endpoints in numbers with intervals, and its conditions.

It is small and plain, so the digests of baselines lie in the run folder (`baseline.json`) and the same folder gives
the same comparison on any machine.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import msgspec

from analyzer.beyond import Beyond, Group, groups_beyond
from analyzer.wording import endpoint_text
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Endpoint, Outcome
from loadproof.verdict.clusters import design_effect
from loadproof.verdict.difference import Estimate, estimate
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.intervals import (
    MIN_SECONDS,
    mean_interval,
    share_interval,
)
from loadproof.verdict.latencies import Latencies, calendar, few_seconds
from loadproof.verdict.rates import completed
from loadproof.verdict.result import RuleVerdict
from loadproof.verdict.rule import RECOVERY, Unit
from loadproof.verdict.selection import Selection
from loadproof.verdict.shares import errors_by_second

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.seconds import Source
    from loadproof.verdict.case import Case
    from loadproof.verdict.result import RuleResult
    from loadproof.verdict.rule import Rule

QUANTILES: Final = {"p50": Fraction(1, 2), "p95": Fraction(95, 100), "p99": Fraction(99, 100)}
NO_INTERVAL: Final = "one run does not show how far it lies from the next"


class Told(msgspec.Struct, frozen=True):
    """One statistic of one run in its unit: `us`, `ratio` or `per_s`; None is not known, of a bound not finite."""

    what: str
    """A rule without its limit, or `p50`, `error_ratio`, ..."""
    statistic: str
    unit: str
    value: float | None
    interval: tuple[float | None, float | None] | None = None
    seconds: int = 0
    """Of the judged phases, which the interval was made of."""
    why: str | None = None
    """Why there is no interval, in a clause."""
    lag: float = 0.0
    """Of a latency: how late the generator itself was at the same percentile, in microseconds."""

    def estimate(self) -> Estimate | None:
        """None without a finite value or an interval; a bound that is not known lies infinitely far."""
        if self.value is None or self.interval is None:
            return None
        low = -math.inf if self.interval[0] is None else self.interval[0]
        high = math.inf if self.interval[1] is None else self.interval[1]
        return estimate(self.value, low, high, self.seconds, relative=self.unit != Unit.RATIO)


class EndpointTold(msgspec.Struct, frozen=True):
    name: str
    requests: int
    rows: tuple[Told, ...]


class Digest(msgspec.Struct, frozen=True):
    run: str
    conditions: dict[str, str]
    """What must be alike for two runs to be compared, by what it is called."""
    rules: tuple[Told, ...]
    endpoints: tuple[EndpointTold, ...]


@dataclass(frozen=True)
class Digester:
    """Makes the digest of one run, of which everything was read and judged."""

    case: Case
    phases: frozenset[str]
    """The judged ones."""

    def digest(
        self,
        conditions: dict[str, str],
        judged: Iterable[tuple[Rule, RuleResult]],
        sources: Iterable[Source],
    ) -> Digest:
        """`sources` are the journals from their beginnings: they are read a second time."""
        results = list(judged)
        latencies = self._endpoint_latencies()
        of_endpoints = [
            Group(
                self._of_endpoint(endpoint),
                tuple(histogram.quantile(q) or 0 for q in QUANTILES.values()),
            )
            for endpoint, histogram in latencies.items()
        ]
        of_rules = [self._rule_group(*one) for one in results]
        beyond = groups_beyond(sources, [*of_endpoints, *(group for group in of_rules if group is not None)])
        at_endpoints = dict(zip(latencies, beyond, strict=False))
        rest = iter(beyond[len(of_endpoints) :])
        rules: dict[str, Told] = {}
        for (rule, result), group in zip(results, of_rules, strict=True):
            told = self._rule(rule, result, None if group is None else next(rest))
            rules.setdefault(told.what, told)
        endpoints = self._endpoints(latencies, at_endpoints)
        return Digest(self.case.facts.run, conditions, tuple(rules.values()), endpoints)

    def _rule_group(self, rule: Rule, result: RuleResult) -> Group | None:
        """The requests of a percentile rule, whose seconds are to be looked at around its own value."""
        quantile, value = rule.statistic.quantile, result.value
        selection = self.case.selection(rule)
        if quantile is None or quantile == 1 or rule.window is not None or selection.outcome is not None:
            return None
        return None if value is None or not math.isfinite(value) else Group(selection, (int(value),))

    def _rule(self, rule: Rule, result: RuleResult, beyond: Beyond | None) -> Told:
        selection = self.case.selection(rule)
        seconds = self.case.timeline.length_us(selection.phases) // SECOND_US
        interval = result.confidence
        why = None
        if rule.window is not None:
            why = "a window's value is that of its worst stretch, and " + NO_INTERVAL
        elif rule.statistic.name in RECOVERY:
            interval, why = None, "a fault is a single event, and " + NO_INTERVAL
        elif rule.per is not None:
            why = "growth is held against its limit: a share more of hardly anything says nothing"
        elif beyond is not None:
            interval, why = self._quantile_interval(selection, beyond)
        elif rule.statistic.name == "rate" and result.value is not None:
            interval, why = self._rate_interval(selection, seconds)
        elif interval is None:
            is_short = rule.statistic.is_latency and 0 < seconds < MIN_SECONDS
            why = few_seconds(seconds) if is_short else f"it has no interval: {NO_INTERVAL}"
        if result.value is None or result.verdict is RuleVerdict.NO_DATA:
            return Told(rule.subject, rule.statistic.name, result.unit, None, why=result.reason)
        if not math.isfinite(result.value):
            is_event = rule.statistic.name in RECOVERY
            why = "it never came to pass" if is_event else "it lies among requests that had no answer"
        return Told(
            rule.subject,
            rule.statistic.name,
            result.unit,
            _finite(result.value),
            None if interval is None or why else (_finite(interval[0]), _finite(interval[1])),
            seconds,
            why,
            self._lag_us(rule.statistic.quantile) if rule.statistic.is_latency else 0.0,
        )

    def _lag_us(self, quantile: Fraction | None) -> float:
        """How late timers ran and how late answers were seen, in the judged phases; of a mean both means."""
        pacer, receive = Histogram(), Histogram()
        for (_, phase), (timers, answers) in self.case.evidence.lags.items():
            if phase in self.phases:
                pacer += timers
                receive += answers
        parts = [lag.mean if quantile is None else lag.quantile(quantile) for lag in (pacer, receive)]
        return float(sum(part or 0 for part in parts))

    def _quantile_interval(
        self, selection: Selection, beyond: Beyond
    ) -> tuple[tuple[float, float] | None, str | None]:
        """As that of an endpoint: the judge's own is made at the plan's limits, often far from the value."""
        counts, over = beyond.counts, beyond.over(0)
        filled = sum(1 for count in counts if count)
        if filled < MIN_SECONDS:
            return None, few_seconds(filled)
        n = sum(counts)
        least, most = share_interval(sum(over), n, design_effect(over, counts, sum(over)))
        latencies = Latencies(self.case, selection)
        ranks = (math.ceil((1 - most) * n), math.ceil((1 - least) * n))
        low = latencies.value_at(ranks[0]) if ranks[0] >= 1 else 0.0
        return (low, latencies.value_at(ranks[1]) if least > 0 else math.inf), None

    def _rate_interval(
        self, selection: Selection, seconds: int
    ) -> tuple[tuple[float, float] | None, str | None]:
        """The mean of what full seconds brought; every second is one value, and neighbours are alike."""
        by_second = completed(self.case, selection) or {}
        counts = [
            by_second.get(second, 0)
            for stretch in self.case.stretches(selection)
            for second in stretch.full_seconds
        ]
        if len(counts) < MIN_SECONDS:
            return None, few_seconds(seconds)
        squares = sum(count * count for count in counts)
        effect = design_effect(counts, [1] * len(counts), squares)
        return mean_interval(sum(counts), squares, len(counts), effect), None

    def _endpoint_latencies(self) -> dict[Endpoint, Histogram]:
        """Of the ok requests of each endpoint that was asked in the judged phases."""
        latencies: dict[Endpoint, Histogram] = {}
        for where, tally in self.case.evidence.totals.items():
            key = where.series
            if key.phase in self.phases:
                merged = latencies.setdefault(Endpoint(key.method, key.name), Histogram())
                if key.outcome is Outcome.OK:
                    merged += tally.histogram
        return latencies

    def _of_endpoint(self, endpoint: Endpoint) -> Selection:
        return Selection(self.phases, name=endpoint.name, method=endpoint.method, outcome=Outcome.OK)

    def _endpoints(
        self, latencies: Mapping[Endpoint, Histogram], beyond: Mapping[Endpoint, Beyond]
    ) -> tuple[EndpointTold, ...]:
        lags = [self._lag_us(q) for q in QUANTILES.values()]
        texts = Counter(endpoint_text(*endpoint) for endpoint in latencies)
        told = []
        for endpoint, histogram in sorted(latencies.items()):
            text = endpoint_text(*endpoint)
            name = text if texts[text] == 1 else f"{endpoint.method} {endpoint.name}"
            selection = replace(self._of_endpoint(endpoint), outcome=None)
            rows = quantile_rows(histogram, beyond[endpoint], lags)
            requests = self.case.requests(selection).ended
            told.append(EndpointTold(name, requests, (*rows, self._errors(selection))))
        return tuple(told)

    def _errors(self, selection: Selection) -> Told:
        by_second = errors_by_second(self.case.requests(selection))
        errors = {second: cell[0] for second, cell in by_second.items()}
        hits, counts = calendar(errors, {second: cell[1] for second, cell in by_second.items()})
        total, n = sum(hits), sum(counts)
        filled = sum(1 for count in counts if count)
        if n == 0 or filled < MIN_SECONDS:
            value = total / n if n else None
            return Told("error_ratio", "error_ratio", Unit.RATIO.value, value, why=few_seconds(filled))
        interval = share_interval(total, n, design_effect(hits, counts, total))
        return Told("error_ratio", "error_ratio", Unit.RATIO.value, total / n, interval, len(counts))


def quantile_rows(histogram: Histogram, beyond: Beyond, lags: Sequence[float]) -> Iterable[Told]:
    """Each with its interval: that of the share beyond it, read back as latencies (Woodruff, JASA 47, 1952).

    Rules take exact binomial ranks instead, which for the few samples that alike seconds leave reach out to the
    slowest request: right to prove a limit, but blind for a change.
    """
    counts: Sequence[int] = beyond.counts
    filled = sum(1 for count in counts if count)
    for index, (name, q) in enumerate(QUANTILES.items()):
        unit = Unit.DURATION.value
        value = histogram.quantile(q)
        if value is None:
            yield Told(name, name, unit, None, why="no request was ok")
        elif filled < MIN_SECONDS:
            yield Told(name, name, unit, float(value), why=few_seconds(filled))
        else:
            over = beyond.over(index)
            effect = design_effect(over, counts, sum(over))
            least, most = share_interval(sum(over), histogram.count, effect)
            low = _at_share(histogram, 1 - most)
            high = _at_share(histogram, 1 - least) if least > 0 else None
            yield Told(name, name, unit, float(value), (low, high), len(counts), None, lags[index])


def _at_share(histogram: Histogram, share: float) -> float | None:
    """The latency that this share of requests does not exceed; None below all of them."""
    value = histogram.quantile(share) if share > 0 else None
    return None if value is None else float(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
