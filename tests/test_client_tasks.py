"""A user's tasks: the same steps in the same order as with Locust's own user, and a turn for all others."""

import gevent
import pytest
from locust import SequentialTaskSet, User, constant, task
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser

from loadproof.client.user import LoadUser

pytestmark = pytest.mark.timeout(30)


class Enough(BaseException):
    """Ends a user from within, past all handlers."""


def traced(base, script, *, catch=True):
    """What a user of this base class does with a scenario, step by step; `script` adds to its class and trace."""
    trace = []

    def step(text):
        trace.append(text)
        if len(trace) > 40:
            raise Enough

    body = {
        "host": "http://127.0.0.1:9",
        "wait_time": lambda _user: step("wait") or 0.0001,
        "on_start": lambda _user: step("start"),
        "on_stop": lambda _user: step("stop"),
        **script(step),
    }
    scenario = type("Scenario", (base,), body)
    environment = Environment(user_classes=[scenario], catch_exceptions=catch)
    environment.events.user_error.add_listener(
        lambda exception, **_rest: step(f"error {type(exception).__name__}")
    )
    user = scenario(environment)
    try:
        user.run()
        trace.append("ended")
    except BaseException as error:  # noqa: BLE001 how it ends is what is compared
        trace.append(f"raised {type(error).__name__}")
    return trace


def raises(error):
    def script(step):
        def fail(_user):
            step("task")
            raise error

        return {"tasks": [fail]}

    return script


def fails_to_start(error):
    def script(step):
        def on_start(_user):
            step("start")
            raise error

        return {"tasks": [lambda _user: step("task")], "on_start": on_start}

    return script


def nested(how):
    def script(step):
        class Inner(SequentialTaskSet):
            def on_start(self):
                step(f"inner start {type(self.parent).__name__} {type(self.user).__name__}")
                if how == "at once":
                    self.interrupt(reschedule=False)

            def on_stop(self):
                step("inner stop")

            @task
            def one(self):
                step("one")

            @task
            def two(self):
                step("two")
                if how == "stops":
                    raise StopUser
                if how == "fails":
                    raise ValueError
                if how != "stays":
                    self.interrupt(reschedule=how == "reschedule")

        class Outer(SequentialTaskSet):
            wait_time = constant(0)

            @task
            def before(self):
                step(f"before {type(self.parent).__name__}")

            inner = task(Inner)

            @task
            def after(self):
                step("after")
                raise StopUser

            def on_stop(self):
                step("outer stop")

        return {"tasks": [Outer]}

    return script


def schedules(step):
    def first(user):
        step("first")
        queue = user._taskset_instance
        queue.schedule_task(lambda _user: step("queued"))
        queue.schedule_task(lambda _user: step("soon"), first=True)

    return {"tasks": [first]}


def waits_itself(step):
    def rest(user):
        step("task")
        user.wait()
        user._taskset_instance.wait()

    return {"tasks": [rest]}


def old_waits(step):
    return {"tasks": [lambda _user: step("task")], "wait_time": None, "min_wait": 0, "max_wait": 0}


def no_wait(step):
    return {"tasks": [lambda _user: step("task")], "wait_time": None}


def is_stopped(step):
    def leave(user):
        step(f"task {user._state}")
        user._state = "stopping"

    return {"tasks": [leave]}


SCENARIOS = {
    "a task fails": raises(ValueError()),
    "a task stops its user": raises(StopUser()),
    "a task is killed": raises(gevent.GreenletExit()),
    "a task asks for another": raises(RescheduleTask()),
    "a task asks for another at once": raises(RescheduleTaskImmediately()),
    "a task interrupts its user": raises(InterruptTaskSet(reschedule=False)),
    "a task times out": raises(gevent.Timeout()),
    "the start fails": fails_to_start(ValueError()),
    "the start stops": fails_to_start(StopUser()),
    "the start is killed": fails_to_start(gevent.GreenletExit()),
    "tasks are scheduled": schedules,
    "a task waits": waits_itself,
    "waits in the old words": old_waits,
    "no wait at all": no_wait,
    "stopped meanwhile": is_stopped,
    "no tasks": lambda _step: {"tasks": []},
    "no tasks but a task": lambda _step: {"tasks": [], "task": 1},
    **{
        f"nested, {how}": nested(how)
        for how in ("at once", "reschedule", "goes on", "stops", "fails", "stays")
    },
}


@pytest.mark.parametrize("catch", [True, False], ids=["caught", "let through"])
@pytest.mark.parametrize("case", SCENARIOS)
def test_a_scenario_goes_as_with_locusts_own_user(case, catch):
    """Starts, tasks, waits, errors and stops, in nested task sets too: Locust's `User` is the oracle."""
    script = SCENARIOS[case]

    assert traced(LoadUser, script, catch=catch) == traced(User, script, catch=catch)


class Eager:
    """Starts that are always due."""

    def __init__(self):
        self.taken = 0

    def take(self):
        self.taken += 1
        assert self.taken < 5_000, "nobody else had a turn"


class Unready(Eager):
    """Starts that cannot say when, as with a `wait_time` that raises."""

    def take(self):
        super().take()
        raise ValueError("no wait")


@pytest.mark.parametrize("starts", [Eager, Unready])
def test_a_user_that_fails_before_it_waits_lets_others_have_their_turn(starts):
    """Without tasks, or without a wait: each start is one error, and the loop goes on."""
    scenario = type("Empty", (LoadUser,), {"host": "http://127.0.0.1:9", "tasks": []})
    environment = Environment(user_classes=[scenario])
    errors = []
    environment.events.user_error.add_listener(lambda exception, **_rest: errors.append(exception))
    user = scenario(environment)
    user.starts = starts()

    playing = gevent.spawn(user.run)
    for _ in range(10):
        gevent.sleep(0)
    playing.kill()

    assert 0 < len(errors) < 100
    assert abs(user.starts.taken - len(errors)) <= 1
