"""Plans made larger, smaller, longer or shorter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import loads, mistakes, plans, read

from loadproof.errors import PlanError
from loadproof.plan.arrivals import arrivals_before
from loadproof.plan.model import Phase, Region
from loadproof.plan.reader import Overrides
from loadproof.plan.scaling import (
    SECOND_US,
    apportion,
    capacity,
    keep_regions,
    scale_duration,
    scale_users,
    shrink_workers,
    spread_workers,
    with_spawn_rate,
)

RULED = """\
name: small
suite: governance
load:
  - {phase: ramp, duration: 2m, users: 0..1000, warmup: true}
  - {phase: steady, duration: 28m, users: 1000}
  - {phase: down, duration: 30s, users: 1000..1}
regions:
  - {name: a, workers: 4, max_users: 1000}
  - {name: b, workers: 1, max_users: 500}
rules: [p95 <= 2s for 10s]
"""


def shape(plan):
    """(phase, seconds, users from, users to) of each phase."""
    return [
        (phase.name, phase.duration_us / SECOND_US, phase.users_from, phase.users_to) for phase in plan.load
    ]


def with_load(tmp_path, *phases):
    """A plan with phases of (name, seconds, users from, users to)."""
    plan = read(tmp_path, RULED)
    load = tuple(
        Phase(name=name, duration_us=int(seconds * SECOND_US), users_from=first, users_to=last)
        for name, seconds, first, last in phases
    )
    return plan.model_copy(update={"load": load})


def test_users_scale_the_peak_and_round_halves_up(tmp_path):
    """Every number keeps its share of the peak, and the peak is what was asked for."""
    plan = with_load(tmp_path, ("a", 10, 0, 5), ("b", 10, 5, 10), ("c", 10, 1, 3))
    assert shape(scale_users(plan, 25)) == [("a", 10, 0, 13), ("b", 10, 13, 25), ("c", 10, 3, 8)]
    assert shape(scale_users(plan, 1)) == [("a", 10, 0, 1), ("b", 10, 1, 1), ("c", 10, 0, 0)]


@given(plans(), st.integers(1, 10_000_000))
def test_scaled_users_are_in_proportion(plan, users):
    """The peak is exact, every number is within half a user of its share, and nothing else changes."""
    scaled = scale_users(plan, users)
    assert scaled.max_users == users
    for before, after in zip(plan.load, scaled.load, strict=True):
        for old, new in ((before.users_from, after.users_from), (before.users_to, after.users_to)):
            assert abs(2 * (new * plan.max_users - old * users)) <= plan.max_users
    assert scaled.model_copy(update={"load": plan.load}) == plan


def test_duration_scales_every_phase_by_one_factor(tmp_path):
    """The total is exact and rules are not touched."""
    plan = read(tmp_path, RULED)
    scaled = scale_duration(plan, 61 * SECOND_US)
    assert [seconds for _, seconds, _, _ in shape(scaled)] == [4, 56, 1]
    assert scaled.rules == plan.rules
    thirds = with_load(tmp_path, ("a", 10, 1, 1), ("b", 10, 1, 1), ("c", 10, 1, 1))
    assert [phase.duration_us for phase in scale_duration(thirds, 10 * SECOND_US).load] == [
        3_333_334,
        3_333_333,
        3_333_333,
    ]


def test_a_duration_that_is_too_short_names_the_least(tmp_path):
    """No phase may fall under one second, and the message says from which duration on none does."""
    found = mistakes(tmp_path, RULED, Overrides(duration="1m"))
    assert found == ["--duration 1m: phase `down` would last less than one second (at least 1m1s is needed)"]
    assert mistakes(tmp_path, RULED, Overrides(duration="1m1s")) == []


@given(plans(), st.integers(SECOND_US, 365 * 86_400 * SECOND_US))
def test_scaled_durations_are_in_proportion(plan, duration_us):
    """The total is exact, each phase within a microsecond of its share and at least a second long."""
    try:
        scaled = scale_duration(plan, duration_us)
    except PlanError:
        shortest = min(phase.duration_us for phase in plan.load)
        assert shortest * duration_us < plan.duration_us * SECOND_US
        return
    assert scaled.duration_us == duration_us
    for before, after in zip(plan.load, scaled.load, strict=True):
        assert abs(after.duration_us * plan.duration_us - before.duration_us * duration_us) < plan.duration_us
        assert after.duration_us >= SECOND_US or scaled == plan
    assert scaled.model_copy(update={"load": plan.load, "faults": plan.faults}) == plan


@pytest.mark.parametrize(
    ("phases", "rate", "expected"),
    [
        # a rise gives its time to the next phase, or takes it from there
        ([("r", 120, 0, 100), ("s", 60, 100, 100)], 10, [("r", 10, 0, 100), ("s", 170, 100, 100)]),
        ([("r", 5, 0, 100), ("s", 60, 100, 100)], 10, [("r", 10, 0, 100), ("s", 55, 100, 100)]),
        ([("r", 10, 0, 100), ("s", 60, 100, 100)], 10, [("r", 10, 0, 100), ("s", 60, 100, 100)]),
        ([("r", 60, 20, 100)], 10, [("r", 8, 20, 100), ("hold", 52, 100, 100)]),
        ([("hold", 60, 0, 100)], 10, [("hold", 10, 0, 100), ("hold-2", 50, 100, 100)]),
        # a start at the full number gets a ramp before it
        ([("s", 60, 100, 100)], 10, [("ramp", 10, 0, 100), ("s", 50, 100, 100)]),
        ([("ramp", 60, 100, 100)], 10, [("ramp-2", 10, 0, 100), ("ramp", 50, 100, 100)]),
        ([("s", 60, 100, 20)], 10, [("ramp", 10, 0, 100), ("s", 50, 100, 20)]),
        # a start without users stays
        (
            [("i", 9, 0, 0), ("s", 60, 100, 100)],
            10,
            [("i", 9, 0, 0), ("ramp", 10, 0, 100), ("s", 50, 100, 100)],
        ),
        ([("i", 9, 0, 0), ("r", 60, 0, 9)], 3, [("i", 9, 0, 0), ("r", 3, 0, 9), ("hold", 57, 9, 9)]),
        # never shorter than a second
        ([("s", 60, 100, 100)], 1e9, [("ramp", 1, 0, 100), ("s", 59, 100, 100)]),
        ([("s", 60, 1, 1)], 0.1, [("ramp", 10, 0, 1), ("s", 50, 1, 1)]),
    ],
)
def test_the_spawn_rate_sets_the_first_rise(tmp_path, phases, rate, expected):
    """The first users come at the given rate, the total stays, and later phases keep their shape."""
    plan = with_load(tmp_path, *phases)
    changed = with_spawn_rate(plan, rate)
    assert shape(changed) == expected
    assert changed.duration_us == plan.duration_us


def test_a_new_ramp_is_warm_up_and_a_hold_is_like_its_rise(tmp_path):
    """What the spawn rate adds is judged as the phase that it comes from, a ramp not at all."""
    ramp, steady = with_spawn_rate(with_load(tmp_path, ("s", 60, 9, 9)), 1).load
    assert (ramp.warmup, steady.warmup) == (True, False)
    rise, hold = with_spawn_rate(with_load(tmp_path, ("r", 60, 0, 9)), 1).load
    assert (rise.warmup, hold.warmup) == (False, False)


@pytest.mark.parametrize(
    ("phases", "rate", "message"),
    [
        (
            [("s", 60, 100, 100)],
            1,
            "100 users take 1m40s at this rate (the plan has 59s for them: use 2 a second or more)",
        ),
        (
            [("r", 10, 0, 100), ("s", 5, 100, 100)],
            7.1,
            "100 users take 14s84ms508us at this rate (the plan has 14s for them: use 8 a second or more)",
        ),
        (
            [("s", 1.5, 9, 9)],
            9,
            "9 users take 1s at this rate, and the plan has no time for it (make the plan longer)",
        ),
        ([("r", 60, 0, 100)], 1e-300, None),
    ],
)
def test_a_spawn_rate_that_is_too_low_names_one_that_is_not(tmp_path, phases, rate, message):
    """When the rise does not fit before the next phase, the least rate is said; that one fits."""
    plan = with_load(tmp_path, *phases)
    with pytest.raises(PlanError) as caught:
        with_spawn_rate(plan, rate)
    assert message is None or str(caught.value) == message


@given(plans(load=loads(users=st.integers(0, 3000))), st.floats(1e-3, 1e6))
def test_a_spawn_rate_never_changes_length_or_peak(plan, rate):
    """Whatever the phases, total and peak stay, names stay unique, and phases stay longer than nothing."""
    try:
        changed = with_spawn_rate(plan, rate)
    except PlanError:
        return
    names = [phase.name for phase in changed.load]
    assert (changed.duration_us, changed.max_users) == (plan.duration_us, plan.max_users)
    assert len(set(names)) == len(names)
    assert {phase.name for phase in plan.load} <= set(names)
    assert min(phase.duration_us for phase in changed.load) > 0


def test_more_users_than_the_regions_take_is_a_mistake(tmp_path):
    """--users over the sum of max_users names the flag, --region names itself."""
    hint = "(raise `max_users`, or use --users)"
    assert mistakes(tmp_path, RULED, Overrides(users=1500)) == []
    assert mistakes(tmp_path, RULED, Overrides(users=1501)) == [
        f"--users 1501: 1,501 users are more than the 1,500 that the regions take together {hint}"
    ]
    assert mistakes(tmp_path, RULED, Overrides(region=("b",))) == [
        f"--region b: 1,000 users are more than the 500 that the regions take together {hint}"
    ]
    assert mistakes(tmp_path, RULED, Overrides(region=("b",), users=500)) == []


OPEN = """\
name: small
suite: governance
load:
  - {phase: ramp, duration: 1m, arrivals: 0..100/s}
  - {phase: steady, duration: 3m, arrivals: 100/s}
