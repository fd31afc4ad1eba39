"""Placement: the split of user slots over regions, workers and scenarios."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed.placement import Seat, interleave, place, seats
from loadproof.plan.model import Region

WEIGHTS = {"A": 25.0, "B": 30.0, "C": 20.0, "D": 15.0, "E": 10.0}
FOUR = tuple(Region(name=name, workers=1, max_users=1000) for name in ("r1", "r2", "r3", "r4"))


def split(users, weights, regions):
    return place(users, interleave(weights, {}), regions, seats(regions))


def test_workers_are_named_by_region_and_number():
    """A region with two workers has the seats <region>-01 and <region>-02."""
    assert seats([Region(name="eu", workers=2)]) == (Seat("eu-01", "eu"), Seat("eu-02", "eu"))


@given(
    st.dictionaries(st.sampled_from("ABCDEFG"), st.floats(0.1, 100), min_size=1),
    st.integers(1, 300),
)
def test_no_prefix_of_the_mix_is_off_by_a_user_per_scenario(weights, users):
    """At any number of users each scenario has its share to within one user, or two where seven weights compete."""
    total = sum(weights.values())
    counts = Counter(islice(interleave(weights, {}), users))

    for name, weight in weights.items():
        assert abs(counts[name] - users * weight / total) < 2


def test_fixed_users_come_first():
    """A class with `fixed_count` takes the first slots and no share of the rest."""
    names = list(islice(interleave({"A": 1.0, "Admin": 5.0}, {"Admin": 2}), 5))

    assert names == ["Admin", "Admin", "A", "A", "A"]


@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from("ABCDE"), st.floats(0.5, 50), min_size=1),
)
def test_every_slot_has_one_worker_and_shares_are_kept(users, shapes, weights):
    """Slots 0..n-1 are each placed once, regions are within one user of their share, workers within one of each other."""
    regions = [
        Region(name=f"r{index}", workers=workers, weight=float(weight))
        for index, (workers, weight) in enumerate(shapes)
    ]
    placed = split(users, weights, regions)

    assert sorted(slot.index for slots in placed.values() for slot in slots) == list(range(users))
    total = sum(region.weight for region in regions)
    for region in regions:
        counts = [len(placed[seat.worker]) for seat in seats([region])]
        assert max(counts) - min(counts) <= 1
        assert abs(sum(counts) - users * region.weight / total) < len(regions)


@pytest.mark.parametrize("users", [20, 100, 999, 1000, 4000])
def test_scenarios_and_regions_are_independent(users):
    """Each region plays every scenario in its share, although both patterns repeat: within one user of it."""
    placed = split(users, WEIGHTS, FOUR)

    for slots in placed.values():
        counts = Counter(slot.scenario for slot in slots)
        for name, weight in WEIGHTS.items():
            assert abs(counts[name] - users / 4 * weight / 100) <= 1


def test_a_prefix_of_slots_is_the_split_of_fewer_users():
    """While a ramp climbs, the active slots at any height are mixed as a plan of that height would be."""
    whole = split(1000, WEIGHTS, FOUR)
    for users in (10, 100, 500):
        part = split(users, WEIGHTS, FOUR)
        assert {
            worker: [slot for slot in slots if slot.index < users] for worker, slots in whole.items()
        } == part


def test_a_region_never_exceeds_its_cap():
    """Where one region is full the others take the rest."""
    regions = [Region(name="small", max_users=10), Region(name="large", max_users=990)]
    placed = split(1000, WEIGHTS, regions)

    assert {worker: len(slots) for worker, slots in placed.items()} == {"small-01": 10, "large-01": 990}


def test_more_users_than_the_regions_hold_is_an_error():
    """What the plan's reader refuses is not placed silently either."""
    with pytest.raises(ValueError, match="hold 4000"):
        split(4001, WEIGHTS, FOUR)
