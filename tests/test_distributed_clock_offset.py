"""The offset between two monotonic clocks: as exact as half the shortest round trip says, and never less."""

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linking import DIGEST, PLAN, Peer, linked

from distributed import messages
from distributed.clock_offset import AT_JOINING, Exchange, deviation_ns, estimate
from distributed.joining import exchange_clocks, fetch_orders, plan_of
from distributed.placement import Seat
from loadproof.errors import UsageError
from loadproof.plan.writer import dump_plan

delays = st.integers(0, 3_000_000_000)
"""Nanoseconds of one way: up to three seconds, and as unlike the other way as may be."""


@given(
    st.integers(-(10**18), 10**18),
    st.lists(st.tuples(st.integers(0, 10**18), delays, delays), min_size=1, max_size=20),
)
def test_the_truth_lies_within_the_error(offset_ns, trips):
    """Whatever the delays of each way, the estimate is off by no more than it says."""
    exchanges = [Exchange(sent, sent + there + offset_ns, sent + there + back) for sent, there, back in trips]
    found = estimate(exchanges)

    assert abs(found.offset_ns - offset_ns) <= found.error_ns
    assert found.error_ns == (min(there + back for _, there, back in trips) + 1) // 2


@given(st.integers(0, 10**12), delays, st.integers(-(10**9), 10**9))
def test_a_clock_that_drifts_is_noticed(offset_ns, trip, drift_ns):
    """An offset in use is off by at most what the newest estimate lets it be."""
    later = estimate([Exchange(0, trip // 2 + offset_ns + drift_ns, trip)])

    assert abs(drift_ns) <= deviation_ns(offset_ns, later) <= abs(drift_ns) + trip + 2


def test_without_an_exchange_there_is_no_estimate():
    """Absence is an error, not a zero."""
    with pytest.raises(ValueError):
        estimate([])


def test_on_one_machine_the_offset_is_about_nothing(tmp_path):
    """Over the real link, with both ends on one clock, the true offset 0 lies within the error."""
    with linked(tmp_path) as home:
        peer = Peer(home, "east-01")
        exchanges = exchange_clocks(peer.client, Seat("east-01", "east"))
        found = estimate(exchanges)

        assert len(exchanges) == AT_JOINING
        assert abs(found.offset_ns) <= found.error_ns
        peer.client.close()


def test_a_worker_is_told_the_plan_as_data(tmp_path):
    """What the master judges by is what the worker runs, to the byte."""
    with linked(tmp_path) as home:
        peer = Peer(home, "east-01")
        orders = fetch_orders(peer.client, Seat("east-01", "east"))

        assert orders.plan == PLAN
        assert dump_plan(plan_of(orders)) == dump_plan(home.master.plan)
        assert orders.plan_sha256 == home.master.orders.plan_sha256
        peer.client.close()


@pytest.mark.parametrize(
    ("region", "changes", "says"),
    [
        ("west", {}, "no worker east-01 in region west"),
        ("east", {"protocol": 99}, "install the same version"),
        ("east", {"version": "1.0"}, "install the same version"),
    ],
)
def test_who_has_no_part_in_the_run_is_told_so(tmp_path, region, changes, says):
    """A wrong region or version is one line at the first question already."""
    with linked(tmp_path) as home:
        peer = Peer(home, "east-01")
        ask = messages.write(messages.Ask(messages.PROTOCOL, region, peer.hello()["version"]))
        peer.say(messages.ASK, {**ask, **changes})
        answer = peer.hear()

        assert answer.type == messages.REFUSED
        assert says in answer.data["why"]
        peer.client.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"suite_sha256": "1" * 64}, "other user classes"),
        ({"plan_sha256": DIGEST}, "another plan"),
        ({"version": "1.0"}, "install the same version"),
    ],
)
def test_another_suite_plan_or_version_is_refused(tmp_path, changes, says):
    """One line, nobody admitted, and said once however often it is tried."""
    with linked(tmp_path) as home:
        before = home.state()
        peer = Peer(home, "east-01")
        for _ in range(3):
            peer.say(messages.HELLO, peer.hello(**changes))
            assert says in peer.hear().data["why"]

        assert home.state() == before
        events = (home.folder.path / "events.jsonl").read_text()
        assert events.count("refused: ") == 1
        peer.client.close()


def test_a_silent_master_is_asked_again(tmp_path, monkeypatch):
    """A question that got lost on the way does not hold a worker up for ever."""
    monkeypatch.setattr("distributed.joining.AGAIN_S", 0.05)
    with linked(tmp_path) as home:
        peer = Peer(home, "east-01")
        answer, lost = home.master.server.answer, []

        def lossy(message):
            if len(lost) < 3:
                lost.append(message)
            else:
                answer(message)

        home.master.server.answer = lossy
        with gevent.Timeout(20):
            assert fetch_orders(peer.client, Seat("east-01", "east")).run == "run"
        assert len(lost) == 3
        peer.client.close()


def test_a_master_that_refuses_us_is_an_error(tmp_path):
    """The master's words reach the operator."""
    with linked(tmp_path) as home:
        peer = Peer(home, "east-01")
        with pytest.raises(UsageError, match="no worker east-01 in region west"):
            fetch_orders(peer.client, Seat("east-01", "west"))
        peer.client.close()