"""


def test_users_do_not_scale_an_open_plan(tmp_path):
    """Its load is arrivals: a number of users or a spawn rate is refused, from flags and from the environment."""
    said = "the load of an open plan is its arrivals, not users"
    hint = "(use --set load.0.arrivals=100/s, or --set load.0.users=50 for those who serve them)"
    assert mistakes(tmp_path, OPEN, Overrides(users=5)) == [f"--users 5: {said} {hint}"]
    assert mistakes(tmp_path, OPEN, environ={"LOADPROOF_USERS": "5"}) == [f"LOADPROOF_USERS=5: {said} {hint}"]
    assert mistakes(tmp_path, OPEN, Overrides(spawn_rate=1.0)) == [
        f"--spawn-rate 1.0: {said} (let them rise: --set load.0.arrivals=0..100/s)"
    ]
    changed = read(tmp_path, OPEN, Overrides(set=("load.1.arrivals=30/s", "load.1.users=7")))
    assert (changed.load[1].arrivals_to, changed.load[1].users_to) == (30_000_000, 7)


def test_an_open_plan_scales_in_time(tmp_path):
    """--duration keeps the rates, and so there are as many fewer starts."""
    plan = read(tmp_path, OPEN, Overrides(duration="8s"))
    assert [phase.duration_us for phase in plan.load] == [2 * SECOND_US, 6 * SECOND_US]
    assert [(phase.arrivals_from, phase.arrivals_to) for phase in plan.load] == [(0, 10**8), (10**8, 10**8)]
    assert arrivals_before(plan.load, 8 * SECOND_US) == 700


def test_capacity_needs_every_region_capped(tmp_path):
    """One region without a cap takes any number."""
    plan = read(tmp_path, RULED)
    assert capacity(plan) == 1500
    open_region = Region(name="c")
    assert capacity(plan.model_copy(update={"regions": (*plan.regions, open_region)})) is None


def test_only_the_named_regions_stay(tmp_path):
    """--region keeps the plan's order; an unknown one is a mistake."""
    plan = read(tmp_path, RULED)
    assert [region.name for region in keep_regions(plan, ("b", "a")).regions] == ["a", "b"]
    found = mistakes(
        tmp_path, RULED.replace("{name: a,", "{name: eu-west-1,"), Overrides(region=("eu-west",))
    )
    assert found == ["--region eu-west: the plan has no region `eu-west` (did you mean `eu-west-1`?)"]
    weightless = RULED.replace("max_users: 500", "weight: 0")
    found = mistakes(tmp_path, weightless, Overrides(region=("b",)))
    assert found == ["--region b: the regions that are left have weight 0 (keep one with a weight above 0)"]


