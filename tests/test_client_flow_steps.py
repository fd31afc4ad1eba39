"""A flow's steps that need no server: waiting, stopping, and messages of a WebSocket."""

import contextlib

import gevent
import pytest
from locust.env import Environment
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.client import books
from loadproof.client.flow import flow_class
from loadproof.errors import RequestTimeoutError
from loadproof.measure.interval import Outcome
from loadproof.measure.recorder import Recorder
from loadproof.plan.flows import Capture, Flow, Loop, Message, Request, RowsFile, Span, Think, WebSocket

LONG = Think(Span(3_600_000_000, 3_600_000_000))


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder((), lambda: 5, [("steady", 0)])
    monkeypatch.setattr(books.books, "recorder", recorder)
    return recorder


def user_of(*steps, **flow):
    kind = flow_class(Flow("Browser", steps, **flow))
    kind.host = "http://127.0.0.1:1"
    user = kind(Environment(user_classes=[kind]))
    user._state = LOCUST_STATE_RUNNING
    return user


def checks(recorder):
    return {
        key.check: (found.passed, found.failed, found.skipped)
        for key, found in recorder.close_interval().checks.items()
    }


def test_a_thinking_user_can_be_stopped_at_once():
    """It shows itself as waiting, which is when Locust and a run's end may kill it."""
    user = user_of(LONG)
    thinking = gevent.spawn(user.tasks[0], user)
    gevent.sleep(0)

    assert user._state == LOCUST_STATE_WAITING
    thinking.kill()
    assert thinking.dead


@pytest.mark.parametrize("step", [LONG, Loop(1_000_000, (Loop(1_000_000, (Think(Span(0, 0)),)),))])
def test_a_user_that_is_to_stop_begins_no_wait_and_no_turn(step):
    """The pass ends where it could not be told from the next."""
    user = user_of(step)
    user._state = LOCUST_STATE_STOPPING

    with gevent.Timeout(5):
        user.tasks[0](user)
    assert user._state == LOCUST_STATE_STOPPING


def test_a_thought_of_no_length_goes_on():
    """The user is running again behind it."""
    user = user_of(Think(Span(0, 0)))
    user.tasks[0](user)

    assert user._state == LOCUST_STATE_RUNNING


def test_the_wait_is_within_its_range():
    """In seconds, as Locust takes it."""
    user = user_of(LONG, wait=Span(1_000_000, 3_000_000))
    waits = [user.wait_time() for _ in range(200)]

    assert 1 <= min(waits) < 1.5
    assert 2.5 < max(waits) <= 3


def test_an_address_off_the_target_is_a_failed_request_that_is_not_sent(recorder, tmp_path):
    """It counts among the failed, with no exchange on the wire."""
    (tmp_path / "rows.csv").write_text("to\nhttp://127.0.0.1:10/\n")
    rows = RowsFile(str(tmp_path / "rows.csv"), ("to",))
    user = user_of(Request(method="get", path="${to}"), rows=rows)
    user.tasks[0](user)
    interval = recorder.close_interval()

    assert [(key.name, key.outcome) for key in interval.series] == [("GET :to", Outcome.FAILED)]
    assert [exchanges.answered + exchanges.unanswered for exchanges in interval.exchanges.values()] in (
        [],
        [0],
    )


class Line:
    """Stands in for a WebSocket whose server answers every message with what it holds, loudly."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)

    def receive(self, timeout=None):
        if not self.sent:
            raise RequestTimeoutError("no message came")
        return b'{"said": "%s"}' % self.sent[-1].upper().encode()

    def round_trip(self, message, timeout=None):
        self.send(message)
        return message.upper()


def talk(recorder, *steps):
    user = user_of(WebSocket("/live", steps), headers={"X-A": "1"})
    line = Line()

    @contextlib.contextmanager
    def websocket(path, name=None, *, subprotocols=(), headers=None, timeout=None):
        line.opened = (path, name, headers)
        yield line

    user.websocket = websocket
    user.tasks[0](user)
    return line, checks(recorder)


def test_messages_are_sent_received_and_captured_from(recorder):
    """Text or bytes; what one message brought goes into the next."""
    line, counted = talk(
        recorder,
        Message(send="hello"),
        Message(receive="HELLO", check="greeted", capture=(Capture("said", "json", "said"),)),
        Loop(2, (Message(send="again ${said}", receive="AGAIN HELLO", check="echoed"),)),
        Message(receive="other", check="other"),
        Message(send="bye"),
    )

    assert line.opened == ("/live", "WEBSOCKET /live", {"X-A": "1"})
    assert line.sent == ["hello", "again HELLO", "again HELLO", "bye"]
    assert counted == {
        "greeted": (1, 0, 0),
        "capture(said)": (1, 0, 0),
        "echoed": (2, 0, 0),
        "other": (0, 1, 0),
    }


def test_a_missing_value_leaves_a_websocket_in_order(recorder):
    """The rest of the pass is left out, no exception goes through the connection."""
    line, counted = talk(
        recorder,
        Message(send="a"),
        Message(receive="", check="any", capture=(Capture("seat", "json", "seat"),)),
        Message(send="b"),
    )

    assert line.sent == ["a"]
    assert counted == {"any": (1, 0, 0), "capture(seat)": (0, 1, 0)}


def test_a_failed_websocket_ends_the_pass(recorder):
    """What the client has recorded as failed is not raised again; what would have looked at a message is skipped."""
    line, counted = talk(recorder, Message(receive="a", check="a"), Message(send="b"))

    assert line.sent == []
    assert counted == {"a": (0, 0, 1)}
