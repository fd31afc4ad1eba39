"""Rules that would fail if the run ended now: the judge's word on the intervals so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from distributed.limits import limits_us
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.grammar import parse_rule

if TYPE_CHECKING:
    from distributed.placement import Seat
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

EVERY_S: Final = 2.0


class Trouble:
    """Judges at most every two seconds, since a look takes longer than a second's other work."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rules = [parse_rule(rule.text) for rule in plan.rules]
        self._evidence = Evidence(plan, limits_us(plan))
        self._judged = 0.0
        self._lines: tuple[str, ...] = ()

    def add(self, seat: Seat, interval: Interval) -> None:
        self._evidence.add(seat.worker, seat.region, interval)

    def lines(self, now_us: int) -> tuple[str, ...]:
        return self._lines
