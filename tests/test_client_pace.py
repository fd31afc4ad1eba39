"""A pace: users' turns are spread over it, and whoever is late for one starts at once and catches nothing up."""

import itertools
from time import monotonic_ns

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.client.pace import PacedStarts, Turns, next_start_us
from loadproof.client.pacer import Pacer
from loadproof.measure.recorder import Recorder
from loadproof.plan.model import Phase
from loadproof.plan.profile import phase_spans

SECOND = 1_000_000


def spans(*phases):
    """Phases of (seconds, pace in microseconds or None)."""
    return phase_spans(
        [
            Phase(
                name=f"p{number}",
                duration_us=seconds * SECOND,
                users_from=1,
                users_to=1,
                pace_us=pace_us,
            )
            for number, (seconds, pace_us) in enumerate(phases)
        ]
    )


@pytest.mark.parametrize(
    ("slot", "from_us", "start_us"),
    [
        (0, 0, 0),
        (0, 1, 2 * SECOND),
        (0, 2 * SECOND, 2 * SECOND),
        (1, 0, 1_236_067),
        (1, 1_236_067, 1_236_067),
        (1, 1_236_068, 3_236_067),
        (2, 0, 472_135),
        (3, 0, 1_708_203),
        (3, 5_000_000, 5_708_203),
    ],
)
def test_turns_of_a_user(slot, from_us, start_us):
    """Slot times the golden ratio's fraction, of a pace of two seconds, and its multiples."""
    assert next_start_us(slot, 2 * SECOND, from_us) == start_us


@given(st.integers(0, 2**40), st.integers(1, 10**9), st.integers(0, 10**12))
def test_a_turn_is_the_first_at_or_after_the_instant_and_comes_every_pace(slot, pace_us, from_us):
    """Within one pace from then; the next one is exactly a pace later."""
    start = next_start_us(slot, pace_us, from_us)

    assert from_us <= start < from_us + pace_us
    assert next_start_us(slot, pace_us, start) == start
    assert next_start_us(slot, pace_us, start + 1) == start + pace_us


@pytest.mark.parametrize("users", [2, 3, 10, 100, 1000, 4000])
def test_users_are_spread_however_many_there_are(users):
    """No gap between neighbouring turns is more than 2.62 times the smallest: three sizes, by the three-gap theorem."""
    pace_us = 60 * SECOND
    first = sorted(next_start_us(slot, pace_us, 0) for slot in range(users))
    gaps = [later - earlier for earlier, later in itertools.pairwise([*first, first[0] + pace_us])]

    assert max(gaps) <= 2.62 * min(gaps)


def played(turns, *lengths):
    """Starts of a user whose tasks take so long one after another."""
    now = 0
    starts = []
    for length in lengths:
        start = turns.next_us(now)
        starts.append(start)
        now = (now if start is None else start) + length
    return starts


def test_a_user_whose_tasks_are_short_keeps_to_its_turns():
    """One start every pace, exactly."""
    assert played(Turns(0, spans((60, 2 * SECOND))), 10, SECOND, 2 * SECOND - 1, 10) == [
        *(0, 2 * SECOND, 4 * SECOND, 6 * SECOND),
    ]


def test_a_user_that_is_late_starts_at_once_and_then_keeps_to_its_turns():
    """The turn that a long task ran over is taken late; those before it are not made up for."""
    assert played(Turns(0, spans((60, 2 * SECOND))), 7 * SECOND, 10, 10) == [0, 7 * SECOND, 8 * SECOND]


def test_a_user_whose_tasks_take_longer_than_the_pace_never_waits():
    """As with `constant_pacing`."""
    starts = played(Turns(0, spans((60, 2 * SECOND))), *[3 * SECOND] * 5)

    assert starts == [0, 3 * SECOND, 6 * SECOND, 9 * SECOND, 12 * SECOND]


def test_who_joins_late_waits_for_its_turn():
    """Users that appear in one instant do not start in it."""
    starts = {Turns(slot, spans((60, 2 * SECOND))).next_us(5 * SECOND) for slot in range(100)}

    assert len(starts) == 100
    assert min(starts) >= 5 * SECOND
    assert max(starts) < 7 * SECOND


def test_a_turn_beyond_its_phase_goes_by_the_next_pace():
    """Users that wait for a slow turn take up a faster pace where it begins, still spread."""
    phases = spans((10, 8 * SECOND), (10, SECOND))
    second = [played(Turns(slot, phases), 10, 10)[1] for slot in range(200)]
    late = [start for start in second if start >= 10 * SECOND]

    assert len(late) > 100
    assert max(late) < 11 * SECOND
    assert len(set(late)) == len(late)


def test_a_phase_without_a_pace_has_no_turns():
    """Neither before nor after a paced phase; one that waits when such a phase begins keeps its turn."""
    phases = spans((5, None), (5, 2 * SECOND), (5, None))

    assert Turns(1, phases).next_us(0) is None
    assert Turns(1, phases).next_us(5 * SECOND) == 5_236_067
    assert Turns(1, phases).next_us(9_500_000) == 11_236_067
    assert Turns(1, phases).next_us(12 * SECOND) is None


class User:
    """What a paced user's `Starts` look at."""

    slot = 0

    def wait_time(self):
        return 0.001


def taken(recorder, pacer, phases, times):
    """When a user's `take` returned, in microseconds of run time."""
    starts = PacedStarts(User(), phases, pacer, recorder)
    seen = []

    def live():
        for _ in range(times):
            assert starts.take() is None
            seen.append(recorder.clock())

    user = gevent.spawn(live)
    user.join(timeout=30)
    assert user.successful()
    return seen


@pytest.fixture
def pacer():
    pacer = Pacer()
    yield pacer
    pacer.close()


def recorder_from_now():
    zero_ns = monotonic_ns()
    return Recorder((), lambda: (monotonic_ns() - zero_ns) // 1_000, [("p", 0)], zero_ns)


def test_a_user_sleeps_until_its_turn_and_its_lag_is_measured(pacer):
    """Each wait leaves one sample of the pacer's lag; no latency counts from a turn."""
    recorder = recorder_from_now()
    seen = taken(recorder, pacer, spans((60, 5_000)), 6)

    assert all(later - earlier > 0 for earlier, later in itertools.pairwise(seen))
    assert seen[-1] >= 5 * 5_000
    assert 1 <= recorder.pacer_lag.count <= 6


def test_without_a_pace_a_user_waits_as_it_says_itself(pacer):
    """Its first task begins at once, each later one after its `wait_time`."""
    recorder = recorder_from_now()
    seen = taken(recorder, pacer, spans((60, None), (60, 5_000)), 4)

    assert seen[-1] - seen[0] >= 3_000
    assert recorder.pacer_lag.count == 0


def test_a_user_that_is_killed_while_it_waits_takes_its_call_back(pacer):
    """Nothing switches to a greenlet that has ended."""
    recorder = recorder_from_now()
    starts = PacedStarts(User(), spans((60, 30 * SECOND)), pacer, recorder)
    recorder.clock = lambda: 1
    user = gevent.spawn(starts.take)
    gevent.sleep(0)
    user.kill()

    assert all(call.back is None for _, _, call in pacer._due)