@pytest.mark.parametrize(
    ("planned", "processes", "expected", "note"),
    [
        ([1, 1, 1, 1], 8, [1, 1, 1, 1], None),
        ([4, 4], 8, [4, 4], None),
        ([16, 4], 10, [8, 2], "10 of 20 planned workers fit this machine: r0 8 of 16, r1 2 of 4."),
        ([4, 4, 4, 4], 2, [1, 1, 1, 1], "4 of 16 planned workers fit this machine: r0 1 of 4, r1 1 of 4, r2 1 of 4, r3 1 of 4."),
        ([1, 1, 1, 5], 7, [1, 1, 1, 4], "7 of 8 planned workers fit this machine: r0 1 of 1, r1 1 of 1, r2 1 of 1, r3 4 of 5."),
        ([3], 0, [1], "1 of 3 planned workers fit this machine: r0 1 of 3."),
    ],
)  # fmt: skip
def test_workers_shrink_to_the_machine(tmp_path, planned, processes, expected, note):
    """Fewer processes mean fewer workers in proportion, one a region at least, and one sentence about it."""
    regions = tuple(Region(name=f"r{index}", workers=workers) for index, workers in enumerate(planned))
    plan = read(tmp_path, RULED).model_copy(update={"regions": regions})
    shrunk, said = shrink_workers(plan, processes)
    assert [region.workers for region in shrunk.regions] == expected
    assert said == note
    assert (shrunk == plan) == (note is None)


