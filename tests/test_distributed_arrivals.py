"""Every start of an open plan has one worker and one scenario, in the shares of the plan."""

from collections import Counter
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed import messages
from distributed.arrivals import Turns, own_starts, period_of, place_turns
from distributed.placement import interleave, place, seats
from loadproof.plan.arrivals import times_of, volume_before
from loadproof.plan.model import RATE_PERIOD_S, ArrivalProcess, Phase, Plan, Region

WEIGHTS = {"A": 25.0, "B": 30.0, "C": 20.0, "D": 15.0, "E": 10.0}
FOUR = tuple(Region(name=name, workers=1) for name in ("r1", "r2", "r3", "r4"))


def plan_of(*load, regions=FOUR, process=ArrivalProcess.CONSTANT, seed=7):
    """A plan of phases (seconds, rate from, rate to, users)."""
    return Plan(
        name="open",
        title="open",
        suite="governance",
        locustfile=None,
        target="embedded",
        load=tuple(
            Phase(
                name=f"p{number}",
                duration_us=int(seconds * 1e6),
                users_from=users,
                users_to=users,
                arrivals_from=int(first * RATE_PERIOD_S),
                arrivals_to=int(last * RATE_PERIOD_S),
            )
            for number, (seconds, first, last, users) in enumerate(load)
        ),
        scenarios=None,
        regions=regions,
        rules=(),
        seed=seed,
        arrival_process=process,
    )


def turns_of(plan, weights=WEIGHTS):
    """Worker -> its turns, as master and workers have them."""
    workers = seats(plan.regions)
    slots = place(plan.max_users, interleave(weights, {}), plan.regions, workers)
    period = period_of(plan)
    by_users = {}
    for users in {phase.users_from for phase in plan.load}:
        pool = {worker: [slot for slot in own if slot.index < users] for worker, own in slots.items()}
        by_users[users] = place_turns(period, weights, plan.regions, workers, pool)
    return {
        seat.worker: Turns(
            period,
            {
                users: [(turn.index, turn.scenario) for turn in placed[seat.worker]]
                for users, placed in by_users.items()
            },
        )
        for seat in workers
    }


def starts_of(plan, weights=WEIGHTS):
    """Worker -> its starts."""
    return {worker: list(own_starts(plan, worker, own)) for worker, own in turns_of(plan, weights).items()}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 20), st.floats(0, 100), st.floats(0, 100), st.sampled_from([1, 3, 40, 1500])
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=1, max_size=4),
)
def test_the_workers_offer_every_constant_arrival_once(phases, shapes):
    """Over all workers, the instants are those of the plan."""
    regions = tuple(
        Region(name=f"r{number}", workers=workers, weight=float(weight))
        for number, (workers, weight) in enumerate(shapes)
    )
    plan = plan_of(*phases, regions=regions)
    starts = starts_of(plan)

    assert sorted(due for own in starts.values() for due, _ in own) == list(times_of(plan.load, count()))
    assert all(own == sorted(own, key=lambda start: start[0]) for own in starts.values())


def test_any_stretch_of_arrivals_has_the_mix_and_the_regions():
    """In each second of 1,000/s, scenarios and regions are within three starts of their shares."""
    starts = starts_of(plan_of((10, 1000, 1000, 400)))
    for second in range(10):
        for own in starts.values():
            here = [scenario for due, scenario in own if due // 1_000_000 == second]
            counts = Counter(here)
            assert abs(len(here) - 250) <= 3
            assert all(abs(counts[name] - 250 * weight / 100) <= 3 for name, weight in WEIGHTS.items())


def test_shares_of_starts_ignore_how_many_users_a_region_takes():
    """A cap is on users: where few of them serve, they have more to do."""
    regions = (Region(name="small", max_users=10), Region(name="large", max_users=1000))
    starts = starts_of(plan_of((4, 1000, 1000, 500), regions=regions))

    assert {worker: len(own) for worker, own in starts.items()} == {"small-01": 2000, "large-01": 2000}


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from("ABCDE"), st.floats(0.1, 100), min_size=1),
)
def test_a_start_goes_where_its_scenario_has_a_user(users, shapes, weights):
    """However small the pool, no worker has a turn of a scenario that none of its users plays."""
    regions = tuple(
        Region(name=f"r{number}", workers=workers, weight=float(weight))
        for number, (workers, weight) in enumerate(shapes)
    )
    workers = seats(regions)
    pool = place(users, interleave(weights, {}), regions, workers)
    turns = place_turns(1_000, weights, regions, workers, pool)

    assert sorted(turn.index for own in turns.values() for turn in own) == list(range(1_000))
    for worker, own in turns.items():
        assert {turn.scenario for turn in own} <= {slot.scenario for slot in pool[worker]}


