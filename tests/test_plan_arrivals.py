"""Intended starts of the open model as tables of numbers, against each other and against a search."""

from itertools import count, islice, pairwise
from math import sqrt
from random import Random
from statistics import mean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import open_loads

from loadproof.plan.arrivals import arrivals_before, poisson_times, times_of, volume_before
from loadproof.plan.model import RATE_PERIOD_S, Phase
from loadproof.plan.profile import phase_spans

S = 1_000_000


def phase(seconds, first, last=None):
    """A phase with a rate, or a straight line of rates, a second."""
    last = first if last is None else last
    return Phase(
        name=f"{seconds}-{first}-{last}",
        duration_us=int(seconds * S),
        users_from=10,
        users_to=10,
        arrivals_from=int(first * RATE_PERIOD_S),
        arrivals_to=int(last * RATE_PERIOD_S),
    )


def arrival_us(load, n):
    """When arrival `n` alone is due; None when the run has no such arrival."""
    return next(times_of(load, [n]), None)


LOAD = (phase(10, 0, 10), phase(5, 10), phase(5, 0), phase(10, 4, 0), phase(3, 0))
"""50 + 50 + 0 + 20 + 0 arrivals."""


@pytest.mark.parametrize(
    ("load", "times"),
    [
        ([phase(1, 4)], [125_000, 375_000, 625_000, 875_000]),
        ([phase(1, 3)], [166_666, 500_000, 833_333]),
        ([phase(0.5, 1)], []),
        ([phase(0.5, 1), phase(0.5, 0)], [500_000]),
        ([phase(0.5, 1), phase(0.5, 3)], [500_000, 833_333]),
        ([phase(0.25, 1), phase(2, 0), phase(1, 1)], [2_500_000]),
        # t² / 2 · 2 = n + 1/2 on the way up, mirrored on the way down
        ([phase(2, 0, 4)], [int(sqrt(n + 0.5) * S) for n in range(4)]),
        ([phase(2, 4, 0)], [2 * S - int(sqrt(3.5 - n) * S) - 1 for n in range(4)]),
        ([phase(1, 0)], []),
    ],
)
def test_arrivals_are_due_in_the_middle_of_their_share(load, times):
    """Arrival n is due when the integral of the rate reaches n + 1/2: evenly spaced, none at 0, none at the end."""
    assert list(times_of(load, count())) == times
    assert [arrival_us(load, n) for n in range(len(times) + 1)] == [*times, None]


@pytest.mark.parametrize(
    ("t_us", "arrivals"),
    [
        (-S, 0),
        (0, 0),
        (1 * S, 0),
        (1 * S + 1, 1),
        (5 * S, 12),
        (10 * S, 50),
        (11 * S, 60),
        (15 * S, 100),
        (20 * S, 100),
        (22 * S, 107),
        (25 * S, 115),
        (30 * S, 120),
        (33 * S, 120),
        (10**15, 120),
    ],
)
def test_arrivals_before_an_instant_are_counted(t_us, arrivals):
    """The half-open count, exact at every boundary and beyond both ends."""
    assert arrivals_before(LOAD, t_us) == arrivals
    assert arrivals_before(LOAD, t_us) == sum(due < t_us for due in times_of(LOAD, count()))


def test_a_closed_load_has_no_arrivals():
    """All that can be asked of it is nothing."""
    closed = (Phase(name="a", duration_us=S, users_from=1, users_to=1),)
    assert (arrivals_before(closed, S), volume_before(closed, S), arrival_us(closed, 0)) == (0, 0, None)
    assert list(times_of(closed, count())) == list(poisson_times(closed, 7, "eu-01", 1.0)) == []


SHORT = open_loads(
    durations=st.integers(1, 60) | st.integers(1, 5 * S),
    rates=st.sampled_from([0, 1, RATE_PERIOD_S, 7 * 10**11 + 1, 10**12])
    | st.integers(0, 300 * RATE_PERIOD_S),
    max_size=4,
)


@given(SHORT, st.data())
def test_number_and_instant_are_inverse(load, data):
    """An arrival is due in the last microsecond before which it is not counted, for whichever arrival."""
    end = sum(item.duration_us for item in load)
    total = arrivals_before(load, end)
    assert arrival_us(load, total) is None
    if total:
        n = data.draw(st.integers(0, total - 1))
        t_us = arrival_us(load, n)
        assert 0 <= t_us < end
        assert arrivals_before(load, t_us) <= n < arrivals_before(load, t_us + 1)
        assert list(islice(times_of(load, count(n)), 3)) == [
            due for due in (arrival_us(load, n + i) for i in range(3)) if due is not None
        ]


