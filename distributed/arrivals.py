"""Whose the starts of an open plan are: a fixed pattern of turns over workers and scenarios, known to all from the start.

Arrival n belongs to turn n modulo the period. Turns are placed as users are, by the weights of scenarios and
regions, so that every stretch of arrivals has both in their shares, whatever the workers do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import tee
from random import Random
from typing import TYPE_CHECKING, Final

from distributed.placement import Slot, interleave, place
from loadproof.plan.arrivals import arrivals_before, poisson_times, times_of
from loadproof.plan.model import ArrivalProcess
from loadproof.plan.profile import phase_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distributed.placement import Seat
    from loadproof.plan.model import Phase, Plan, Region

SHORTEST_PERIOD: Final = 1_000


@dataclass(frozen=True)
class Turns:
    """One worker's turns: for each number of users that a phase has, (turn, scenario) ascending."""

    period: int
    by_users: Mapping[int, Sequence[tuple[int, str]]]


def period_of(plan: Plan) -> int:
    """How many turns there are: enough for a share of a thousandth, and for that of one user of the pool."""
    return max(SHORTEST_PERIOD, plan.max_users)


def place_turns(
    period: int,
    weights: Mapping[str, float],
    regions: Sequence[Region],
    workers: Sequence[Seat],
    pool: Mapping[str, Sequence[Slot]],
) -> dict[str, list[Slot]]:
    """Turns 0..period-1 over the workers, in the place of user slots.

    `pool` is each worker's users. In a small one not every worker has a user of every scenario: such a turn goes
    to a worker that has, of the same region if there is one. A scenario without any user has no turn.
    """
    users = {seat.worker: Counter(slot.scenario for slot in pool[seat.worker]) for seat in workers}
    served = {name: weight for name, weight in weights.items() if any(own[name] for own in users.values())}
    uncapped = [region.model_copy(update={"max_users": None}) for region in regions]
    placed = place(period, interleave(served, {}), uncapped, workers)
    region_of = {seat.worker: seat.region for seat in workers}
    turns: dict[str, list[Slot]] = {seat.worker: [] for seat in workers}
    moved: Counter[tuple[str, str]] = Counter()
    for worker, own in placed.items():
        for turn in own:
            taker = worker
            if not users[worker][turn.scenario]:
                taker = min(
                    (other for other in users if users[other][turn.scenario]),
                    key=lambda other: (
                        region_of[other] != region_of[worker],
                        moved[other, turn.scenario] / users[other][turn.scenario],
                    ),
                )
                moved[taker, turn.scenario] += 1
            turns[taker].append(turn)
    return {worker: sorted(own, key=lambda turn: turn.index) for worker, own in turns.items()}


def own_starts(
    plan: Plan, worker: str, turns: Turns, from_us: int = 0, revision: int = 1
) -> Iterator[tuple[int, str]]:
    """One worker's intended starts from `from_us` on: run time in microseconds and scenario, in order of time.

    Constant arrivals are those of its turns, exactly. Poisson arrivals are its share of the rate, and their
    scenarios are drawn from its turns; the plan's seed and the placement's revision repeat both.
    """
    if plan.arrival_process is ArrivalProcess.POISSON:
        return _poisson(plan, worker if revision == 1 else f"{worker}:{revision}", turns, from_us)
    numbers, scenarios = tee(_numbered(plan.load, turns, from_us))
    times = times_of(plan.load, (n for n, _ in numbers))
    return zip(times, (scenario for _, scenario in scenarios), strict=False)


def _numbered(load: Sequence[Phase], turns: Turns, from_us: int) -> Iterator[tuple[int, str]]:
    """The worker's arrivals by number, with their scenarios."""
    for phase, start_us, end_us in phase_spans(load):
        first, last = arrivals_before(load, max(start_us, from_us)), arrivals_before(load, end_us)
        own = turns.by_users[phase.users_from]
        for cycle in range(first // turns.period, last // turns.period + 1) if own else ():
            for turn, scenario in own:
                n = cycle * turns.period + turn
                if first <= n < last:
                    yield n, scenario


def _poisson(plan: Plan, worker: str, turns: Turns, from_us: int) -> Iterator[tuple[int, str]]:
    random = Random(f"{plan.seed}:{worker}:scenarios")
    for position, (phase, start_us, end_us) in enumerate(phase_spans(plan.load)):
        own = turns.by_users[phase.users_from]
        if not own or end_us <= from_us:
            continue
        share = len(own) / turns.period
        # The process has no memory: every phase begins anew, with numbers of its own.
        starts = poisson_times(plan.load, plan.seed, f"{worker}:{position}", share, max(start_us, from_us))
        for due_us in starts:
            if due_us >= end_us:
                break
            yield due_us, random.choice(own)[1]
