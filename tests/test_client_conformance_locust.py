"""The client in plain Locust, where nobody records: each request is told of once, as what it was."""

import pytest
from odd import DRAIN, OK, REQUEST, send
from unreachable import closed_port

from loadproof.client.books import books
from loadproof.errors import (
    ConnectError,
    ConnectionLostError,
    HttpStatusError,
    MalformedAnswerError,
    RequestTimeoutError,
    TooManyRedirectsError,
)

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

MOVED = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
ENDS = {
    "ok": ([REQUEST, send(OK)], None, 2),
    "an error status": (
        [REQUEST, send(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy")],
        HttpStatusError,
        4,
    ),
    "lost": ([REQUEST], ConnectionLostError, 0),
    "malformed": ([REQUEST, send(b"nonsense\r\n\r\n")], MalformedAnswerError, 0),
    "silent": ([REQUEST, DRAIN], RequestTimeoutError, 0),
    "redirected": ([REQUEST, send(MOVED), REQUEST, send(OK)], None, 2),
    "round and round": (
        [REQUEST, send(MOVED), REQUEST, send(MOVED), REQUEST, send(MOVED)],
        TooManyRedirectsError,
        0,
    ),
}


@pytest.fixture
def heard(clients):
    """What listeners of `events.request` hear; nothing is recorded."""
    books.end()
    events = []

    def listen(client):
        client.user.environment.events.request.add_listener(lambda **meta: events.append(meta))
        return client

    events_of = clients.__call__
    yield lambda *arguments, **options: listen(events_of(*arguments, **options)), events
    assert clients.books().started == 0


@pytest.mark.parametrize("case", ENDS)
def test_every_end_is_told_once(heard, odd_process, case):
    """With its error, the length of its body, the name and the address of the last hop."""
    steps, kind, length = ENDS[case]
    played = odd_process.play(steps)
    user, events = heard

    # Only of the silent one it is known that no answer comes, however long a busy machine is given.
    patience = 0.2 if kind is RequestTimeoutError else 20
    answer = user(played.url, network_timeout=patience, max_redirects=1).get("/", name="named")

    [told] = events
    assert (told["request_type"], told["name"], told["response_length"]) == ("GET", "named", length)
    assert told["exception"] is None if kind is None else isinstance(told["exception"], kind)
    assert told["response"] is answer
    assert told["response_time"] == pytest.approx(answer.elapsed.total_seconds() * 1000)


def test_a_refused_connection_is_told_once(heard):
    """Without an answer there is still a response, with status 0."""
    user, events = heard
    user(f"http://127.0.0.1:{closed_port()}").get("/")

    [told] = events
    assert isinstance(told["exception"], ConnectError)
    assert told["response"].status_code == 0


def test_a_request_that_was_sent_again_is_told_once(heard, odd_process):
    """The scenario made one request."""
    played = odd_process.play([REQUEST, send(OK), REQUEST], [REQUEST, send(OK)])
    user, events = heard
    client = user(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"ok"]
    assert [told["exception"] for told in events] == [None, None]


def test_a_block_says_what_is_told(heard, odd_process):
    """At the end of the block, once, with the scenario's reason."""
    played = odd_process.play([REQUEST, send(OK)])
    user, events = heard

    with user(played.url).get("/", catch_response=True) as answer:
        assert events == []
        answer.failure("not as wanted")

    [told] = events
    assert str(told["exception"]) == "not as wanted"


def test_a_stream_is_told_when_it_is_over(heard, odd_process):
    """Its body is waited for by nobody but who reads it, and may still break."""
    played = odd_process.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nfirst\n"), DRAIN])
    user, events = heard

    answer = user(played.url).get("/", stream=True)

    assert next(answer.iter_lines()) == b"first"
    assert events == []
    answer.close()
    [told] = events
    assert told["exception"] is None