@given(open_loads(), st.sets(st.integers(0, 10_000), max_size=30))
def test_some_arrivals_are_due_when_they_are_among_all(load, numbers):
    """The instants of any ascending numbers are those of the same arrivals one by one, up to the last."""
    ascending = sorted(numbers)
    each = [arrival_us(load, n) for n in ascending]

    assert list(times_of(load, ascending)) == [t_us for t_us in each if t_us is not None]


@given(open_loads(), st.data())
def test_long_loads_are_as_exact_as_short_ones(load, data):
    """Days at a million a second: the number at an instant and the instant of that number still agree."""
    end = sum(item.duration_us for item in load)
    t_us = data.draw(st.integers(0, end))
    n = arrivals_before(load, t_us)
    assert abs(n - volume_before(load, t_us)) <= 0.5 + 1e-9 * (1 + n)
    due = arrival_us(load, n)
    assert due is None or due >= t_us
    if n:
        assert arrival_us(load, n - 1) < t_us


@given(SHORT, st.data())
def test_arrivals_add_up_over_phases(load, data):
    """Counts never fall, and a phase brings the mean of its rates times its length, within one arrival."""
    end = sum(item.duration_us for item in load)
    instants = sorted(data.draw(st.lists(st.integers(-1, end + 1), min_size=2, max_size=6)))
    counts = [arrivals_before(load, t_us) for t_us in instants]
    assert counts == sorted(counts)
    for item, start, stop in phase_spans(load):
        brought = arrivals_before(load, stop) - arrivals_before(load, start)
        line = (item.arrivals_from + item.arrivals_to) * item.duration_us / (2 * RATE_PERIOD_S * S)
        assert abs(brought - line) <= 1


@given(SHORT)
def test_the_rate_is_what_the_volume_grows_by(load):
    """The volume is the integral of the rate: the middle of a stretch times its length, exact for a line."""
    for item, start, stop in phase_spans(load):
        grown = volume_before(load, stop) - volume_before(load, start)
        middle = (item.arrivals_from + item.arrivals_to) / RATE_PERIOD_S / 2
        assert grown == pytest.approx(middle * item.duration_us / S, abs=1e-6)


@given(SHORT, st.integers(0, 99), st.floats(0.01, 1))
def test_poisson_arrivals_are_due_where_the_integral_reaches_their_steps(load, seed, share):
    """Each step is exponential, and an instant is the last microsecond before which its volume is not there yet."""
    random = Random(f"{seed}:w")
    reached = random.expovariate(share)
    times = list(islice(poisson_times(load, seed, "w", share), 20))
    for t_us in times:
        assert volume_before(load, t_us) <= reached + 1e-6
        assert volume_before(load, t_us + 1) >= reached - 1e-6
        reached += random.expovariate(share)
    if len(times) < 20:
        assert volume_before(load, sum(item.duration_us for item in load)) <= reached + 1e-6


def test_poisson_arrivals_repeat_and_follow_the_rate():
    """Same seed and worker, same instants; others are others; and they come where the rate is."""
    times = list(poisson_times(LOAD, 7, "eu-01", 1.0))
    assert times == list(poisson_times(LOAD, 7, "eu-01", 1.0))
    assert times != list(poisson_times(LOAD, 7, "eu-02", 1.0))
    assert times != list(poisson_times(LOAD, 8, "eu-01", 1.0))
    assert times == sorted(times)
    assert not any(15 * S <= due < 20 * S or due >= 30 * S for due in times)


def test_shares_of_poisson_arrivals_make_up_the_plan():
    """Gaps are exponential (their variance is the square of their mean), and four quarters bring the whole."""
    load = (phase(100, 200),)
    times = sorted(due for worker in range(4) for due in poisson_times(load, 1, f"w-{worker}", 0.25))
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == pytest.approx(20_000, abs=4 * sqrt(20_000))
    assert pvariance(gaps) == pytest.approx(mean(gaps) ** 2, rel=0.1)


def test_poisson_arrivals_begin_anew_where_a_share_changes():
    """From an instant on only what is due from there, at the new share of the rate."""
    load = (phase(100, 200),)
    times = list(poisson_times(load, 1, "w", 0.5, from_us=90 * S))
    assert min(times) >= 90 * S
    assert len(times) == pytest.approx(1_000, abs=4 * sqrt(1_000))
