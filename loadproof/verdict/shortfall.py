"""What is missing from a run, as requests: for the question whether a broken limit stays broken with them.

A closed model plans users, not requests. Missing requests are therefore the missing time of active users,
times the most requests that a user made per unit of time in any full 10 s that had at least half of its
planned load: as if the missing ones had met the target at its best.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING

from loadproof.plan.profile import user_us_between
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import RunFacts

WINDOW: int = 10


class Shortfall:
    """Planned minus seen user time; seconds past the plan's end have neither."""

    def __init__(self, plan: Plan, evidence: Evidence, facts: RunFacts) -> None:
        self._plan = plan
        self._evidence = evidence
        self._facts = facts
        self._seconds = -(-plan.duration_us // SECOND_US)
        self._tables: dict[str | None, tuple[list[int], list[int]]] = {}

    def user_us(self, from_second: int, to_second: int, region: str | None) -> int:
        """Missing user time in [from_second, to_second), never below 0."""
        planned, seen = self._table(region)
        first, last = max(0, from_second), min(self._seconds, to_second)
        if first >= last:
            return 0
        return max(0, planned[last] - planned[first] - (seen[last] - seen[first]))

    def in_flight(self, region: str | None) -> int:
        """Requests that torn epochs had begun and never told the end of."""
        torn = {epoch.worker for epoch in self._facts.epochs if not epoch.complete}
        return sum(
            max(0, worker.started - worker.ended)
            for name, worker in self._evidence.workers.items()
            if name in torn and region in {None, worker.region}
        )

    def best_rate(self, counts: Mapping[int, int], region: str | None) -> Fraction:
        """The most of something that was counted per user-microsecond; 0 if nothing was."""
        planned, seen = self._table(region)
        sums = [0, *accumulate(counts.get(second, 0) for second in range(self._seconds))]
        length = min(WINDOW, self._seconds)
        best = Fraction(0)
        for first in range(self._seconds - length + 1):
            active = seen[first + length] - seen[first]
            if active and 2 * active >= planned[first + length] - planned[first]:
                best = max(best, Fraction(sums[first + length] - sums[first], active))
        return best

    def count(self, counts: Mapping[int, int], seconds: Iterable[range], region: str | None) -> int:
        """How many more of what `counts` holds by second there would be, had nothing been missing."""
        user_us = sum(self.user_us(part.start, part.stop, region) for part in seconds)
        return ceil(user_us * self.best_rate(counts, region)) + self.in_flight(region)

    @property
    def has_absent_workers(self) -> bool:
        """Whether some planned worker or some epoch's end is missing."""
        seen = {epoch.worker for epoch in self._facts.epochs}
        return any(worker not in seen for worker, _ in self._facts.planned) or not all(
            epoch.complete for epoch in self._facts.epochs
        )

    def planned_workers(self, region: str | None) -> int:
        return sum(region in {None, home} for _, home in self._facts.planned)

    def _table(self, region: str | None) -> tuple[list[int], list[int]]:
        """Running sums (planned, seen) up to each second."""
        if region not in self._tables:
            planned = planned_user_us(self._plan, self._seconds, region)
            seen = seen_user_us(self._evidence, self._seconds, region)
            self._tables[region] = ([0, *accumulate(planned)], [0, *accumulate(seen)])
        return self._tables[region]


def planned_user_us(plan: Plan, seconds: int, region: str | None = None) -> list[int]:
    """User time that the plan asks for in each second; of one region by its weight, up to its `max_users`."""
    load = plan.load
    table = [user_us_between(load, second * SECOND_US, (second + 1) * SECOND_US) for second in range(seconds)]
    if region is None:
        return table
    weights = {
        known.name: Fraction(known.workers if known.weight is None else known.weight)
        for known in plan.regions
    }
    total = sum(weights.values())
    share = weights.get(region, Fraction(0)) / total if total else Fraction(0)
    cap = next((known.max_users for known in plan.regions if known.name == region), None)
    parts = [int(user_us * share) for user_us in table]
    return parts if cap is None else [min(part, cap * SECOND_US) for part in parts]


def seen_user_us(evidence: Evidence, seconds: int, region: str | None = None) -> list[int]:
    """User time that the workers' intervals tell of, by second."""
    table = [0] * seconds
    for (home, _), active in evidence.user_us.items():
        if region in {None, home}:
            for second, user_us in active.items():
                if 0 <= second < seconds:
                    table[second] += user_us
    return table
