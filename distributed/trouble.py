"""Rules that would fail if the run ended now: the judge's word on the intervals so far."""

from __future__ import annotations

import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

from distributed.limits import limits_us
from distributed.placement import seats
from loadproof.verdict.evidence import SECOND_US, Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Sample, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import broken_aborts, judge_rules
from loadproof.verdict.result import RuleVerdict
from loadproof.verdict.samples import sampled_name

if TYPE_CHECKING:
    from distributed.placement import Seat
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan
    from loadproof.verdict.result import RuleResult

EVERY_S: Final = 3.0
ABORT_EVERY_S: Final = 1.0
SAMPLES: Final = 4 * 3_600
"""The latest of each resource or expression that a rule goes by: four hours of them."""
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
        self._planned = tuple((seat.worker, seat.region) for seat in seats(plan.regions))
        self._next = time.monotonic() + EVERY_S
        self._lines: tuple[str, ...] = ()
        self._reported_us: dict[str, int] = {}
        self._samples: dict[str, deque[Sample]] = {
            sampled_name(rule): deque(maxlen=SAMPLES) for rule in self._rules if rule.statistic.is_sampled
        }
        self._abort_at = 0.0 if any(rule.abort for rule in plan.rules) else inf

    def add(self, seat: Seat, interval: Interval) -> None:
        self._evidence.add(seat.worker, seat.region, interval)
        if (worker := self._evidence.workers.get(seat.worker)) is not None:
            # How fit a worker was in each second is no rule's matter, and would fill the memory in a long run.
            worker.seconds.clear()
        self._reported_us[seat.worker] = interval.start_us + interval.length_us

    def sample(self, at_us: int, name: str, value: float) -> None:
        if name in self._samples:
            self._samples[name].append(Sample(at_us, value))

    def fired(self, now_us: int) -> RuleResult | None:
        """An abort rule that is broken by what all workers have reported; looks once a second at most."""
        begun = time.monotonic()
        if begun < self._abort_at or not self._reported_us:
            return None
        # Of a second that is not over nobody knows how its window ends.
        known_us = min(self._reporting()) // SECOND_US * SECOND_US
        broken = broken_aborts(self._plan, self._evidence, self._facts(known_us), now_us)
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
        judged = judge_rules(self._plan, self._rules, self._evidence, self._facts(reported_us))
        return tuple(
            f"{result.rule}: {result.reason}" for result in judged if result.verdict is RuleVerdict.FAIL
        )