def test_a_turn_moves_within_its_region_where_it_can():
    """Two workers of a region with one user each play two scenarios between them; the other region is left alone."""
    regions = (Region(name="near", workers=2, weight=2.0), Region(name="far", workers=2, weight=2.0))
    workers = seats(regions)
    pool = place(4, interleave({"A": 1.0, "B": 1.0}, {}), regions, workers)
    turns = place_turns(1_000, {"A": 1.0, "B": 1.0}, regions, workers, pool)

    assert sum(len(turns[worker]) for worker in ("near-01", "near-02")) == 500
    assert sum(len(turns[worker]) for worker in ("far-01", "far-02")) == 500


def test_the_pool_of_each_phase_decides():
    """With one user in the first phase all starts are its worker's; with many, everybody has a share."""
    starts = starts_of(plan_of((1, 100, 100, 1), (1, 100, 100, 200)))
    first = {worker: sum(due < 1_000_000 for due, _ in own) for worker, own in starts.items()}
    second = {worker: sum(due >= 1_000_000 for due, _ in own) for worker, own in starts.items()}

    assert sorted(first.values()) == [0, 0, 0, 100]
    assert sorted(second.values()) == [25, 25, 25, 25]


def test_poisson_starts_are_repeated_by_the_seed_and_differ_between_workers():
    """The same plan gives the same starts, another seed others, and no two workers share any."""
    plan = plan_of((20, 50, 50, 100), process=ArrivalProcess.POISSON)
    other = plan.model_copy(update={"seed": 8})

    assert starts_of(plan) == starts_of(plan)
    assert starts_of(plan) != starts_of(other)
    dues = Counter(due for own in starts_of(plan).values() for due, _ in own)
    assert dues.total() - len(dues) <= 1


def test_poisson_starts_have_the_planned_volume_and_mix():
    """Over many seeds, the number of starts in a phase and of each scenario is Poisson's: within 4 deviations."""
    seeds = 40
    counts = Counter()
    phases = Counter()
    for seed in range(seeds):
        plan = plan_of((5, 0, 40, 40), (5, 40, 10, 80), process=ArrivalProcess.POISSON, seed=seed)
        for own in starts_of(plan).values():
            for due, scenario in own:
                counts[scenario] += 1
                phases[due >= 5_000_000] += 1
    first = seeds * volume_before(plan.load, 5_000_000)
    whole = seeds * volume_before(plan.load, 10_000_000)

    assert abs(phases[False] - first) <= 4 * first**0.5
    assert abs(phases[True] - (whole - first)) <= 4 * (whole - first) ** 0.5
    for name, weight in WEIGHTS.items():
        assert abs(counts[name] - whole * weight / 100) <= 4 * (whole * weight / 100) ** 0.5


BEGIN = {
    "run": "r",
    "revision": 1,
    "start_ns": 5,
    "slots": [(0, 0), (3, 1)],
    "scenarios": ["A", "B"],
    "period": 10,
    "pools": [{"users": 4, "turns": [(0, 1), (9, 0)]}],
}


def test_a_begin_message_is_read_as_it_was_written():
    """Pools and turns included."""
    begin = messages.read(BEGIN, messages.Begin)

    assert begin.pools[0].turns == [(0, 1), (9, 0)]
    assert messages.read(messages.write(begin), messages.Begin) == begin


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("slots", [(3, 0), (0, 1)]),
        ("slots", [(0, 0), (0, 1)]),
        ("slots", [(0, 2)]),
        ("slots", [(-1, 0)]),
        ("pools", [{"users": 4, "turns": [(10, 0)]}]),
        ("pools", [{"users": 4, "turns": [(0, 2)]}]),
        ("pools", [{"users": 4, "turns": [(5, 0), (4, 0)]}]),
        ("pools", [{"users": -1, "turns": []}]),
        ("pools", [{"turns": []}]),
        ("period", -1),
        ("period", 9),
    ],
)
def test_a_begin_message_that_points_at_nothing_is_refused(key, value):
    """Before anything of it is applied."""
    with pytest.raises(msgspec.ValidationError):
        messages.read({**BEGIN, key: value}, messages.Begin)
