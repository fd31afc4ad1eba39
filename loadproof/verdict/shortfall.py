"""What is missing from a run, as requests: for the question whether a broken limit stays broken with them.

A closed model plans users, not requests. Missing requests are therefore the missing time of active users,
times the most requests that a user made per unit of time in any full 10 s that had at least half of its
planned load: as if the missing ones had met the target at its best. An open model plans starts: missing are
those that the plan has and no interval counted, times the most requests that a start made.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING

from loadproof.plan.arrivals import arrivals_before, volume_before
from loadproof.plan.model import ArrivalProcess
from loadproof.plan.profile import user_us_between
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import RunFacts

WINDOW: int = 10


class Shortfall:
    """Planned minus seen load; seconds past the plan's end, or past what is known of a run, have neither."""

    def __init__(self, plan: Plan, evidence: Evidence, facts: RunFacts) -> None:
        self._plan = plan
        self._evidence = evidence
        self._facts = facts
        end_us = plan.duration_us
        if facts.goes_on and facts.stop is not None:
            end_us = min(end_us, facts.stop.at_us)
        self._seconds = -(-end_us // SECOND_US)
        self._tables: dict[str | None, tuple[list[int], list[int]]] = {}
        self._starts: dict[str | None, Starts] = {}

    def user_us(self, from_second: int, to_second: int, region: str | None) -> int:
        """Missing user time in [from_second, to_second), never below 0."""
        planned, seen = self._table(region)
        first, last = max(0, from_second), min(self._seconds, to_second)
        if first >= last:
            return 0
        return max(0, planned[last] - planned[first] - (seen[last] - seen[first]))

    def load(self, from_second: int, to_second: int, region: str | None) -> int:
        """Missing load, never below 0: user time in a closed plan, starts in an open one."""
        if not self._plan.open:
            return self.user_us(from_second, to_second, region)
        seconds = range(max(0, from_second), min(self._seconds, to_second))
        if not seconds:
            return 0
        starts = self.starts(region)
        return max(0, ceil(starts.planned(seconds)) - starts.fewest(seconds))

    def starts(self, region: str | None) -> Starts:
        """Those of an open plan."""
        if region not in self._starts:
            self._starts[region] = Starts(self._plan, self._evidence, self._seconds, region)
        return self._starts[region]

    def in_flight(self, region: str | None) -> int:
        """Requests that torn epochs had begun and never told the end of."""
        torn = {epoch.worker for epoch in self._facts.epochs if not epoch.complete}
        return sum(
            max(0, worker.started - worker.ended)
            for name, worker in self._evidence.workers.items()
            if name in torn and region in {None, worker.region}
        )

    def best_rate(self, counts: Mapping[int, int], region: str | None) -> Fraction:
        """The most of something that was counted per user-microsecond, or per start; 0 if nothing was."""
        planned, seen = self.starts(region).by_count if self._plan.open else self._table(region)
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
        missing = sum(self.load(part.start, part.stop, region) for part in seconds)
        return ceil(missing * self.best_rate(counts, region)) + self.in_flight(region)

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


class Starts:
    """Intended starts of an open plan and those that the workers tell of, in the seconds before `seconds`."""

    def __init__(self, plan: Plan, evidence: Evidence, seconds: int, region: str | None) -> None:
        share, _ = _share(plan, region)
        self._planned = [share * volume for volume in _volumes(plan, seconds)]
        dues = [due for home, due in evidence.due.items() if region in {None, home}]
        self._earliest = _running((due.earliest for due in dues), seconds)
        self._latest = _running((due.latest for due in dues), seconds)
        counted = _running(
            (
                {second: sum(row) for second, row in table.items()}
                for key, table in evidence.arrivals.items()
                if region in {None, key.region}
            ),
            seconds,
        )
        self.by_count = ([ceil(volume) for volume in self._planned], counted)
        """Running sums (planned, seen in the second that counted them) up to each second."""

    def planned(self, seconds: range) -> Fraction:
        """Exact for constant arrivals, expected for Poisson's."""
        return self._planned[seconds.stop] - self._planned[seconds.start]

    def fewest(self, seconds: range) -> int:
        """Starts that can only have been due in these seconds."""
        return max(0, self._latest[seconds.stop] - self._earliest[seconds.start])

    def most(self, seconds: range) -> int:
        """Starts that can have been due in these seconds."""
        return self._earliest[seconds.stop] - self._latest[seconds.start]


def _volumes(plan: Plan, seconds: int) -> list[Fraction]:
    """Starts that the plan has before each second."""
    if plan.arrival_process is ArrivalProcess.POISSON:
        return [Fraction(volume_before(plan.load, second * SECOND_US)) for second in range(seconds + 1)]
    return [Fraction(arrivals_before(plan.load, second * SECOND_US)) for second in range(seconds + 1)]


def _running(tables: Iterable[Mapping[int, int]], seconds: int) -> list[int]:
    """Sums over all before each second, from 0 to `seconds`."""
    found = [0] * seconds
    before = 0
    for table in tables:
        for second, count in table.items():
            if second < 0:
                before += count
            elif second < seconds:
                found[second] += count
    return list(accumulate(found, initial=before))


def planned_user_us(plan: Plan, seconds: int, region: str | None = None) -> list[int]:
    """User time that the plan asks for in each second; of one region by its weight, up to its `max_users`."""
    load = plan.load
    table = [user_us_between(load, second * SECOND_US, (second + 1) * SECOND_US) for second in range(seconds)]
    if region is None:
        return table
    share, cap = _share(plan, region)
    parts = [int(user_us * share) for user_us in table]
    return parts if cap is None else [min(part, cap * SECOND_US) for part in parts]


def _share(plan: Plan, region: str | None) -> tuple[Fraction, int | None]:
    """A region's part of the load by its weight, and its `max_users`; all of it for None."""
    if region is None:
        return Fraction(1), None
    weights = {
        known.name: Fraction(known.workers if known.weight is None else known.weight)
        for known in plan.regions
    }
    total = sum(weights.values())
    share = weights.get(region, Fraction(0)) / total if total else Fraction(0)
    return share, next((known.max_users for known in plan.regions if known.name == region), None)


def seen_user_us(evidence: Evidence, seconds: int, region: str | None = None) -> list[int]:
    """User time that the workers' intervals tell of, by second."""
    table = [0] * seconds
    for (home, _), active in evidence.user_us.items():
        if region in {None, home}:
            for second, user_us in active.items():
                if 0 <= second < seconds:
                    table[second] += user_us
    return table
