"""The load profile as tables of numbers, and against sums over every microsecond."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import loads

from loadproof.plan.model import Phase
from loadproof.plan.profile import next_change_us, phase_at, phase_spans, user_us_between, users_at

S = 1_000_000


def phase(name, duration_us, users_from, users_to):
    return Phase(name=name, duration_us=duration_us, users_from=users_from, users_to=users_to)


LOAD = (
    phase("ramp", 100 * S, 0, 10),
    phase("steady", 50 * S, 10, 10),
    phase("jump", 10 * S, 20, 20),
    phase("down", 40 * S, 20, 0),
)


@pytest.mark.parametrize(
    ("t_us", "users"),
    [
        (-1, 0),
        (0, 0),
        (5 * S - 1, 0),
        (5 * S, 1),
        (15 * S - 1, 1),
        (15 * S, 2),
        (50 * S, 5),
        (95 * S - 1, 9),
        (95 * S, 10),
        (100 * S, 10),
        (150 * S - 1, 10),
        (150 * S, 20),
        (160 * S, 20),
        (161 * S, 20),
        (161 * S + 1, 19),
        (180 * S, 10),
        (199 * S, 1),
        (199 * S + 1, 0),
        (200 * S, 0),
        (10**15, 0),
    ],
)
def test_users_stand_on_the_line_rounded_half_up(t_us, users):
    """Users at an instant: exact at the ends of phases, halves up on the way up and down, none after the end."""
    assert users_at(LOAD, t_us) == users


@pytest.mark.parametrize(
    ("t_us", "after_us"),
    [
        (-5, 5 * S),
        (0, 5 * S),
        (5 * S - 1, 5 * S),
        (5 * S, 15 * S),
        (95 * S, 150 * S),
        (120 * S, 150 * S),
        (150 * S, 161 * S + 1),
        (161 * S + 1, 163 * S + 1),
        (199 * S, 199 * S + 1),
        (199 * S + 1, None),
        (200 * S, None),
    ],
)
def test_the_next_change_is_exact(t_us, after_us):
    """A scheduler that sleeps until then misses no user and wakes up for nothing."""
    assert next_change_us(LOAD, t_us) == after_us


def test_the_end_is_a_change():
    """Users that are left at the end stop there."""
    load = (phase("a", 10 * S, 7, 7),)
    assert next_change_us(load, 0) == 10 * S
    assert next_change_us(load, 10 * S - 1) == 10 * S
    assert next_change_us(load, 10 * S) is None
    assert next_change_us(load, -1) == 0


def test_a_rise_faster_than_the_clock_changes_every_microsecond():
    """More users than microseconds: several change at once, and no instant is left out."""
    load = (phase("a", 3, 0, 30), phase("b", 3, 30, 0))
    assert [users_at(load, t) for t in range(7)] == [0, 10, 20, 30, 20, 10, 0]
    assert [next_change_us(load, t) for t in range(7)] == [1, 2, 3, 4, 5, 6, None]


def test_phases_are_half_open():
    """An instant at a boundary belongs to the phase that begins there."""
    assert [span[1:] for span in phase_spans(LOAD)] == [
        (0, 100 * S),
        (100 * S, 150 * S),
        (150 * S, 160 * S),
        (160 * S, 200 * S),
    ]
    names = {0: "ramp", 100 * S - 1: "ramp", 100 * S: "steady", 160 * S: "down", 200 * S - 1: "down"}
    for t_us, name in names.items():
        found = phase_at(LOAD, t_us)
        assert found is not None
        assert found.name == name
    assert phase_at(LOAD, -1) is None
    assert phase_at(LOAD, 200 * S) is None


@pytest.mark.parametrize(
    ("from_us", "to_us", "user_us"),
    [
        (0, 5 * S, 0),
        (0, 15 * S, 10 * S),
        (100 * S, 150 * S, 500 * S),
        (0, 100 * S, 500 * S),
        (149 * S, 151 * S, 30 * S),
        (200 * S, 300 * S, 0),
        (-100, 0, 0),
        (7, 7, 0),
        (9, 3, 0),
    ],
)
def test_planned_user_time_is_the_integral(from_us, to_us, user_us):
    """User-microseconds of whole stretches are what a ruler gives."""
    assert user_us_between(LOAD, from_us, to_us) == user_us


SHORT = loads(durations=st.integers(1, 60), users=st.integers(0, 5) | st.integers(0, 300), max_size=4)


@given(SHORT, st.data())
def test_the_arithmetic_equals_counting(load, data):
    """Integral and next change are those found by looking at every single microsecond."""
    end = sum(item.duration_us for item in load)
    users = {t: users_at(load, t) for t in range(-2, end + 3)}
    first = data.draw(st.integers(-2, end + 2))
    last = data.draw(st.integers(first, end + 2))
    assert user_us_between(load, first, last) == sum(users[t] for t in range(first, last))
    later = (t for t in range(first + 1, end + 3) if users[t] != users[first])
    assert next_change_us(load, first) == next(later, None)


@given(loads(), st.data())
def test_user_time_adds_up_over_adjacent_ranges(load, data):
    """Any cut of a range leaves the sum as it is, also over hours and millions of users."""
    end = sum(item.duration_us for item in load)
    cuts = sorted(data.draw(st.lists(st.integers(-S, end + S), min_size=2, max_size=6)))
    parts = sum(user_us_between(load, first, last) for first, last in pairwise(cuts))
    assert parts == user_us_between(load, cuts[0], cuts[-1])


@given(loads(), st.data())
def test_users_are_within_a_half_of_the_line(load, data):
    """Rounding never moves the load by more than half a user, and a phase starts at its own number."""
    item, start, end = data.draw(st.sampled_from(phase_spans(load)))
    t_us = data.draw(st.integers(start, end - 1))
    exact = item.users_from * item.duration_us + (item.users_to - item.users_from) * (t_us - start)
    assert -item.duration_us < 2 * (exact - users_at(load, t_us) * item.duration_us) <= item.duration_us
    assert users_at(load, start) == item.users_from


@given(loads(), st.data())
def test_users_move_one_way_within_a_phase(load, data):
    """A ramp never steps back."""
    item, start, end = data.draw(st.sampled_from(phase_spans(load)))
    instants = sorted(data.draw(st.lists(st.integers(start, end - 1), min_size=2, max_size=5)))
    users = [users_at(load, t_us) for t_us in instants]
    assert users == sorted(users, reverse=item.users_to < item.users_from)


@given(loads(), st.data())
def test_nothing_changes_before_the_next_change(load, data):
    """Users are the same until the instant before it, and others at it."""
    end = sum(item.duration_us for item in load)
    t_us = data.draw(st.integers(0, end))
    change = next_change_us(load, t_us)
    before = end + S if change is None else change - 1
    assert users_at(load, before) == users_at(load, t_us)
    assert user_us_between(load, t_us, before) == users_at(load, t_us) * (before - t_us)
    if change is not None:
        assert users_at(load, change) != users_at(load, t_us)
