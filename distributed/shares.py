"""The load of a plan in pieces that workers carry, and whose each piece is to be: pure functions of who is there.

A piece is a user slot of `distributed.placement`, or a turn of `distributed.arrivals` for one number of users. The
first deal is exact at every height of a ramp; a later one moves the fewest pieces that make the workers' numbers
right again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from distributed.arrivals import period_of, place_turns
from distributed.placement import Slot, interleave, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distributed.placement import Seat
    from loadproof.plan.model import Plan, Region

AHEAD: Final = 2
"""So many pieces may one worker be ahead of another while they share out what has come free."""
Owners = list[str | None]
"""The worker of each piece, by the piece's number; None where nobody can carry it."""


class Piece(NamedTuple):
    pool: int | None
    """None for a user slot; for a turn the number of users that the plan has while it counts."""
    slot: Slot


class Carried(NamedTuple):
    """What one worker carries."""

    slots: list[Slot]
    pools: dict[int, list[Slot]]
    """Turns, for each number of users that an open plan has."""


class Shares:
    """All pieces of one plan, numbered: slots first, then the turns of each pool."""

    def __init__(self, plan: Plan, weights: Mapping[str, float], fixed: Mapping[str, int]) -> None:
        """Scenarios by weight, and those of which there is a fixed number of users."""
        self._plan = plan
        self._weights = weights
        self._fixed = fixed
        scenarios = interleave(weights, fixed)
        self.pieces = [
            Piece(None, Slot(*each)) for each in zip(range(plan.max_users), scenarios, strict=False)
        ]
        self._users = len(self.pieces)
        self.scenarios = sorted({*fixed, *(name for name, weight in weights.items() if weight > 0)})
        self._pools: dict[int, range] = {}
        """Users -> the numbers of its turns."""
        for users in sorted({phase.users_from for phase in plan.load}) if plan.open else ():
            served = {piece.slot.scenario for piece in self.pieces[: min(users, self._users)]}
            first = len(self.pieces)
            names = interleave({name: weight for name, weight in weights.items() if name in served}, {})
            turns = zip(range(period_of(plan)), names, strict=False)
            self.pieces += [Piece(users, Slot(*each)) for each in turns]
            self._pools[users] = range(first, len(self.pieces))

    def deal(self, seats: Sequence[Seat], before: Sequence[str | None]) -> Owners:
        """Whose each piece is to be when these workers are there, and `before` is whose they were."""
        if not seats:
            return [None] * len(self.pieces)
        anew = all(owner is None for owner in before)
        owners: Owners = [None] * len(self.pieces)
        if anew:
            for worker, slots in self._ideal_slots(seats).items():
                for slot in slots:
                    owners[slot.index] = worker
        else:
            had = before[: self._users]
            quotas = share_out(self._users, self._plan.regions, seats, _counts(had))
            owners[: self._users] = redeal(self._scenarios(range(self._users)), quotas, had)
        for users, numbers in self._pools.items():
            self._deal_turns(users, numbers, seats, owners, None if anew else before)
        return owners

    def carried(self, numbers: Iterable[int]) -> Carried:
        """What these pieces are to the worker that carries them; each list ascending."""
        slots: list[Slot] = []
        pools: dict[int, list[Slot]] = {users: [] for users in self._pools}
        for number in sorted(numbers):
            piece = self.pieces[number]
            (slots if piece.pool is None else pools[piece.pool]).append(piece.slot)
        return Carried(slots, pools)

    def _scenarios(self, numbers: range) -> list[str]:
        return [self.pieces[number].slot.scenario for number in numbers]

    def _ideal_slots(self, seats: Sequence[Seat]) -> dict[str, list[Slot]]:
        there = {seat.region for seat in seats}
        regions = [region for region in self._plan.regions if region.name in there]
        caps = [region.max_users for region in regions if region.weight is None or region.weight > 0]
        room = sum(self._users if cap is None else cap for cap in caps)
        users = min(self._users, room)
        return place(users, interleave(self._weights, self._fixed), regions, seats)

    def _deal_turns(
        self,
        users: int,
        numbers: range,
        seats: Sequence[Seat],
        owners: Owners,
        before: Sequence[str | None] | None,
    ) -> None:
        serving: dict[str, list[Slot]] = {seat.worker: [] for seat in seats}
        for index in range(min(users, self._users)):
            if (owner := owners[index]) is not None:
                serving[owner].append(self.pieces[index].slot)
        plan = self._plan
        ideal = place_turns(len(numbers), self._weights, plan.regions, seats, serving)
        if before is None:
            for worker, turns in ideal.items():
                for turn in turns:
                    owners[numbers[turn.index]] = worker
            return
        able = {worker: {slot.scenario for slot in slots} for worker, slots in serving.items()}
        quotas = {worker: len(turns) for worker, turns in ideal.items()}
        turns_before = before[numbers.start : numbers.stop]
        owners[numbers.start : numbers.stop] = redeal(
            self._scenarios(numbers), quotas, turns_before, lambda worker, scenario: scenario in able[worker]
        )


