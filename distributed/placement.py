"""Which worker runs which users: a pure, fixed split of user slots over regions and workers.

Slot i is active while the plan asks for more than i users. Scenarios are interleaved over the slots by
weight, workers by their region's weight, and the two are kept independent, so that at every number of users
the mix of scenarios and the shares of regions are within one user of exact, in each region too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from loadproof.plan.model import Region


@dataclass(frozen=True)
class Seat:
    """One worker that the plan asks for."""

    worker: str
    region: str


@dataclass(frozen=True)
class Slot:
    """The `index`-th user of the run and the scenario that it plays."""

    index: int
    scenario: str


def seats(regions: Sequence[Region]) -> tuple[Seat, ...]:
    """Every planned worker, named `<region>-<nn>`."""
    return tuple(
        Seat(f"{region.name}-{number:02d}", region.name)
        for region in regions
        for number in range(1, region.workers + 1)
    )


def interleave(weights: Mapping[str, float], fixed: Mapping[str, int]) -> Iterator[str]:
    """Scenario names without end: first `fixed` ones, then by weight so that no prefix is off by a whole user.

    A class with Locust's `fixed_count` is fixed and takes no part in the weights.
    """
    for name, count in fixed.items():
        yield from [name] * count
    shares = {name: weight for name, weight in weights.items() if weight > 0 and name not in fixed}
    total = sum(shares.values())
    counts = dict.fromkeys(shares, 0)
    drawn = 0
    while shares:
        drawn += 1
        chosen = max(shares, key=lambda name: shares[name] * drawn / total - counts[name])
        counts[chosen] += 1
        yield chosen


def place(
    users: int, scenarios: Iterator[str], regions: Sequence[Region], workers: Sequence[Seat]
) -> dict[str, list[Slot]]:
    """Slots 0..users-1 over the workers; a region never gets more than its `max_users`.

    Raises ValueError if the regions cannot hold that many users: the plan's reader refuses such a plan.
    """
    by_region = {
        region.name: [seat.worker for seat in workers if seat.region == region.name] for region in regions
    }
    caps = {region.name: users if region.max_users is None else region.max_users for region in regions}
    weights = {
        region.name: float(region.workers if region.weight is None else region.weight)
        for region in regions
        if by_region[region.name]
    }
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    in_region = dict.fromkeys(weights, 0)
    in_region_of: dict[tuple[str, str], int] = {}
    slots: dict[str, list[Slot]] = {seat.worker: [] for seat in workers}
    on_worker_of: dict[tuple[str, str], int] = {}
    for index in range(users):
        scenario = next(scenarios, None)
        if scenario is None:
            break
        open_regions = [name for name in weights if in_region[name] < caps[name]]
        if not open_regions:
            raise ValueError(f"the regions hold {index} users together, {users} are planned")
        # Jefferson's divisors: whoever is behind the least-served next seat may be chosen without any region
        # getting ahead of its share; among those, the one that has had the fewest users of this scenario.
        # Of two regions only one would ever be behind, and the one that got a scenario's user would get the next too.
        ahead = 2 if len(open_regions) == 2 else 1
        next_turn = min((in_region[name] + ahead) / weights[name] for name in open_regions)
        behind = [name for name in open_regions if in_region[name] / weights[name] < next_turn]
        region = min(
            behind,
            key=lambda name: (
                in_region_of.get((name, scenario), 0) / weights[name],
                in_region[name] / weights[name],
            ),
        )
        in_region[region] += 1
        in_region_of[region, scenario] = in_region_of.get((region, scenario), 0) + 1
        least = min(len(slots[worker]) for worker in by_region[region])
        worker = min(
            (worker for worker in by_region[region] if len(slots[worker]) == least),
            key=lambda worker: on_worker_of.get((worker, scenario), 0),
        )
        on_worker_of[worker, scenario] = on_worker_of.get((worker, scenario), 0) + 1
        slots[worker].append(Slot(index, scenario))
    return slots
