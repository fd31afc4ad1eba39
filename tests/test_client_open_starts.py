"""Starts of the open model find users in order, and each is counted once whatever becomes of it."""

from collections import Counter
from time import monotonic_ns

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.client.open_starts import OpenStarts
from loadproof.client.pacer import Pacer
from loadproof.measure.recorder import Recorder

MS = 1_000


class Worker:
    """Starts, and users that are greenlets; run time is `age_us` when it is made."""

    def __init__(self, starts, patience_us=30_000_000, age_us=0, phases=(("p", 0),), faults=()):
        self.zero_ns = monotonic_ns() - age_us * 1_000
        self.recorder = Recorder((), self.now_us, phases, self.zero_ns, faults)
        self.pacer = Pacer()
        self.starts = OpenStarts(patience_us, self.pacer, self.recorder)
        self.given = iter(starts)
        self.greenlets = []

    def now_us(self):
        return (monotonic_ns() - self.zero_ns) // 1_000

    def due_us(self, start_ns):
        return (start_ns - self.zero_ns) // 1_000

    def user(self, live, scenario=None):
        """A user that lives as `live(user, take)` says and is idle, if it asks, when this returns."""
        user = type(scenario or "A", (), {"_state": LOCUST_STATE_WAITING})()
        place = self.starts.place(user)
        user.greenlet = gevent.spawn(live, user, place.take)
        self.greenlets.append(user.greenlet)
        gevent.sleep(0)
        return user

    def begin(self):
        self.starts.walk(self.given)

    def walk(self):
        """Until every start has been noticed."""
        self.begin()
        self.starts.walked.get(timeout=30)

    def counts(self):
        """(taken, no_user, late) over all scenarios and phases."""
        arrivals = self.recorder.close_interval().arrivals.values()
        return tuple(sum(getattr(one, name) for one in arrivals) for name in ("taken", "no_user", "late"))


@pytest.fixture
def worker():
    made = []

    def build(*arguments, **options):
        made.append(Worker(*arguments, **options))
        return made[-1]

    yield build
    for one in made:
        one.starts.stop()
        gevent.killall(one.greenlets)
        one.pacer.close()


def takes(seen, times=1):
    """A life: so many starts, each noted with its user."""

    def live(user, take):
        for _ in range(times):
            seen.append((user, take()))

    return live


def test_idle_users_take_starts_in_their_order(worker):
    """The one that has been idle longest takes the first, at once."""
    one = worker([(number * MS, "A") for number in range(3)])
    seen = []
    users = [one.user(takes(seen)) for _ in range(3)]
    one.walk()

    assert [user for user, _ in seen] == users
    assert [one.due_us(start) for _, start in seen] == [0, MS, 2 * MS]
    assert one.recorder.user_wait.max == 0
    assert one.recorder.pacer_lag.count == 3
    assert one.counts() == (3, 0, 0)


def test_a_user_that_comes_takes_the_oldest_start_that_waits(worker):
    """Without a switch of greenlets, and its wait is counted."""
    one = worker([(number * MS, "A") for number in range(3)])
    one.walk()
    seen = []
    one.user(takes(seen, 3))

    assert [one.due_us(start) for _, start in seen] == [0, MS, 2 * MS]
    assert one.recorder.user_wait.count == 3
    # The first has waited at least while the others fell due, but for how late it was noticed itself.
    assert one.recorder.user_wait.max + one.recorder.pacer_lag.max >= 2 * MS
    assert one.counts() == (3, 0, 0)


def test_a_start_waits_for_a_user_of_its_own_scenario(worker):
    """Users of another scenario leave it alone."""
    one = worker([(0, "A"), (MS, "B")])
    seen = []
    user = one.user(takes(seen, 2), "B")
    one.walk()

    assert [(who, one.due_us(start)) for who, start in seen] == [(user, MS)]
    one.starts.stop()
    assert one.counts() == (1, 1, 0)


def test_a_start_belongs_to_the_phase_in_which_it_was_due(worker):
    """However late it is taken or dropped."""
    starts = [(number * 10 * MS, "A") for number in range(4)]
    one = worker(starts, phases=(("first", 20 * MS), ("second", 0)))
    one.walk()
    one.user(takes([], 3))
    one.starts.stop()
    arrivals = one.recorder.close_interval().arrivals

    assert {(key.phase, counts.taken, counts.no_user) for key, counts in arrivals.items()} == {
        ("first", 2, 0),
        ("second", 1, 1),
    }


def test_a_dropped_start_belongs_to_the_faults_in_whose_windows_it_waited(worker):
    """From when it was due until it was dropped; one that was taken is a request, which tells by itself."""
    faults = (("gone", 0, MS), ("met", 5 * MS, 15 * MS), ("to come", 3_600_000 * MS, 3_601_000 * MS))
    one = worker([(0, "A"), (2 * MS, "A"), (12 * MS, "A"), (20 * MS, "A")], age_us=40 * MS, faults=faults)
    one.walk()
    one.user(takes([], 1))
    one.starts.stop()
    arrivals = one.recorder.close_interval().arrivals

    assert {(key.faults, counts.taken, counts.no_user) for key, counts in arrivals.items()} == {
        ((), 1, 1),
        (("met",), 0, 2),
    }