@given(plans(), st.integers(0, 300))
def test_shrinking_keeps_every_share_of_users(plan, processes):
    """No region grows or vanishes, no worker is wasted, and its share of users is the planned one."""
    shrunk, _ = shrink_workers(plan, processes)
    planned = [region.workers for region in plan.regions]
    workers = [region.workers for region in shrunk.regions]
    assert sum(workers) == min(sum(planned), max(processes, len(planned)))
    assert all(1 <= now <= before for now, before in zip(workers, planned, strict=True))

    def shares(of):
        weights = [region.workers if region.weight is None else region.weight for region in of.regions]
        return [weight / sum(weights) for weight in weights]

    assert shares(shrunk) == pytest.approx(shares(plan))


def test_workers_can_be_spread_wider(tmp_path):
    """--workers sets the workers of all regions together; fewer than regions is a mistake."""
    plan = read(tmp_path, RULED)
    assert [region.workers for region in spread_workers(plan, 10).regions] == [7, 3]
    assert [region.workers for region in read(tmp_path, RULED, Overrides(workers=2)).regions] == [1, 1]
    assert mistakes(tmp_path, RULED, Overrides(workers=1)) == [
        "--workers 1: each of the 2 regions needs a worker (`--region` leaves regions out)"
    ]


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=9).filter(any))
def test_what_is_apportioned_adds_up(total, weights):
    """Nothing is lost, and each share is within one of its exact value."""
    shares = apportion(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_spawn_rate_is_above_zero(tmp_path, rate):
    """A rate that spawns nobody, or everybody in no time, is a mistake."""
    assert mistakes(tmp_path, RULED, Overrides(spawn_rate=rate)) == [
        f"--spawn-rate {rate}: users a second must be above 0 (for example --spawn-rate 10)"
    ]


def test_flags_apply_in_one_order(tmp_path):
    """Users first, then the duration, then the rise at the rate that was asked for."""
    plan = read(tmp_path, RULED, Overrides(users=100, duration="5m5s", spawn_rate=50))
    assert shape(plan) == [("ramp", 2, 0, 100), ("steady", 298, 100, 100), ("down", 5, 100, 0)]