def share_out(
    users: int, regions: Sequence[Region], seats: Sequence[Seat], had: Mapping[str, int]
) -> dict[str, int]:
    """How many users each worker gets, as `place` splits them: regions by weight within caps, workers evenly.

    By counting alone: when many workers come back at once, it is asked for each of them. Of what does not divide,
    workers get one more that `had` the most.
    """
    names = {region.name: [seat.worker for seat in seats if seat.region == region.name] for region in regions}
    weights = {
        region.name: float(region.workers if region.weight is None else region.weight)
        for region in regions
        if names[region.name]
    }
    caps = {region.name: users if region.max_users is None else region.max_users for region in regions}
    quotas = {seat.worker: 0 for seat in seats}
    for region, count in _by_weight(users, weights, caps).items():
        least, more = divmod(count, len(names[region]))
        ranked = sorted(names[region], key=lambda worker: -had.get(worker, 0))
        quotas |= {worker: least + (rank < more) for rank, worker in enumerate(ranked)}
    return quotas


def _by_weight(users: int, weights: Mapping[str, float], caps: Mapping[str, int]) -> dict[str, int]:
    """Jefferson's seats, with what regions at their caps cannot take shared by the others."""
    counts: dict[str, int] = {}
    open_regions = {name: weight for name, weight in weights.items() if weight > 0}
    left = users
    while open_regions:
        total = sum(open_regions.values())
        full = [name for name, weight in open_regions.items() if int(left * weight / total) >= caps[name]]
        if not full:
            break
        for name in full:
            counts[name] = caps[name]
            left -= caps[name]
            del open_regions[name]
    # Nobody gets less by Jefferson than the whole part of its share.
    total = sum(open_regions.values())
    counts |= {name: int(left * weight / total) for name, weight in open_regions.items()}
    for _ in range(left - sum(counts[name] for name in open_regions)):
        takers = [name for name in open_regions if counts[name] < caps[name]]
        if takers:
            counts[min(takers, key=lambda name: (counts[name] + 1) / open_regions[name])] += 1
    return counts


def redeal(
    scenarios: Sequence[str],
    quotas: Mapping[str, int],
    before: Sequence[str | None],
    able: Callable[[str, str], bool] = lambda _worker, _scenario: True,
) -> Owners:
    """Give each worker as many pieces as its quota, moving as few as that takes; `scenarios` are the pieces'.

    What moves is spread over the pieces' order and over scenarios, so that every stretch of them stays mixed.
    Pieces beyond all quotas are nobody's, the last ones; `able` says whether a worker may carry a scenario, and
    goes before its quota.
    """
    owners: Owners = [
        owner if owner is not None and owner in quotas and able(owner, scenario) else None
        for owner, scenario in zip(before, scenarios, strict=True)
    ]
    counts = _counts(owners)
    for worker, count in counts.items():
        if count > quotas[worker]:
            _give_up(worker, count - quotas[worker], count, owners, scenarios)
    counts = _counts(owners)
    wanted = {worker: quota - counts[worker] for worker, quota in quotas.items() if quota > counts[worker]}
    taken = dict.fromkeys(wanted, 0)
    of_scenario: Counter[tuple[str, str]] = Counter(
        (owner, scenario) for owner, scenario in zip(owners, scenarios, strict=True) if owner is not None
    )
    for number, scenario in enumerate(scenarios):
        if owners[number] is not None:
            continue
        takers = [worker for worker in wanted if taken[worker] < wanted[worker] and able(worker, scenario)]
        if not takers:
            if all(taken[worker] == wanted[worker] for worker in wanted):
                break
            # Those that still want some cannot carry it: whoever can has one more than its quota.
            takers = [worker for worker in quotas if able(worker, scenario)]
            if not takers:
                continue
            chosen = min(takers, key=counts.__getitem__)
        else:
            # Strictly by turns, two workers would have every second piece, and perhaps every one of a scenario.
            least = min((taken[worker] + AHEAD) / wanted[worker] for worker in takers)
            chosen = min(
                (worker for worker in takers if taken[worker] / wanted[worker] < least),
                key=lambda worker: (
                    of_scenario[worker, scenario] / quotas[worker],
                    taken[worker] / wanted[worker],
                    worker,
                ),
            )
            taken[chosen] += 1
        counts[chosen] += 1
        of_scenario[chosen, scenario] += 1
        owners[number] = chosen
    return owners


def _counts(owners: Iterable[str | None]) -> Counter[str]:
    return Counter(owner for owner in owners if owner is not None)


def _give_up(worker: str, surplus: int, count: int, owners: Owners, scenarios: Sequence[str]) -> None:
    """Take `surplus` of a worker's pieces from it: the same part of each scenario, evenly along their order."""
    due: defaultdict[str, float] = defaultdict(float)
    left = surplus
    for number, owner in enumerate(owners):
        if owner != worker:
            continue
        scenario = scenarios[number]
        due[scenario] += surplus / count
        # From the half on, so that a scenario of few pieces is not spared.
        if due[scenario] >= 0.5 and left:
            due[scenario] -= 1
            owners[number] = None
            left -= 1
    for number in range(len(owners) - 1, -1, -1):
        if not left:
            break
        if owners[number] == worker:
            owners[number] = None
            left -= 1
