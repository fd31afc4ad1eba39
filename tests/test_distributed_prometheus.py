"""The questions to a Prometheus: what comes back as a number, and what is said where none does."""

import socket

import pytest
from judging import plan_of
from prometheus import made_up_prometheus, vector

from distributed import prometheus as prometheus_module
from distributed.prometheus import Client, NoValueError, Query, RefusedError, UnreachableError, queries_of
from loadproof.plan.model import Prometheus

TOKEN = "hunter2-hunter2"
ANSWERS = {
    "one": vector("0.8"),
    "scalar": (200, {"status": "success", "data": {"resultType": "scalar", "result": [0, "3"]}}),
    "large": vector("1.7976931348623157e+308"),
    "none": vector(),
    "two": vector("1", "1"),
    "nan": vector("NaN"),
    "inf": vector("+Inf"),
    "minus": vector("-Inf"),
    "range": (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}),
    "text": (200, {"status": "success", "data": {"resultType": "string", "result": [0, "x"]}}),
    "odd": (200, {"status": "success", "data": {"resultType": "vector", "result": [{"value": [0, {}]}]}}),
    "bare": (200, {"status": "success"}),
    "bad": (400, {"status": "error", "errorType": "bad_data", "error": f"parse error near {TOKEN}"}),
    "busy": (503, {"status": "error", "errorType": "timeout", "error": "query timed out"}),
    "denied": (403, b"<html>no</html>"),
    "moved": (302, b""),
    "list": (200, []),
    "cut": (200, b'{"status": "succ'),
}


@pytest.fixture(scope="module")
def made_up():
    with made_up_prometheus(lambda expression: ANSWERS[expression]) as found:
        yield found


@pytest.mark.parametrize(
    ("expression", "value"), [("one", 0.8), ("scalar", 3.0), ("large", 1.7976931348623157e308)]
)
def test_one_number_is_the_value(made_up, expression, value):
    """A vector of one series, or a scalar."""
    assert Client(made_up.url, None).value(expression) == value


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("none", NoValueError, "it gives no series"),
        ("nan", NoValueError, "its value is NaN"),
        ("inf", NoValueError, r"its value is \+Inf"),
        ("minus", NoValueError, "its value is -Inf"),
        ("odd", NoValueError, "no number"),
        ("busy", NoValueError, "answered 503: query timed out"),
        ("two", RefusedError, r"it gives 2 series, and a rule needs one number: put sum\(\)"),
        ("range", RefusedError, "a range of values"),
        ("text", RefusedError, "a text"),
        ("bare", RefusedError, "something unknown"),
        ("bad", RefusedError, r"cannot read it: parse error near \*\*\*$"),
        ("denied", UnreachableError, "answered 403: the token may not ask"),
        ("moved", UnreachableError, "answered 302$"),
        ("list", UnreachableError, "answered 200$"),
        ("cut", UnreachableError, "answered 200$"),
    ],
)
def test_anything_else_is_no_value_with_its_reason(made_up, expression, kind, text):
    """No series, many, none that is a number, refusals and nonsense: never a number, never an unknown error."""
    with pytest.raises(NoValueError, match=text) as caught:
        Client(made_up.url, TOKEN).value(expression)
    assert type(caught.value) is kind


def test_the_token_goes_with_every_question_and_one_connection_is_kept(made_up):
    """As a bearer; after an error the client goes on."""
    client = Client(made_up.url, TOKEN)
    begin = len(made_up.asked)
    for expression in ("one", "bad", "one"):
        try:
            client.value(expression)
        except NoValueError:
            continue

    assert {header for _, header in made_up.asked[begin:]} == {f"Bearer {TOKEN}"}


def test_nobody_there_is_unreachable():
    """A closed port, a name without address."""
    with made_up_prometheus(lambda _: vector("1")) as gone:
        client = Client(gone.url, None)
        assert client.value("x") == 1
    for url in (gone.url, "http://nowhere.invalid"):
        with pytest.raises(UnreachableError, match="Prometheus does not answer"):
            Client(url, None).value("x")


def test_who_says_nothing_is_given_up(monkeypatch):
    """A server that takes the question and never answers costs no more than its time."""
    monkeypatch.setattr(prometheus_module, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = Client(f"http://127.0.0.1:{mute.getsockname()[1]}", None)
        with pytest.raises(UnreachableError, match="does not answer: timed out"):
            client.value("x")


def test_a_kept_connection_that_was_closed_is_no_error():
    """A Prometheus that closes idle connections is asked again on a new one."""
    with made_up_prometheus(lambda _: vector("1")) as made_up:
        client = Client(made_up.url, None)
        assert client.value("x") == 1
        client._connection.sock.shutdown(socket.SHUT_RDWR)
        assert client.value("x") == 1
        assert [expression for expression, _ in made_up.asked] == ["x", "x"]


def test_what_is_asked_follows_from_the_rules():
    """Each expression once, needed unless only optional rules go by it; and the plan's own resources."""
    plan = plan_of(
        "promql(a) <= 1",
        "promql(a) <= 2 for 5s",
        "resource(db.cpu) <= 80%",
        "p95 <= 1s",
        optional=("promql(b) <= 1", "promql(a) <= 3"),
    ).model_copy(
        update={"prometheus": Prometheus(url="http://a.test", resources={"db.cpu": "x", "q.n": "y"})}
    )

    assert set(queries_of(plan)) == {
        Query("promql(a)", "a", needed=True),
        Query("promql(b)", "b", needed=False),
        Query("db.cpu", "x", needed=True),
        Query("q.n", "y", needed=False),
    }
