"""Runs whose requests share the state of their second, and whose seconds remember: as evidence, made with numpy."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
from judging import SCENARIO, phase, plan_of
from scipy import special, stats

from loadproof.measure.arrays import ArrayHistogram, added_up
from loadproof.measure.interval import CheckCounts, CheckKey, Outcome, SeriesKey
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import RunFacts
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from loadproof.verdict.judge import judge_rules
from loadproof.verdict.tallies import RegionCheck, RegionSeries, Seconds, Tally

if TYPE_CHECKING:
    from numpy.random import Generator

    from loadproof.verdict.result import RuleResult

MEDIAN_US = 100_000
SIGMA = 0.5
"""Latencies are lognormal with this median and spread of their logarithms."""
REST_US = 1_000
REGION = "eu-west-1"


@dataclass(frozen=True)
class Clustered:
    """What is random in a run: how many requests each second has, and how alike they are."""

    seconds: int = 300
    rate: float = 100
    effect: float = 1
    """Design effect of what is counted, from what requests of one second share."""
    memory: float = 0
    """Correlation of the state of neighbouring seconds (AR(1))."""

    def counts(self, rng: Generator) -> np.ndarray:
        return np.maximum(rng.poisson(self.rate, self.seconds), 1)

    def states(self, rng: Generator) -> np.ndarray:
        """Standard normal, one a second."""
        noise = rng.normal(size=self.seconds)
        states = np.empty(self.seconds)
        states[0] = noise[0]
        for second in range(1, self.seconds):
            states[second] = self.memory * states[second - 1] + sqrt(1 - self.memory**2) * noise[second]
        return states

    def shares(self, rng: Generator, share: float) -> np.ndarray:
        """Each second's own share of a mean `share`: beta-distributed, so that the design effect is the one asked."""
        if self.effect <= 1:
            return np.full(self.seconds, share)
        alike = (self.effect - 1) / (self.rate - 1)
        size = 1 / alike - 1
        uniform = stats.norm.cdf(self.states(rng))
        return np.clip(special.betaincinv(share * size, (1 - share) * size, uniform), 0, 1)


@dataclass(frozen=True)
class Requests:
    """What one run made of latencies: values with the second that each lies in, and how many more each second has.

    Those more took `REST_US` each: they lie so far below what a rule looks at that their latencies are of no account.
    """

    second: np.ndarray
    us: np.ndarray
    more: np.ndarray


def quantile_us(quantile: float) -> float:
    return MEDIAN_US * exp(SIGMA * stats.norm.ppf(quantile))


def mean_us() -> float:
    return MEDIAN_US * exp(SIGMA**2 / 2)


def latencies_around(rng: Generator, how: Clustered, quantile: float) -> Requests:
    """The share beyond the true quantile is each second's own; what lies around it is lognormal."""
    counts = how.counts(rng)
    beyond = 1 - quantile
    over = rng.binomial(counts, how.shares(rng, beyond))
    # Of the others, those of the next ranks below; what lies further down is of no account.
    reach = min(3 * beyond, quantile)
    near = rng.binomial(counts - over, reach / quantile)
    ranks = np.concatenate(
        [rng.uniform(quantile, 1, over.sum()), rng.uniform(quantile - reach, quantile, near.sum())]
    )
    values = MEDIAN_US * np.exp(SIGMA * special.ndtri(ranks))
    seconds = np.arange(how.seconds)
    second = np.concatenate([np.repeat(seconds, over), np.repeat(seconds, near)])
    return Requests(second, values.astype(np.int64), counts - over - near)


def latencies_together(rng: Generator, how: Clustered) -> Requests:
    """All lognormal, where a second's state moves the logarithm of each: for the mean."""
    counts = how.counts(rng)
    second = np.repeat(np.arange(how.seconds), counts)
    alike = mean_correlation(how)
    state = (how.states(rng) if how.effect > 1 else np.zeros(how.seconds))[second]
    own = rng.normal(size=len(second))
    us = MEDIAN_US * np.exp(SIGMA * (sqrt(alike) * state + sqrt(1 - alike) * own))
    return Requests(second, us.astype(np.int64), np.zeros(how.seconds, np.int64))


