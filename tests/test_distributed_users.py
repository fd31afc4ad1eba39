"""A worker's users follow the plan on their own; one that ends is replaced, one that cannot start is counted."""

import time

import gevent
import pytest
from linking import until
from locust import User, constant, task
from locust.env import Environment
from locust.exception import StopUser

from distributed.clock import RunClock
from distributed.placement import Slot
from distributed.users import Users
from loadproof.measure.interval import Outcome
from loadproof.measure.recorder import Recorder
from loadproof.plan.model import Phase


class Steady(User):
    wait_time = constant(0.01)
    stopped = 0

    @task
    def nothing(self):
        gevent.sleep(0.005)

    def on_stop(self):
        type(self).stopped += 1


class Quitter(User):
    wait_time = constant(0.01)
    started = 0

    def on_start(self):
        type(self).started += 1

    @task
    def leave(self):
        raise StopUser


class Broken(User):
    wait_time = constant(0.01)

    def on_start(self):
        raise RuntimeError("no session")

    @task
    def never(self):
        pass


class Stuck(User):
    wait_time = constant(0)

    @task
    def hang(self):
        gevent.sleep(600)


@pytest.fixture
def crew():
    """Builds Users over a load with one slot a user, and ends them after the test."""
    made = []

    def build(user_class, load, slots):
        user_class.host = "http://127.0.0.1"
        environment = Environment(user_classes=[user_class])
        environment.create_local_runner()
        clock = RunClock(time.monotonic_ns())
        recorder = Recorder((), clock.now_us, [("p", 0)])
        placed = [Slot(index, user_class.__name__) for index in slots]
        users = Users(environment, recorder, clock, load, placed)
        made.append((users, environment))
        return users, recorder

    yield build
    for users, environment in made:
        users.stop()
        users.kill()
        environment.runner.greenlet.kill()


def phase(duration_s, users_from, users_to):
    return Phase(name="p", duration_us=int(duration_s * 1e6), users_from=users_from, users_to=users_to)


def test_slots_below_the_plan_run_and_no_others(crew):
    """With 5 users planned, a worker with slots 0, 3, 4 and 7 runs three."""
    users, recorder = crew(Steady, (phase(30, 5, 5),), (0, 3, 4, 7))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.active_users == {"Steady": 3})
    gevent.sleep(0.1)

    assert recorder.active_users == {"Steady": 3}
    assert len(users.group) == 3


def test_users_of_a_ramp_down_are_let_go_highest_slot_first(crew):
    """When the plan asks for fewer, users stop in order and are inactive at once."""
    users, recorder = crew(Steady, (phase(1, 4, 4), phase(600, 1, 1)), (0, 1, 2, 3))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.active_users == {"Steady": 4})
    until(lambda: recorder.active_users != {"Steady": 4})

    assert recorder.active_users == {"Steady": 1}
    assert list(users._running) == [0]
    until(lambda: len(users.group) == 1)


def test_follow_plan_ends_with_the_plan(crew):
    """After the last phase the loop returns by itself; its users are still there to drain."""
    users, _ = crew(Steady, (phase(0.2, 2, 2),), (0, 1))
    following = gevent.spawn(users.follow_plan)

    assert following.join(timeout=30) is None
    assert following.successful()
    users.stop()
    assert users.drain(30)


def test_a_user_that_ends_itself_is_replaced(crew):
    """A closed model holds its number: a scenario that raises StopUser starts again, after a pause."""
    Quitter.started = 0
    users, recorder = crew(Quitter, (phase(600, 1, 1),), (0,))
    begun = time.monotonic()
    gevent.spawn(users.follow_plan)
    until(lambda: Quitter.started >= 2)

    assert time.monotonic() - begun >= 0.9
    assert recorder.totals.failed == 0


def test_a_failed_on_start_is_a_counted_failure_and_is_retried(crew):
    """A user that cannot start is a failed request `USER on_start`, and no active user while it waits to retry."""
    users, recorder = crew(Broken, (phase(600, 1, 1),), (0,))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.totals.failed >= 2)
    interval = recorder.close_interval()

    [(key, series)] = interval.series.items()
    assert (key.method, key.name, key.outcome) == ("USER", "on_start", Outcome.FAILED)
    assert series.histogram.count == 2
    assert recorder.active_users == {}
    assert [error.message for error in interval.errors] == ["RuntimeError: no session"]


