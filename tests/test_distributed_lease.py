"""A worker loads as long as it was granted, and not an instant of its own clock longer."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.exception import StopUser
from odd import OK, REQUEST, send

from distributed.lease import LEASE_NS, Lease
from loadproof.measure.interval import Outcome
from loadproof.measure.recorder import Recorder

pytest_plugins = ("conforming",)


def test_nothing_may_be_loaded_before_a_grant():
    """A worker that follows a placement waits for its lease."""
    lease = Lease()
    assert lease.follow(1)

    assert lease.left_ns(0) == 0


def test_a_lease_counts_from_when_it_was_asked_for():
    """However long the answer took, which only makes it shorter."""
    lease = Lease()
    lease.follow(3)
    lease.renew(asked_ns=100, revision=3)

    assert lease.left_ns(100) == LEASE_NS
    assert lease.left_ns(100 + LEASE_NS - 1) == 1
    assert lease.left_ns(100 + LEASE_NS) == 0


def test_a_grant_to_who_followed_an_older_placement_is_none():
    """What was placed then may be another's by now."""
    lease = Lease()
    lease.follow(3)
    lease.renew(asked_ns=100, revision=2)

    assert lease.left_ns(100) == 0


@given(st.permutations(range(1, 6)), st.permutations(range(5)))
def test_answers_that_overtake_each_other_end_the_same(revisions, asked):
    """Whatever order placements and grants come in, the latest of each holds."""
    lease = Lease()
    followed = [revision for revision in revisions if lease.follow(revision)]
    for second in asked:
        lease.renew(second * 1_000_000_000, 5)

    assert followed == sorted(followed)
    assert lease.revision == 5
    assert lease.left_ns(0) == 4_000_000_000 + LEASE_NS


def test_no_request_begins_without_a_lease(clients, odd):
    """Whichever way it takes: it is neither sent nor counted, and the user is told to stop."""
    played = odd.play([REQUEST, send(OK), REQUEST, send(OK)])
    client = clients(played.url)
    assert client.get("/").status_code == 200
    recorder = clients.recorder
    recorder.load_until_ns = time.monotonic_ns() - 1
    for ask in (
        lambda: client.get("/"),
        lambda: client.get("/", timeout=5),
        lambda: client.post("/", json={"a": 1}),
        lambda: client.user.websocket("/ws").__enter__(),
    ):
        with pytest.raises(StopUser):
            ask()
    assert recorder.started == 1
    recorder.load_until_ns = time.monotonic_ns() + 10**10

    assert client.get("/").status_code == 200
    assert recorder.started == 2


def test_a_recorder_that_begins_late_counts_from_there():
    """A worker that joins in second 30 has no interval before it, and its first begins when it came."""
    now = iter([30_400_000, 31_000_000, 31_000_000, 31_000_000])
    recorder = Recorder((), lambda: next(now), [("steady", 0)])
    assert recorder.closes_at_us == 31_000_000
    interval = recorder.close_interval()

    assert (interval.second, interval.start_us, interval.length_us) == (30, 30_400_000, 600_000)
    assert Outcome.OK not in {key.outcome for key in interval.series}


def test_nobody_was_active_after_the_end_of_the_lease():
    """A process that slept past it wakes with users that were not told yet: others have carried its load since."""
    now = [0]
    recorder = Recorder((), lambda: now[0], [("steady", 0)])
    recorder.user_started("Reader")
    recorder.load_until_ns = 15_000_000_000
    now[0] = 40_000_000
    recorder.user_stopped("Reader")

    assert recorder.close_interval().user_us == {"Reader": 15_000_000}
