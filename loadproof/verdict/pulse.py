"""A run by the second, as far as it shows whether its target was well."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loadproof.measure.interval import Outcome
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.shortfall import seen_user_us
from loadproof.verdict.tallies import COUNT, ERRORS, TOTAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.verdict.case import Case


class Second(NamedTuple):
    """What was asked of the target in a second, and what it made of it."""

    load: float
    """Users that were active, on average; in an open plan the starts that were due."""
    started: int
    ok: int
    """Ok requests that ended in it, whenever they began."""
    timed: int
    """Those of them that tell how quick the target was."""
    timed_us: int
    """Sum of their latencies."""
    bad: int
    """Errors that tell how well the target was, with starts that were dropped."""
    late_us: int = 0
    """How late our own starts were: the largest P99 of `pacer_lag` of a worker."""


def summed(seconds: Iterable[Second]) -> Second:
    columns = list(zip(*seconds, strict=True))
    return Second(*(sum(column) for column in columns))


class Pulse:
    """Every full second of a run, as far as it got."""

    def __init__(self, case: Case) -> None:
        self.length = case.timeline.end_us // SECOND_US
        self._load = _load(case, self.length)
        self._started = [0] * self.length
        for seconds in case.evidence.flow.values():
            for second, flow in seconds.items():
                if 0 <= second < self.length:
                    self._started[second] += flow.started
        self._every = [[0, 0, 0] for _ in range(self.length)]
        """Second -> [ok requests, sum of their latencies, errors]."""
        self._of_fault: dict[str, dict[int, list[int]]] = {}
        """Fault -> the same of what lay in its window with any part."""
        for key, rows in case.evidence.seconds.items():
            is_ok = key.series.outcome is Outcome.OK
            for second, row in rows.items():
                told = (row[COUNT], row[TOTAL], 0) if is_ok else (0, 0, row[ERRORS])
                self._add(second, key.series.faults, told)
        self._late = [0] * self.length
        for worker in case.evidence.workers.values():
            for one in worker.seconds:
                if 0 <= one.second < self.length:
                    self._late[one.second] = max(self._late[one.second], one.pacer_lag_us or 0)
        for start, fates in case.evidence.arrivals.items():
            for second, (_, no_user, late) in fates.items():
                self._add(second, start.arrival.faults, (0, 0, no_user + late))

    def seconds(self, first: int, stop: int, after: str | None = None) -> Sequence[Second]:
        """Those in [first, stop).

        When a fault is over, what had begun in its window still tells of the fault: `after` it only its ok requests
        count, and these only as work that was done.
        """
        left = self._of_fault.get(after or "", {})
        found = []
        for second in range(max(0, first), min(stop, self.length)):
            ok, ok_us, bad = self._every[second]
            old_ok, old_us, old_bad = left.get(second, (0, 0, 0))
            found.append(
                Second(
                    self._load[second],
                    self._started[second],
                    ok,
                    ok - old_ok,
                    ok_us - old_us,
                    bad - old_bad,
                    self._late[second],
                )
            )
        return found

    def _add(self, second: int, faults: Iterable[str], told: Sequence[int]) -> None:
        if not 0 <= second < self.length or not any(told):
            return
        rows = [self._every[second]]
        rows += (self._of_fault.setdefault(fault, {}).setdefault(second, [0, 0, 0]) for fault in faults)
        for row in rows:
            for column, value in enumerate(told):
                row[column] += value


def _load(case: Case, length: int) -> list[float]:
    if not case.plan.open:
        return [user_us / SECOND_US for user_us in seen_user_us(case.evidence, length)]
    starts = case.shortfall.starts(None)
    return [float(starts.planned(range(second, second + 1))) for second in range(length)]
