"""Closed users against a target whose outage is known to the microsecond, as a run for the judge.

Every user asks, waits for the answer, thinks, and asks again. What the target does with a request that begins at an
instant says a function: `(latency in µs, outcome)`; a latency of None is never answered. The rest follows from it: in
which fault's window a request lay, in which second it ended, what was in flight when a second closed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from judging import SECOND, Run, phase, plan_of

from loadproof.measure.interval import Outcome
from loadproof.plan.model import Fault
from loadproof.plan.profile import phase_at
from loadproof.verdict.facts import FaultTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loadproof.measure.interval import Interval

Answer = tuple[int | None, Outcome]
USERS = 20
THINK_US = 100_000
BASE_US = 50_000


def fault_of(name: str = "outage", at: float = 30, length: float = 10) -> Fault:
    return Fault(kind="switch", name=name, at_us=round(at * SECOND), for_us=round(length * SECOND))


@dataclass
class Target:
    """Answers in 40 to 60 ms; what else it does stands in `spells`, of which the first that speaks counts."""

    spells: tuple[Callable[[int], Answer | None], ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def answer(self, at_us: int) -> Answer:
        for spell in self.spells:
            if (said := spell(at_us)) is not None:
                return said
        return self._random.randrange(40_000, 60_001), Outcome.OK


def errors(begin: float, end: float, share: float = 1.0) -> Callable[[int], Answer | None]:
    """So large a share of requests is refused in 2 ms, evenly spread."""
    count = [0.0]

    def spell(at_us: int) -> Answer | None:
        if not begin * SECOND <= at_us < end * SECOND:
            return None
        count[0] += share
        if count[0] < 1:
            return None
        count[0] -= 1
        return 2_000, Outcome.FAILED

    return spell


def hangs(begin: float, end: float) -> Callable[[int], Answer | None]:
    """Nothing is answered until the end, and then everything, in good order."""

    def spell(at_us: int) -> Answer | None:
        if not begin * SECOND <= at_us < end * SECOND:
            return None
        return round(end * SECOND) - at_us + BASE_US, Outcome.OK

    return spell


def is_dead(begin: float) -> Callable[[int], Answer | None]:
    """From here on nothing is ever answered."""
    return lambda at_us: (None, Outcome.UNFINISHED) if at_us >= begin * SECOND else None


def heals(begin: float, end: float, from_us: int = 500_000) -> Callable[[int], Answer | None]:
    """Latency falls on a straight line to what it is otherwise."""

    def spell(at_us: int) -> Answer | None:
        if not begin * SECOND <= at_us < end * SECOND:
            return None
        left = (end * SECOND - at_us) / ((end - begin) * SECOND)
        return round(BASE_US + (from_us - BASE_US) * left), Outcome.OK

    return spell


def slow(begin: float, end: float, us: int) -> Callable[[int], Answer | None]:
    return lambda at_us: (us, Outcome.OK) if begin * SECOND <= at_us < end * SECOND else None


def run_with(
    *rules: str,
    faults: Iterable[Fault] = (fault_of(),),
    target: Target,
    users: int = USERS,
    load=None,
    tail: int = 30,
    known: bool = True,
) -> Run:
    """A run of these rules; `known` says that the events tell of the faults, by the plan's times."""
    faults = tuple(faults)
    plan = plan_of(*rules, load=load or (phase(seconds=90, users=users),)).model_copy(
        update={"faults": faults}
    )
    run = Run(plan, tail=tail)
    if known:
        run.facts["faults_begun"] = frozenset(fault.name for fault in faults)
        run.facts["fault_times"] = {
            fault.name: FaultTimes(fault.at_us, fault.until_us + 1_000) for fault in faults
        }
    started = [0] * run.seconds
    open_since: list[list[int]] = [[] for _ in range(run.seconds)]
    for user in range(max(one.users_to for one in plan.load)):
        for begin, end in _play(run, target, user):
            started[begin // SECOND] += 1
            for second in range(begin // SECOND, end // SECOND):
                open_since[second].append(begin)

    def tell(worker: str, second: int, interval: Interval) -> None:
        held = open_since[second]
        interval.in_flight = len(held)
        interval.oldest_us = (second + 1) * SECOND - min(held) if held else None
        interval.started = started[second]

    return run.change(tell)


def _play(run: Run, target: Target, user: int) -> Iterator[tuple[int, int]]:
    """When each request of one user began and ended, from the phase on in which there are so many users."""
    plan = run.plan
    worker = run.workers[0][0]
    last_us = plan.duration_us
    until_us = last_us + run.tail * SECOND
    at_us = user * 7_001
    while at_us < last_us:
        now = phase_at(plan.load, at_us)
        if now is None or user >= now.users_to:
            at_us += SECOND
            continue
        latency_us, outcome = target.answer(at_us)
        end_us = until_us - 1 if latency_us is None else at_us + latency_us
        if end_us >= until_us:
            end_us, outcome = until_us - 1, Outcome.UNFINISHED
        faults = tuple(
            fault.name for fault in plan.faults if at_us < fault.until_us and end_us >= fault.at_us
        )
        ended = run.requests.setdefault(worker, {}).setdefault(end_us // SECOND, [])
        ended.append((end_us - at_us, outcome, {"phase": now.name, "faults": faults}))
        yield at_us, end_us
        at_us = end_us + THINK_US
