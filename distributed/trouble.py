"""Rules that would fail if the run ended now: the judge's word on the intervals so far."""

from __future__ import annotations

import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

from distributed.limits import limits_us
from distributed.merged_seconds import MergedSeconds
from distributed.placement import Seat, seats
from loadproof.errors import JournalError
from loadproof.verdict.evidence import SECOND_US, Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Sample, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.growth import sampled_for, want_slices
from loadproof.verdict.judge import broken_aborts, judge_rules
from loadproof.verdict.result import RuleVerdict
from loadproof.verdict.rule import RECOVERY
from loadproof.verdict.samples import sampled_name

if TYPE_CHECKING:
    from loadproof.measure.interval import Interval, SeriesKey
    from loadproof.plan.model import Plan
    from loadproof.verdict.result import RuleResult

EVERY_S: Final = 3.0
ABORT_EVERY_S: Final = 1.0
SAMPLES: Final = 4 * 3_600
"""The latest of each resource or expression that a rule goes by: four hours of them."""
MOST_WAITING: Final = 1_000
"""Intervals that wait for the next look."""
OTHERS: Final = ""
"""In place of every name that no rule asks for: each has a row a second in the memory."""
SILENT_US: Final = 5_000_000
PAUSES: Final = 50
"""A look is followed by a pause of at least so many times its length: it takes no more than 2 % of a core."""


class Trouble:
    """Judges a few times a minute at most, since a look takes longer than a second's other work.

    Abort rules alone are looked at oftener, for another 2 % of the time at most.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rules = [parse_rule(rule.text) for rule in plan.rules]
        self._evidence = Evidence(plan, limits_us(plan))
        self._asked = {
            label: {rule.selector[label] for rule in self._rules if label in rule.selector}
            for label in ("scenario", "method", "name")
        }
        """Label of a series that rules may name -> the values that they do name."""
        self._by_fault = any(
            "fault" in rule.selector or rule.statistic.name in RECOVERY for rule in self._rules
        )
        self._by_region = any("region" in rule.selector for rule in self._rules)
        self._merged = MergedSeconds(self._told_apart)
        self._planned = tuple((seat.worker, seat.region) for seat in seats(plan.regions))
        self._next = time.monotonic() + EVERY_S
        self._lines: tuple[str, ...] = ()
        self.results: tuple[RuleResult, ...] = ()
        """Every rule as of the last look."""
        self._reported_us: dict[str, int] = {}
        want_slices(self._evidence, self._rules)
        names = {sampled_name(rule) for rule in self._rules if rule.statistic.is_sampled}
        for rule in self._rules:
            names |= sampled_for(rule)
        self._samples: dict[str, deque[Sample]] = {name: deque(maxlen=SAMPLES) for name in sorted(names)}
        self._abort_at = 0.0 if any(rule.abort for rule in plan.rules) else inf

    def add(self, seat: Seat, interval: Interval) -> None:
        """JournalError, and nothing is taken, if it counts against other limits."""
        limits = len(self._evidence.limits_us)
        if any(len(series.over) != limits for series in interval.series.values()):
            raise JournalError(
                f"second {interval.second} of {seat.worker} does not count against {limits} limits"
            )
        self._merged.add(seat if self._by_region else Seat(seat.worker, OTHERS), interval)
        self._reported_us[seat.worker] = interval.start_us + interval.length_us
        if self._merged.waiting >= MOST_WAITING:
            self._take_merged()

    def sample(self, at_us: int, name: str, value: float) -> None:
        if name in self._samples:
            self._samples[name].append(Sample(at_us, value))

    def fired(self, now_us: int) -> RuleResult | None:
        """An abort rule that is broken whatever workers have not reported yet; looks once a second at most."""
        begun = time.monotonic()
        if begun < self._abort_at or not self._reported_us:
            return None
        self._take_merged()
        # Up to the slowest worker a pause is a pause of all; up to the fastest, what others did since is missing, and
        # taken as ok. Of a second that is not over nobody knows how its window ends.
        reporting = self._reporting()
        known = {at_us // SECOND_US * SECOND_US for at_us in (min(reporting), max(reporting))}
        looks = [
            broken_aborts(self._plan, self._evidence, self._facts(known_us), now_us)
            for known_us in sorted(known)
        ]
        broken = [one for one in looks[-1] if all(one.rule in {same.rule for same in look} for look in looks)]
        ended = time.monotonic()
        self._abort_at = ended + max(ABORT_EVERY_S, PAUSES * (ended - begun))
        return broken[0] if broken else None

    def lines(self) -> tuple[str, ...]:
        """One line a rule in trouble, as of some seconds ago."""
        begun = time.monotonic()
        if begun >= self._next and self._reported_us:
            # Some workers have reported a second more than others: the evidence reaches to their mean.
            reported = self._reporting()
            self._lines = self._judge(sum(reported) // len(reported))
            ended = time.monotonic()
            self._next = ended + max(EVERY_S, PAUSES * (ended - begun))
        return self._lines

    def _take_merged(self) -> None:
        for merged in self._merged.take():
            for seat, interval in merged.intervals():
                self._evidence.add(seat.worker, seat.region, interval)
                if (worker := self._evidence.workers.get(seat.worker)) is not None:
                    # How fit a worker was in each second is no rule's matter, and would fill the memory.
                    worker.seconds.clear()

    def _told_apart(self, key: SeriesKey) -> SeriesKey:
        """The same key for all series that no rule can tell apart."""
        asked = self._asked
        return key._replace(
            faults=key.faults if self._by_fault else (),
            scenario=key.scenario if key.scenario in asked["scenario"] else OTHERS,
            method=key.method if key.method in asked["method"] else OTHERS,
            name=key.name if key.name in asked["name"] else OTHERS,
        )

    def _reporting(self) -> list[int]:
        """How far each worker has reported; who has been silent is gone or cut off, and others carry its load."""
        latest = max(self._reported_us.values())
        return [at_us for at_us in self._reported_us.values() if at_us > latest - SILENT_US]

    def _facts(self, reported_us: int) -> RunFacts:
        return RunFacts(
            run="live",
            planned=self._planned,
            epochs=tuple(Epoch(worker, region, 0, 0, complete=True) for worker, region in self._planned),
            resources={name: tuple(samples) for name, samples in self._samples.items()},
            stop=Stop("hand", "a look at a run that goes on", reported_us),
            goes_on=True,
        )

    def _judge(self, reported_us: int) -> tuple[str, ...]:
        self._take_merged()
        self.results = judge_rules(self._plan, self._rules, self._evidence, self._facts(reported_us))
        return tuple(
            f"{result.rule}: {result.reason}" for result in self.results if result.verdict is RuleVerdict.FAIL
        )
