"""Rules that would fail if the run ended now: the judge's word on the intervals so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from distributed.limits import limits_us
from distributed.placement import seats
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge_rules
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from distributed.placement import Seat
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

EVERY_S: Final = 3.0
SILENT_US: Final = 5_000_000
PAUSES: Final = 50
"""A look is followed by a pause of at least so many times its length: it takes no more than 2 % of a core."""


class Trouble:
    """Judges a few times a minute at most, since a look takes longer than a second's other work."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rules = [parse_rule(rule.text) for rule in plan.rules]
        self._evidence = Evidence(plan, limits_us(plan))
        self._planned = tuple((seat.worker, seat.region) for seat in seats(plan.regions))
        self._next = time.monotonic() + EVERY_S
        self._lines: tuple[str, ...] = ()
        self._reported_us: dict[str, int] = {}

    def add(self, seat: Seat, interval: Interval) -> None:
        self._evidence.add(seat.worker, seat.region, interval)
        if (worker := self._evidence.workers.get(seat.worker)) is not None:
            # How fit a worker was in each second is no rule's matter, and would fill the memory in a long run.
            worker.seconds.clear()
        self._reported_us[seat.worker] = interval.start_us + interval.length_us

    def lines(self) -> tuple[str, ...]:
        """One line a rule in trouble, as of some seconds ago."""
        begun = time.monotonic()
        if begun >= self._next and self._reported_us:
            # Some workers have reported a second more than others: the evidence reaches to their mean. Who has been
            # silent for longer is gone or cut off, and others carry its load.
            latest = max(self._reported_us.values())
            reported = [at_us for at_us in self._reported_us.values() if at_us > latest - SILENT_US]
            self._lines = self._judge(sum(reported) // len(reported))
            ended = time.monotonic()
            self._next = ended + max(EVERY_S, PAUSES * (ended - begun))
        return self._lines

    def _judge(self, reported_us: int) -> tuple[str, ...]:
        facts = RunFacts(
            run="live",
            planned=self._planned,
            epochs=tuple(Epoch(worker, region, 0, 0, complete=True) for worker, region in self._planned),
            stop=Stop("hand", "a look at a run that goes on", reported_us),
        )
        judged = judge_rules(self._plan, self._rules, self._evidence, facts)
        return tuple(
            f"{result.rule}: {result.reason}" for result in judged if result.verdict is RuleVerdict.FAIL
        )