def test_a_start_that_nobody_comes_for_is_dropped_when_its_patience_is_over(worker):
    """By itself, before any stop; none is counted twice."""
    one = worker([(0, "A"), (MS, "A"), (300 * MS, "A")], patience_us=20 * MS, age_us=300 * MS)
    one.walk()
    dropped = 0
    while dropped < 2:
        gevent.sleep(0.001)
        dropped += one.counts()[1]
    one.starts.stop()

    assert dropped + one.counts()[1] == 3


def test_a_start_past_its_patience_is_not_taken(worker):
    """A user that comes between the end of its patience and the pacer's word gets the next one."""
    one = worker([(0, "A"), (500 * MS, "A")], patience_us=400 * MS, age_us=500 * MS)
    one.walk()
    seen = []
    one.user(takes(seen))

    assert [one.due_us(start) for _, start in seen] == [500 * MS]
    assert one.counts() == (1, 1, 0)


def test_what_we_notice_too_late_is_dropped_as_ours(worker):
    """After a pause of ours, starts more than a second late are never fired in a burst; the others are."""
    starts = [(number * 100 * MS, "A") for number in range(30)]
    one = worker(starts, age_us=3_000 * MS)
    seen = []
    one.user(takes(seen, 30))
    one.walk()
    taken, no_user, late = one.counts()

    assert (taken, no_user, late) == (len(seen), 0, 30 - len(seen))
    assert late >= 20
    assert min(one.due_us(start) for _, start in seen) >= 2_000 * MS


def test_a_stop_drops_what_waits_and_what_was_to_come(worker):
    """Waiting starts are counted as such; those that are not due yet never were."""
    one = worker([(0, "A"), (3_600_000 * MS, "A")])
    one.begin()
    while not one.recorder.pacer_lag.count:
        gevent.sleep(0.001)
    one.starts.stop()

    assert one.counts() == (0, 1, 0)


def test_an_idle_user_that_is_killed_is_idle_no_more(worker):
    """The next start goes to the user behind it."""
    one = worker([(0, "A")])
    seen = []
    first = one.user(takes(seen))
    second = one.user(takes(seen))
    first.greenlet.kill()
    one.walk()

    assert [user for user, _ in seen] == [second]
    assert one.counts() == (1, 0, 0)


def test_a_user_that_is_let_go_in_the_instant_of_a_start_does_not_lose_it(worker):
    """Told to stop, and not yet killed: the start is for the next user, or waits."""
    one = worker([(0, "A"), (MS, "A")])
    seen = []
    leaving = one.user(takes(seen))
    staying = one.user(takes(seen))
    leaving._state = LOCUST_STATE_STOPPING
    one.walk()
    leaving.greenlet.kill()

    assert [user for user, _ in seen] == [staying]
    one.starts.stop()
    assert one.counts() == (1, 1, 0)


def test_a_user_whose_state_another_greenlet_has_changed_still_gets_its_start(worker):
    """A greenlet of the scenario's own that waits as a user does leaves the state at running: nobody is lost."""
    one = worker([(0, "A")])
    seen = []
    idle = one.user(takes(seen))
    idle._state = LOCUST_STATE_RUNNING
    one.walk()

    assert [user for user, _ in seen] == [idle]
    assert one.counts() == (1, 0, 0)


def test_a_mistake_in_the_starts_is_raised_at_the_end_of_the_plan(worker):
    """It is not swallowed by the hub: half a load is no load."""

    def starts():
        yield 0, "A"
        raise RuntimeError("the plan's arithmetic is wrong")

    one = worker(starts())
    one.begin()

    with pytest.raises(RuntimeError, match="arithmetic"):
        one.starts.walked.get(timeout=30)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8_000), st.sampled_from("AB")), max_size=60),
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 3), st.sampled_from(["stay", "kill", "let go"])),
        max_size=12,
    ),
    st.integers(1_000, 20_000),
)
def test_every_start_is_counted_exactly_once(starts, users, patience_us):
    """Whatever users there are, however long they work and whichever of them go: taken + dropped = due."""
    one = Worker(sorted(starts), patience_us=patience_us)
    taken = Counter()

    def life(work_ms):
        def live(user, take):
            while True:
                taken[one.due_us(take())] += 1
                gevent.sleep(work_ms / 1_000)
                if user._state == LOCUST_STATE_STOPPING:
                    return

        return live

    made = [(one.user(life(work_ms), scenario), fate) for scenario, work_ms, fate in users]
    one.begin()
    gevent.sleep(0.003)
    for user, fate in made:
        if fate != "stay":
            user._state = LOCUST_STATE_STOPPING
        if fate == "kill":
            user.greenlet.kill(block=False)
    one.starts.walked.get(timeout=30)
    one.starts.stop()
    counted, no_user, late = one.counts()
    gevent.killall(one.greenlets)
    one.pacer.close()

    assert counted == taken.total()
    assert counted + no_user + late == len(starts)
    assert one.starts.queue("A").idle == one.starts.queue("B").idle == {}