def mean_correlation(how: Clustered) -> float:
    """Of two logarithms of one second, so that two latencies have the correlation which the effect asks for."""
    alike = (how.effect - 1) / (how.rate - 1)
    return log(1 + alike * (exp(SIGMA**2) - 1)) / SIGMA**2


def evidence_of(requests: Requests, rules: tuple[str, ...]) -> Evidence:
    """As if intervals had told of requests that were all ok."""
    evidence = _empty(rules, len(requests.more))
    _add(evidence, Outcome.OK, requests)
    return evidence


def failing(rng: Generator, how: Clustered, share: float, rules: tuple[str, ...]) -> Evidence:
    """A share of requests fails, each second its own."""
    counts = how.counts(rng)
    failed = rng.binomial(counts, how.shares(rng, share))
    evidence = _empty(rules, how.seconds)
    nothing = np.empty(0, np.int64)
    _add(evidence, Outcome.OK, Requests(nothing, nothing, counts - failed))
    _add(evidence, Outcome.FAILED, Requests(nothing, nothing, failed))
    return evidence


def checked(rng: Generator, how: Clustered, share: float, rules: tuple[str, ...]) -> Evidence:
    """A share of checks fails, each second its own."""
    counts = how.counts(rng)
    failed = rng.binomial(counts, how.shares(rng, share))
    evidence = _empty(rules, how.seconds)
    key = RegionCheck(REGION, CheckKey(SCENARIO, "fresh", "steady"))
    evidence.checks[key] = CheckCounts(int((counts - failed).sum()), int(failed.sum()))
    evidence.check_seconds[key] = _table(np.column_stack([counts - failed, failed, np.zeros_like(failed)]))
    return evidence


def _empty(rules: tuple[str, ...], seconds: int) -> Evidence:
    limits = latency_limits_us([parse_rule(text) for text in rules])
    return Evidence(plan_of(*rules, load=[phase(seconds=seconds)]), limits)


def results(evidence: Evidence) -> list[RuleResult]:
    rules = [parse_rule(text.text) for text in evidence.plan.rules]
    return list(
        judge_rules(evidence.plan, rules, evidence, RunFacts("made-up", ((f"{REGION}-01", REGION),), ()))
    )


def bucket_indexes(us: np.ndarray) -> np.ndarray:
    shift = np.maximum(np.frexp(us.astype(float))[1] - 11, 0)
    return (shift << 10) + (us >> shift)


def _add(evidence: Evidence, outcome: Outcome, requests: Requests) -> None:
    """One series; it must have a request, and some of those that `more` counts."""
    seconds, rest = len(requests.more), int(requests.more.sum())
    us = requests.us
    over = [us > limit for limit in evidence.limits_us]
    key = RegionSeries(REGION, SeriesKey(SCENARIO, "GET", "/policies/:id", outcome, "steady"))
    indexes = np.append(bucket_indexes(us), REST_US)
    histogram = ArrayHistogram()
    if rest + len(us):
        buckets = added_up(np.stack([indexes, np.append(np.ones(len(us), np.int64), rest)]))
        least = REST_US if rest else int(us.min())
        exact = (len(us) + rest, int(us.sum()) + rest * REST_US, least, int(us.max(initial=REST_US)))
        histogram = ArrayHistogram.of(buckets, exact)
    failed = len(us) + rest if outcome is Outcome.FAILED else 0
    evidence.totals[key] = Tally(histogram, [int(one.sum()) for one in over], failed)

    def by_second(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(requests.second, values, seconds).astype(np.int64)

    count = by_second() + requests.more
    sums = by_second(us) + requests.more * REST_US
    errors = count if failed else np.zeros(seconds, np.int64)
    evidence.seconds[key] = _table(np.column_stack([count, sums, errors, *map(by_second, over)]))


def _table(rows: np.ndarray) -> Seconds:
    table = Seconds(rows.shape[1])
    for second, row in enumerate(rows.tolist()):
        table.add(second, row)
    return table
