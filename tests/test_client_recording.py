"""Recording: stock and own sessions against a real server, each in a process of its own."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

from loadproof.client.recording import _on_request
from loadproof.measure.recorder import Recorder

PROGRAM = Path(__file__).parent / "support" / "recorded_sessions.py"
KINDS = ("HttpUser", "FastHttpUser", "LoadUser")


@pytest.fixture(scope="module", params=KINDS)
def recorded(request):
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), request.param],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment(),
    )
    return {"kind": request.param, **json.loads(ran.stdout)}


def outcomes(recorded):
    return {key for key in recorded["series"] if not key.startswith("GRPC")}


def test_every_way_that_a_request_can_end_is_recorded_once(recorded):
    """Good, bad, redirected, marked, forgiven, raised in the block, refused, timed out and killed: one each."""
    expected = {
        "GET GET /ok ok",
        "GET /broken failed",
        "GET /redirect ok",
        "GET marked failed",
        "GET forgiven ok",
        "GET raised failed",
        "GET refused failed",
        "GET hung unfinished",
    }
    if recorded["kind"] == "HttpUser":
        expected.add("GET slow timeout")

    assert outcomes(recorded) == expected
    assert all(count == 1 for count, _, _ in recorded["series"].values())


def test_started_is_the_sum_of_all_ends(recorded):
    """The first book closes: nothing stays in flight and nothing is counted twice."""
    assert recorded["in_flight"] == 0
    assert recorded["started"] == sum(count for count, _, _ in recorded["series"].values())


def test_each_redirect_hop_is_an_exchange(recorded):
    """A redirected request is one request and two answered exchanges."""
    assert recorded["exchanges"]["GET /redirect"] == [2, 0]


def test_a_refused_connection_is_no_exchange(recorded):
    """Where no connection came about, the target cannot have counted anything."""
    assert recorded["exchanges"]["GET refused"] == [0, 0]


def test_a_request_that_we_ended_is_an_unanswered_exchange(recorded):
    """The target may or may not have counted a request that hung until its user was stopped."""
    assert recorded["exchanges"]["GET hung"] == [0, 1]


def test_errors_read_as_one_line(recorded):
    """Error texts name the status or the system's word, without addresses that differ from run to run."""
    assert recorded["errors"]["/broken: HTTP 500"] == 1
    ours = recorded["kind"] == "LoadUser"
    words = "no connection" if ours else "ConnectionRefusedError"
    assert recorded["errors"][f"refused: {words}: Connection refused"] == 1


def test_every_request_carries_the_run(recorded):
    """The target can count this run's requests apart from all others."""
    assert recorded["run_headers"] == ["run-1"]
    assert recorded["without_header"] == 0


def test_a_plugin_is_recorded_by_its_event_alone(recorded):
    """A request of which Locust only tells the end has its exact time, and is counted as untracked."""
    count, latency_us, _ = recorded["series"]["GRPC plugin ok"]

    assert (count, latency_us, recorded["untracked"]) == (1, 12_346, 1)


@pytest.mark.parametrize(
    ("told", "latency_us", "outcome"),
    [
        ({"response_time": 5}, 5_000, "ok"),
        ({"response_time": "5"}, 5_000, "ok"),
        ({"response_time": None}, 0, "ok"),
        ({"response_time": -1.0}, 0, "failed"),
        ({"response_time": math.nan}, 0, "failed"),
        ({"response_time": math.inf}, 10**15, "ok"),
        ({"response_time": "soon"}, 0, "failed"),
        ({"response_length": "much"}, 5_000, "ok"),
        ({"exception": "a text"}, 5_000, "failed"),
        ({"exception": True}, 5_000, "failed"),
        ({"exception": TimeoutError()}, 5_000, "timeout"),
        ({"context": "none"}, 5_000, "ok"),
        ({"name": None, "request_type": 7}, 5_000, "ok"),
    ],
)
def test_an_event_with_nonsense_is_a_request_all_the_same(told, latency_us, outcome):
    """Locust drops what its listeners trip over: a request told of badly is counted, and without a time as failed."""
    recorder = Recorder((), lambda: 0, [("steady", 10**9)])
    event = {"request_type": "X", "name": "y", "response_time": 5, "response_length": 0, **told}
    _on_request(recorder, **event)
    interval = recorder.close_interval()
    [(key, series)] = interval.series.items()

    assert recorder.in_flight == 0
    assert (key.outcome.value, series.histogram.max) == (outcome, latency_us)
    assert bool(interval.errors) is (outcome != "ok")


def test_an_event_that_tells_next_to_nothing_is_a_request():
    """Without time, length and exception it still says that there was one."""
    recorder = Recorder((), lambda: 0, [("steady", 10**9)])
    _on_request(recorder, request_type="X", name="y")

    assert recorder.totals.ok == recorder.totals.started == 1
