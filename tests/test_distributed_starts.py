"""What a worker's users wait for follows from the plan, and its timers are measured whatever that is."""

from time import monotonic_ns

import gevent
import pytest
from judging import plan_of

from distributed.messages import Begin, Pool
from distributed.starts import WorkerStarts
from loadproof.client.open_starts import Place
from loadproof.client.pace import PacedStarts
from loadproof.measure.recorder import Recorder
from loadproof.plan.model import RATE_PERIOD_S, Phase

HOUR = 3_600_000_000


class User:
    slot = 3


def phase(arrivals=None, pace_us=None):
    rate = None if arrivals is None else int(arrivals * RATE_PERIOD_S)
    return Phase(
        name="steady",
        duration_us=HOUR,
        users_from=5,
        users_to=5,
        arrivals_from=rate,
        arrivals_to=rate,
        pace_us=pace_us,
    )


LOADS = {
    "closed": phase(),
    "paced": phase(pace_us=HOUR),
    "open": phase(arrivals=0.01),
}


@pytest.fixture
def starts():
    """Builds a worker's starts, with its recorder, and begins."""
    made = []

    def build(kind):
        zero_ns = monotonic_ns()
        recorder = Recorder((), lambda: (monotonic_ns() - zero_ns) // 1_000, [("steady", 0)], zero_ns)
        begin = Begin("run", 1, zero_ns, [(3, 0)], ["User"], 10, [Pool(5, [(0, 0)])])
        made.append(WorkerStarts(plan_of(load=[LOADS[kind]]), "local-01", recorder))
        made[-1].place(begin)
        return made[-1], recorder

    yield build
    for one in made:
        one.stop()
        one.close()


@pytest.mark.parametrize(("kind", "waits"), [("closed", None), ("paced", PacedStarts), ("open", Place)])
def test_users_wait_for_what_the_plan_says(starts, kind, waits):
    """Arrivals, a pace, or nothing of ours."""
    one, _ = starts(kind)

    assert (one.of_user is None) is (waits is None)
    if waits is not None:
        assert type(one.of_user(User())) is waits


@pytest.mark.parametrize("kind", LOADS)
def test_timers_are_measured_when_nothing_is_due(starts, kind):
    """The verdict looks at ten seconds in a row, and a plan may start a task every minute."""
    one, recorder = starts(kind)
    probe = gevent.spawn(one.probe)
    while recorder.pacer_lag.count < 3:
        gevent.sleep(0.005)
    probe.kill()

    assert recorder.pacer_lag.min >= 0
    assert not recorder.close_interval().arrivals
