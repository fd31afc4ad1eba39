"""Contracts: every hook of Locust's that we stand on is still there and still means the same."""

import inspect
import itertools

import locust
import pytest
from gevent.pool import Group
from locust import FastHttpUser, HttpUser, User, between, events, task
from locust.clients import HttpSession
from locust.clients import ResponseContextManager as StockResponse
from locust.contrib.fasthttp import FastHttpSession
from locust.contrib.fasthttp import ResponseContextManager as FastResponse
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import RequestStats
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from distributed.link import sockets
from distributed.link.keys import make_keys
from distributed.locust_statistics import fold
from distributed.master import Master
from distributed.worker import Worker
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import ErrorKey, Interval, Outcome, Series, SeriesKey


@pytest.mark.parametrize(
    "method",
    [
        "client_listener",
        "heartbeat_worker",
        "check_stopped",
        "reset_connection",
        "handle_message",
        "start",
        "stop",
        "quit",
    ],
)
def test_what_the_master_replaces_exists(method):
    """A renamed method of Locust's would leave its own behaviour running beside ours."""
    assert getattr(Master, method) is not getattr(MasterRunner, method)


@pytest.mark.parametrize(
    "method",
    [
        "worker",
        "connect_to_master",
        "heartbeat",
        "heartbeat_timeout_checker",
        "stats_reporter",
        "logs_reporter",
        "reset_connection",
        "handle_message",
    ],
)
def test_what_the_worker_replaces_exists(method):
    """As for the master."""
    assert getattr(Worker, method) is not getattr(WorkerRunner, method)


@pytest.mark.parametrize("session", [FastHttpSession, HttpSession])
def test_sessions_take_what_the_wrapper_passes(session):
    """A session's `request` takes method, url and name in this order, and headers and context by name."""
    parameters = inspect.signature(session.request).parameters

    assert list(itertools.islice(parameters, 4)) == ["self", "method", "url", "name"]
    assert "context" in parameters
    assert "headers" in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


@pytest.mark.parametrize("response", [FastResponse, StockResponse])
def test_responses_leave_their_block_through_exit(response):
    """The `with` block of a response reports in `__exit__`, from `request_meta`."""
    assert list(inspect.signature(response.__exit__).parameters) == ["self", "exc", "value", "traceback"]
    assert "request_meta" in inspect.getsource(response.__exit__)


def test_runners_take_their_sockets_from_zmqrpc():
    """A socket put into `locust.rpc.zmqrpc` is the one that the next runner uses."""
    keys, _ = make_keys(["east-01"])
    server = sockets.Server("127.0.0.1", 0, keys)
    sockets.use(server)
    environment = Environment(user_classes=[])
    runner = environment.create_master_runner("127.0.0.1", 0)
    try:
        assert runner.server is server
    finally:
        runner.greenlet.kill()
        runner.server.close(linger=0)


def test_a_message_is_type_data_and_sender():
    """Messages survive Locust's own serialisation, bytes included."""
    message = Message.unserialize(Message("kind", {"record": b"\x00\xff"}, "me").serialize())

    assert (message.type, message.data, message.node_id) == ("kind", {"record": b"\x00\xff"}, "me")


def test_a_waiting_user_ends_at_once_and_a_running_one_after_its_task():
    """`User.stop(force=False)` kills in the state waiting, and else only sets the state stopping."""

    class Idle(User):
        wait_time = between(60, 60)

        @task
        def nothing(self):
            pass

    group = Group()
    waiting, running = Idle(Environment()), Idle(Environment())
    waiting.start(group)
    running.start(group)
    group.join(timeout=0.05)
    assert waiting._state == LOCUST_STATE_WAITING
    running._state = LOCUST_STATE_RUNNING

    assert waiting.stop(force=False) is True
    assert running.stop(force=False) is False
    assert running._state == LOCUST_STATE_STOPPING
    group.kill()


def test_locusts_own_statistics_agree_with_the_fold():
    """Folding an interval gives what Locust would have counted from the same requests, request by request."""
    latencies_ms = [1, 2, 3, 50, 147, 3_432, 58_760]
    theirs, ours = RequestStats(), RequestStats()
    interval = Interval(0, 0, 1_000_000)
    for outcome in (Outcome.OK, Outcome.FAILED):
        histogram = Histogram()
        for latency in latencies_ms:
            theirs.log_request("GET", "/x", latency, 10)
            histogram.record(latency * 1_000)
        interval.series[SeriesKey("A", "GET", "/x", outcome, "steady")] = Series(histogram, [], 70)
    for _ in latencies_ms:
        theirs.log_error("GET", "/x", "boom")
    interval.errors[ErrorKey("A", "GET", "/x", "boom")] = len(latencies_ms)
    fold(ours, interval)

    for mine, stock in ((ours.total, theirs.total), (ours.get("/x", "GET"), theirs.get("/x", "GET"))):
        for name in (
            "num_requests",
            "num_failures",
            "min_response_time",
            "max_response_time",
            "total_response_time",
            "total_content_length",
        ):
            assert getattr(mine, name) == getattr(stock, name), name
        assert mine.get_response_time_percentile(0.95) == stock.get_response_time_percentile(0.95)
    assert [error.occurrences for error in ours.errors.values()] == [
        error.occurrences for error in theirs.errors.values()
    ]


def test_unfinished_requests_are_none_of_locusts():
    """Locust never hears of a request that did not end."""
    interval = Interval(0, 0, 1_000_000)
    histogram = Histogram()
    histogram.record(5)
    interval.series[SeriesKey("A", "GET", "/x", Outcome.UNFINISHED, "steady")] = Series(histogram, [])
    statistics = RequestStats()
    fold(statistics, interval)

    assert statistics.total.num_requests == 0


def test_a_series_of_no_request_tells_locust_nothing():
    """An interval that a worker made up is folded whole or not at all, so an empty series is no error."""
    interval = Interval(0, 0, 1_000_000)
    interval.series[SeriesKey("A", "GET", "/x", Outcome.OK, "steady")] = Series(Histogram(), [])
    statistics = RequestStats()
    fold(statistics, interval)

    assert statistics.total.num_requests == 0


def test_user_classes_have_the_attributes_that_a_suite_reads():
    """Weight, fixed_count and host stand on the class, for stock users too."""
    for user_class in (HttpUser, FastHttpUser):
        assert (user_class.weight, user_class.fixed_count, user_class.host) == (1, 0, None)


def test_the_events_that_are_fired_for_locustfiles_exist():
    """A stock locustfile's listeners hang on these."""
    for name in ("init", "test_start", "test_stop", "quitting", "request", "user_error", "worker_connect"):
        assert isinstance(getattr(events, name)._handlers, list)
    assert locust.events is events