def test_draining_waits_for_tasks_and_killing_does_not(crew):
    """A user in the middle of a task outlives the drain's patience and ends by `kill`."""
    users, recorder = crew(Stuck, (phase(30, 2, 2),), (0, 1))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.active_users == {"Stuck": 2})
    gevent.sleep(0.05)
    users.stop()

    assert not users.drain(0.1)
    users.kill()
    assert len(users.group) == 0


class Hasty(User):
    """Waits so little that a stop nearly always meets a wait that is just ending."""

    wait_time = constant(0)
    cut = 0

    @task
    def work(self):
        try:
            gevent.sleep(0.002)
        except gevent.GreenletExit:
            type(self).cut += 1
            raise


def test_a_stop_never_cuts_a_task_that_has_begun(crew):
    """However a stop and the end of a wait meet, a task runs to its end while there is time to drain."""
    Hasty.cut = 0
    for _ in range(15):
        users, _ = crew(Hasty, (phase(30, 60, 60),), range(60))
        gevent.spawn(users.follow_plan)
        gevent.sleep(0.06)
        users.stop()
        assert users.drain(30)

    assert Hasty.cut == 0


def test_a_user_that_is_let_go_before_it_ran_never_runs(crew):
    """A start and a stop in one turn of the loop leave no request behind."""
    Hasty.cut = 0
    for _ in range(20):
        users, recorder = crew(Hasty, (phase(30, 40, 40),), range(40))
        gevent.spawn(users.follow_plan)
        while not recorder.active_users:
            gevent.sleep(0)
        users.stop()
        assert users.drain(30)

    assert Hasty.cut == 0


class Slow(User):
    """Its constructor waits, as one that logs in there does."""

    wait_time = constant(0.01)
    made = 0

    def __init__(self, environment):
        super().__init__(environment)
        type(self).made += 1
        gevent.sleep(0.05)

    @task
    def nothing(self):
        gevent.sleep(0.005)


def test_a_user_that_is_let_go_while_it_is_made_never_runs(crew):
    """Its slot is nobody's any more when the constructor is through: no user runs that the plan cannot stop."""
    Slow.made = 0
    users, recorder = crew(Slow, (phase(30, 1, 1),), (0,))
    following = gevent.spawn(users.follow_plan)
    while not Slow.made:
        gevent.sleep(0)
    users.stop()
    following.join(30)

    assert Slow.made == 1
    assert recorder.active_users == {}
    assert users.drain(30)


def test_slots_that_are_placed_elsewhere_end_at_once_and_others_stay(crew):
    """A new placement stops what is no longer its own, brings what is new, and touches nobody else."""
    users, recorder = crew(Steady, (phase(30, 6, 6),), (0, 1, 2))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.active_users == {"Steady": 3})
    stay = {index: users._running[index] for index in (1, 2)}
    users.place([Slot(index, "Steady") for index in (1, 2, 4, 5, 9)])

    assert recorder.active_users == {"Steady": 2}
    until(lambda: sorted(users._running) == [1, 2, 4, 5])
    assert all(users._running[index] is user for index, user in stay.items())


def test_a_placement_that_comes_while_users_wait_to_return_brings_nobody_twice(crew):
    """Users that failed to start keep their pause, those that were placed elsewhere never come."""
    users, recorder = crew(Broken, (phase(600, 3, 3),), (0, 1, 2))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.totals.failed == 3)
    users.place([Slot(1, "Broken")])
    until(lambda: recorder.totals.failed > 3)
    gevent.sleep(0.1)

    assert list(users._asked) == [1]
    assert recorder.totals.failed == 4


def test_who_is_parked_has_no_users_until_it_goes_on(crew):
    """Parking ends all users, and the plan brings none before `resume`; then it brings as many as it wants now."""
    users, recorder = crew(Steady, (phase(30, 4, 4),), (0, 1, 2, 3))
    gevent.spawn(users.follow_plan)
    until(lambda: recorder.active_users == {"Steady": 4})
    users.park()
    assert recorder.active_users == {}
    until(lambda: len(users.group) == 0)
    gevent.sleep(0.1)
    assert len(users.group) == 0
    users.place([Slot(0, "Steady"), Slot(3, "Steady"), Slot(8, "Steady")])
    gevent.sleep(0.1)
    assert recorder.active_users == {}
    users.resume()
    until(lambda: recorder.active_users)
    gevent.sleep(0.1)

    assert recorder.active_users == {"Steady": 2}
