"""Servers that are slow, silent or not there: every wait ends, as what it was."""

from time import monotonic

import gevent
import pytest
from odd import DRAIN, HEAD, HOLD, OK, REQUEST, dribble, pause, send, take
from unreachable import closed_port, full_backlog

from loadproof.errors import ConnectError, RequestTimeoutError, ResolveError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

LONGEST_S = 10
"""Far above any time-out here and far below the defaults: who needs more has not ended by its time-out."""
PATIENT_S = 20
"""For the requests beside the one that shall time out: how busy the machine is, is not what is tried."""
SILENT = {
    "silent": [REQUEST, DRAIN],
    "in the head": [REQUEST, send(OK[:20]), DRAIN],
    "in the body": [REQUEST, send(OK[:-1]), DRAIN],
    "in a chunk": [REQUEST, send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), DRAIN],
    "after an interim answer": [REQUEST, send(b"HTTP/1.1 100 Continue\r\n\r\n"), DRAIN],
    "without an end": [REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nsome"), DRAIN],
}


def timed_out(answer, clients):
    assert (answer.status_code, answer.content, type(answer.error)) == (0, None, RequestTimeoutError)
    books = clients.books()
    assert (books.timeouts, books.ok, books.failed, books.answered) == (1, 0, 0, 0)
    assert books.errors == [str(answer.error)]
    return books


@pytest.mark.parametrize("how", ["class", "seconds", "pair"])
@pytest.mark.parametrize("case", SILENT)
def test_a_server_that_falls_silent_is_a_timeout(clients, odd, case, how):
    """At every stage, by the class's `network_timeout` or the call's: not before its time, and soon after."""
    played = odd.play(SILENT[case], [REQUEST, send(OK)])
    client = clients(played.url, **({"network_timeout": 0.2} if how == "class" else {}))
    options = {"class": {}, "seconds": {"timeout": 0.2}, "pair": {"timeout": (5, 0.2)}}[how]
    begun = monotonic()

    answer = client.get("/", **options)

    assert 0.2 <= monotonic() - begun < LONGEST_S
    assert timed_out(answer, clients).unanswered == 1
    assert client.get("/", timeout=PATIENT_S).content == b"ok"
    assert played.connections() == 2


def test_a_kept_connection_that_falls_silent_is_a_timeout(clients, odd):
    """The same where the connection was good before; it is not sent again."""
    played = odd.play([REQUEST, send(OK), REQUEST, DRAIN])
    client = clients(played.url, network_timeout=0.2)
    assert client.get("/", timeout=PATIENT_S).content == b"ok"

    assert isinstance(client.get("/").error, RequestTimeoutError)
    assert played.connections() == 1


def test_a_slow_answer_is_no_timeout(clients, odd):
    """Only the gap between two reads counts: the whole takes longer than the time-out."""
    slowly = [step for byte in OK for step in (send(bytes([byte])), pause(0.05))]
    played = odd.play([REQUEST, *slowly])

    answer = clients(played.url, network_timeout=1.5).get("/")

    assert (answer.content, answer.error) == (b"ok", None)
    assert answer.elapsed.total_seconds() >= 1.5


def test_the_whole_request_has_a_limit_too(clients, odd):
    """A server that dribbles keeps every gap short; `total_timeout` ends it."""
    played = odd.play(
        [REQUEST, dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9000, 0.01)]
    )
    begun = monotonic()

    answer = clients(played.url, total_timeout=0.3).get("/")

    assert 0.3 <= monotonic() - begun < LONGEST_S
    assert timed_out(answer, clients).unanswered == 1


def test_the_limit_of_the_whole_holds_on_a_kept_connection(clients, odd):
    """Where `network_timeout` would wait longer."""
    played = odd.play([REQUEST, send(OK), REQUEST, DRAIN])
    client = clients(played.url, total_timeout=1)
    assert client.get("/").content == b"ok"
    begun = monotonic()

    assert isinstance(client.get("/").error, RequestTimeoutError)
    assert 1 <= monotonic() - begun < LONGEST_S


def test_redirects_share_the_limit_of_the_whole(clients, odd):
    """Each hop is quick, and there is no end of them."""
    hop = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"
    played = odd.play([step for _ in range(200) for step in (REQUEST, pause(0.02), send(hop))])

    answer = clients(played.url, total_timeout=1, max_redirects=10_000).get("/")

    assert isinstance(answer.error, RequestTimeoutError)
    books = clients.books()
    assert (books.timeouts, books.unanswered) == (1, 1)
    assert books.answered >= 2


def test_a_body_that_is_taken_slowly_is_no_timeout(clients, odd):
    """It takes longer than the time-out, but something goes out within each."""
    slowly = [step for _ in range(16) for step in (take(1_250_000), pause(0.15))]
    played = odd.play([HEAD, *slowly, send(OK)])

    answer = clients(played.url, network_timeout=1.5).post("/", data=b"x" * 20_000_000)

    assert (answer.status_code, answer.error) == (200, None)


def test_a_body_that_nobody_takes_is_a_timeout(clients, odd):
    """The server has read the head and nothing more: sending waits no longer than reading would."""
    played = odd.play([HEAD, HOLD])

    answer = clients(played.url, network_timeout=0.3).post("/", data=b"x" * 20_000_000)

    assert timed_out(answer, clients).unanswered == 1


def test_a_connection_that_does_not_come_about_is_a_timeout(clients):
    """The queue of the listening socket is full: no exchange, and one attempt without a connection."""
    with full_backlog() as url:
        begun = monotonic()
        answer = clients(url, connection_timeout=0.3).get("/")
        waited = monotonic() - begun

    assert 0.3 <= waited < LONGEST_S
    books = timed_out(answer, clients)
    assert (books.unanswered, books.unconnected) == (0, 1)


def test_a_refused_connection_is_one_failure(clients):
    """Said as what it is, without an address that differs from run to run."""
    first, second = (clients(f"http://127.0.0.1:{closed_port()}").get("/") for _ in range(2))

    assert (first.status_code, first.content, type(first.error)) == (0, None, ConnectError)
    assert "refused" in str(first.error).lower()
    assert str(first.error) == str(second.error)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.unconnected) == (2, 0, 0, 2)


def test_a_server_that_went_away_is_one_failure_each(clients, odd):
    """The kept connection is closed and no new one comes about: the POST was never sent."""
    played = odd.play([REQUEST, send(OK)])
    client = clients(played.url)
    client.get("/")
    played.wait_until_ended(1)
    played.close()

    assert isinstance(client.post("/", data=b"x").error, ConnectError)
    books = clients.books()
    assert (books.answered, books.unanswered, books.unconnected) == (1, 0, 1)


def test_a_name_without_an_address_is_one_failure(clients):
    """`.invalid` never resolves (RFC 6761)."""
    answer = clients("http://nothing.invalid").get("/")

    assert (answer.status_code, type(answer.error)) == (0, ResolveError)
    books = clients.books()
    assert (books.failed, books.unanswered, books.unconnected) == (1, 0, 1)


@pytest.mark.parametrize(
    "host", ["http://" + "a" * 64 + ".test", "http://a..b", "http://" + "a." * 200 + "test"]
)
def test_a_name_that_cannot_be_one_is_one_failure(clients, host):
    """A label of 64 letters, an empty one, and too many: never a traceback of the resolver."""
    answer = clients(host).get("/")

    assert answer.error is not None
    assert clients.books().failed == 1


@pytest.mark.parametrize("silent", [1, 5])
def test_the_hub_goes_on_meanwhile(clients, odd, silent):
    """While some users wait for a silent server, others have their answers."""
    mute = odd.play([REQUEST, DRAIN])
    played = odd.play([step for _ in range(20) for step in (REQUEST, send(OK))])
    waiting = [gevent.spawn(clients(mute.url, network_timeout=0.5).get, "/") for _ in range(silent)]
    client = clients(played.url)

    quick = [client.get("/").content for _ in range(20)]

    assert quick == [b"ok"] * 20
    gevent.joinall(waiting, timeout=LONGEST_S)
    assert all(isinstance(job.value.error, RequestTimeoutError) for job in waiting)
    books = clients.books()
    assert (books.ok, books.timeouts) == (20, silent)


WRONG = {
    "no host": {"url": "http:///path"},
    "another scheme": {"url": "ftp://127.0.0.1/"},
    "a port beyond all": {"url": "http://127.0.0.1:70000/"},
    "a port of words": {"url": "http://127.0.0.1:http/"},
    "a broken bracket": {"url": "http://[::1/"},
    "a header with a line break": {"url": "/", "headers": {"X": "a\r\nInjected: b"}},
    "a header name with a blank": {"url": "/", "headers": {"X Y": "a"}},
    "an empty header name": {"url": "/", "headers": {"": "a"}},
    "a method with a line break": {"url": "/", "method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
    "json that is none": {"url": "/", "json": {"a": object()}},
    "an argument that there is not": {"url": "/", "jsn": {}},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_raises_and_is_recorded(clients, odd, case):
    """The scenario is wrong, not the target: ValueError or TypeError, one failed request, nothing on the wire."""
    played = odd.play([REQUEST, send(OK)])
    options = dict(WRONG[case])
    client = clients(played.url)

    with pytest.raises((ValueError, TypeError)):
        client.request(options.pop("method", "GET"), options.pop("url"), **options)

    assert played.requests() == []
    books = clients.books()
    assert (books.started, books.failed, books.answered, books.unanswered) == (1, 1, 0, 0)


@pytest.mark.parametrize("target", ["/a\r\nInjected: b", "/a b\tc", "/\x00\x7f", "/é"])
def test_no_url_breaks_out_of_its_line(clients, odd, target):
    """What cannot stand in a request line is escaped or refused."""
    played = odd.play([REQUEST, send(OK)])
    try:
        clients(played.url).get(target)
    except ValueError:
        assert played.requests() == []
    else:
        [seen] = played.requests()
        assert seen.header("Injected") is None
        assert seen.target.isascii()
        assert seen.target.isprintable()
