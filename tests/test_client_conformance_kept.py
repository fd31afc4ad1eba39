"""Kept connections: what is sent again and what never is, and whose answer an answer is."""

import gevent
import pytest
from commands import wait_until
from gevent import Timeout
from odd import AWAIT, DRAIN, OK, REQUEST, RESET, SHUT, pause, send
from unreachable import full_backlog

from loadproof.errors import ConnectionLostError, MalformedAnswerError, RequestTimeoutError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
UNASKED = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlate!"
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
ENDS = pytest.mark.parametrize("end", [[], [RESET]], ids=["closed", "reset"])


@ENDS
@pytest.mark.parametrize("method", IDEMPOTENT)
def test_an_idempotent_request_is_sent_again_once(clients, odd, method, end):
    """The server takes it on a kept connection and leaves without a byte: a fresh connection answers."""
    played = odd.play(
        [REQUEST, send(OK), REQUEST, *end], [REQUEST, send(OK[:-2] if method == "HEAD" else OK)]
    )
    client = clients(played.url)
    client.get("/")

    answer = client.request(method, "/again", data=b"body" if method == "PUT" else None)

    assert (answer.status_code, answer.error) == (200, None)
    assert [(seen.method, seen.connection) for seen in played.requests()] == [
        ("GET", 0),
        (method, 0),
        (method, 1),
    ]
    books = clients.books()
    assert (books.started, books.ok, books.answered, books.unanswered) == (2, 2, 2, 1)


@ENDS
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_post_is_never_sent_twice(clients, odd, method, end):
    """The server leaves exactly when the request arrives: one failure, and it was seen once."""
    played = odd.play([REQUEST, send(OK), REQUEST, *end], [REQUEST, send(OK)])
    client = clients(played.url)
    client.get("/")

    answer = client.request(method, "/once", data=b"body")

    assert isinstance(answer.error, ConnectionLostError)
    assert [seen.method for seen in played.requests()] == ["GET", method]
    books = clients.books()
    assert (books.ok, books.failed, books.answered, books.unanswered) == (1, 1, 1, 1)


def test_a_request_is_sent_again_only_once(clients, odd):
    """When the fresh connection fails as well, that is the result."""
    played = odd.play([REQUEST, send(OK), REQUEST], [REQUEST])
    client = clients(played.url)
    client.get("/")

    assert isinstance(client.get("/").error, ConnectionLostError)
    assert played.connections() == 2
    books = clients.books()
    assert (books.ok, books.failed, books.answered, books.unanswered) == (1, 1, 1, 2)


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
def test_a_request_whose_answer_began_is_not_sent_again(clients, odd, begun):
    """A byte of the answer says that the server had the request."""
    played = odd.play([REQUEST, send(OK), REQUEST, send(begun), SHUT, DRAIN], [REQUEST, send(OK)])
    client = clients(played.url)
    client.get("/")

    assert isinstance(client.get("/").error, ConnectionLostError)
    assert played.connections() == 1


def test_a_request_on_a_fresh_connection_is_not_sent_again(clients, odd):
    """There it is no stale connection that failed."""
    played = odd.play([REQUEST], [REQUEST, send(OK)])

    assert isinstance(clients(played.url).get("/").error, ConnectionLostError)
    assert played.connections() == 1


@ENDS
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_meanwhile_is_not_used(clients, odd, method, end):
    """Its end is seen before a POST is sent on it; a GET may be lost there, and is sent again."""
    played = odd.play([REQUEST, send(OK), *([["bytes", 0], *end])], [REQUEST, send(SECOND)])
    client = clients(played.url)
    first = client.get("/")
    played.wait_until_ended(1)

    answer = client.request(method, "/", data=b"body" if method == "POST" else None)

    assert (first.status_code, answer.content) == (200, b"second")
    books = clients.books()
    assert (books.ok, books.answered) == (2, 2)
    assert books.unanswered <= (method == "GET")
    assert [seen.connection for seen in played.requests()] == [0, 1]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("after", [[SHUT, DRAIN], [DRAIN], []], ids=["half closed", "open", "closed"])
def test_an_unasked_answer_in_a_kept_connection_answers_nothing(clients, odd, method, after):
    """nginx and others say 408 to a connection that is idle too long: it is no answer to the next request."""
    told = odd.play([REQUEST, send(OK)])
    played = odd.play([REQUEST, send(OK), AWAIT, send(UNASKED), *after], [REQUEST, send(SECOND)])
    client, other = clients(played.url), clients(told.url)
    assert client.get("/").content == b"ok"
    played.go()
    # Time passes for the client as well: it is busy with another server when the 408 is there.
    gevent.sleep(0.05)
    other.get("/")

    answer = client.request(method, "/next", data=b"body" if method == "POST" else None)

    assert (answer.status_code, answer.content) == (200, b"second")
    assert [seen.connection for seen in played.requests()] == [0, 1]
    assert clients.books().unanswered == 0


def test_an_unasked_answer_that_is_there_at_once_answers_nothing(clients, odd):
    """However soon the client asks again: what had come before is no answer."""
    played = odd.play([REQUEST, send(OK), send(UNASKED)])
    client = clients(played.url)

    for number in range(1, 31):
        assert client.request("GET" if number % 2 else "POST", "/").status_code == 200
        played.wait_until_ended(number)

    books = clients.books()
    assert (books.ok, books.answered) == (30, 30)
    assert books.unanswered <= 15


def test_two_answers_at_once_are_one_too_many(clients, odd):
    """The second answer in the same segment belongs to nobody."""
    played = odd.play([REQUEST, send(OK, SECOND), DRAIN], [REQUEST, send(SECOND)])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"second"]
    assert [seen.connection for seen in played.requests()] == [0, 1]


def test_two_answers_on_a_connection_that_was_good_are_one_failure(clients, odd):
    """Which of them is the answer to this request, nobody can tell; neither answers the next one."""
    played = odd.play([REQUEST, send(OK), REQUEST, send(OK, SECOND), DRAIN], [REQUEST, send(SECOND)])
    client = clients(played.url)

    answers = [client.post("/", data=b"x") for _ in range(3)]

    assert [answer.content for answer in answers] == [b"ok", None, b"second"]
    assert isinstance(answers[1].error, MalformedAnswerError)
    assert played.connections() == 2


def test_two_answers_at_once_to_a_chunked_one_are_one_too_many(clients, odd):
    """The same behind a last chunk."""
    first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    played = odd.play([REQUEST, send(first, SECOND), DRAIN], [REQUEST, send(SECOND)])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"second"]
    assert [seen.connection for seen in played.requests()] == [0, 1]


@pytest.mark.parametrize("kept", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_the_server_does_not_keep_is_not_used(clients, odd, kept):
    """Though the server leaves it open."""
    played = odd.play([REQUEST, send(kept, b"Content-Length: 2\r\n\r\nok"), DRAIN])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"ok"]
    assert played.connections() == 2


def test_http_1_0_may_keep_a_connection(clients, odd):
    """If it says so."""
    answer = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"
    played = odd.play([REQUEST, send(answer), REQUEST, send(answer)])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"ok"]
    assert played.connections() == 1


def test_a_server_that_ends_idle_connections_costs_nothing(clients, nginx):
    """nginx closes after a second of idleness: the next POST-like request goes over a new connection, unharmed."""
    client = clients(nginx.url("short"))
    first = client.get("/small.txt")
    wait_until(lambda: nginx.open_connections() == 0)

    second = client.post("/small.txt", data=b"x")

    assert (first.status_code, second.status_code) == (200, 405)
    assert first.headers["X-Connection"] != second.headers["X-Connection"]
    books = clients.books()
    assert (books.answered, books.unanswered) == (2, 0)


@pytest.mark.parametrize("begun", [b"", OK[:20], OK[:-1]])
@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_an_answer_that_nobody_waits_for_any_more_answers_nothing(clients, odd, begun, how):
    """A request ended by its user is unfinished, and its connection goes with it."""
    rest = OK[len(begun) :]
    played = odd.play([REQUEST, send(OK), REQUEST, send(begun), DRAIN, send(rest)], [REQUEST, send(SECOND)])
    client = clients(played.url)
    client.get("/")
    if how == "kill":
        job = gevent.spawn(client.get, "/hung")
        wait_until_asked(played, 2)
        job.kill()
    else:
        with Timeout(0.2, False):
            client.get("/hung")

    assert client.get("/next").content == b"second"
    books = clients.books()
    assert (books.ok, books.unfinished, books.answered, books.unanswered) == (2, 1, 2, 1)


def test_a_request_ended_in_its_second_hop_is_unfinished_once(clients, odd):
    """The first hop was answered and the second was not."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: /hung\r\nContent-Length: 0\r\n\r\n"
    played = odd.play([REQUEST, send(moved), REQUEST, DRAIN])
    job = gevent.spawn(clients(played.url).get, "/")
    wait_until_asked(played, 2)
    job.kill()

    books = clients.books()
    assert (books.started, books.unfinished, books.answered, books.unanswered) == (1, 1, 1, 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_ended_without_a_connection_is_no_exchange(clients, odd, scheme):
    """In the handshake, or before it: the target cannot have counted anything."""
    silent = odd.play([DRAIN])
    with full_backlog() as full:
        job = gevent.spawn(clients(full if scheme == "http" else silent.tls_url).get, "/")
        gevent.sleep(0.1)
        job.kill()

    books = clients.books()
    assert (books.unfinished, books.answered, books.unanswered, books.unconnected) == (1, 0, 0, 1)


def wait_until_asked(played, count):
    with Timeout(20):
        while len(played.requests()) < count:
            gevent.sleep(0.01)


def test_a_block_that_raises_leaves_the_connection_in_order(clients, odd):
    """The scenario's own exception is the request's failure; the next request has its own answer."""
    played = odd.play([REQUEST, send(OK), REQUEST, send(SECOND)], [REQUEST, send(SECOND)])
    client = clients(played.url)
    with pytest.raises(KeyError), client.get("/", catch_response=True):
        raise KeyError("own")

    assert client.get("/").content == b"second"
    books = clients.books()
    assert (books.ok, books.failed, books.answered) == (1, 1, 2)


BROKEN_STREAMS = {
    "cut short": (ConnectionLostError, b"Content-Length: 500000\r\n\r\n", b"x" * 1000),
    "a bad chunk": (MalformedAnswerError, b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"xyz\r\n"),
}


@pytest.mark.parametrize("case", BROKEN_STREAMS)
def test_a_streamed_answer_that_breaks_says_so_where_it_is_read(clients, odd, case):
    """The head came and the body did not: never a part taken for the whole, and the next request is unharmed."""
    kind, begun, broken = BROKEN_STREAMS[case]
    steps = [REQUEST, send(b"HTTP/1.1 200 OK\r\n", begun), AWAIT, send(broken)]
    played = odd.play(steps, [REQUEST, send(SECOND)])
    client = clients(played.url)
    answer = client.get("/", stream=True)
    played.go()

    with pytest.raises(kind):
        list(answer.iter_content(1000))

    assert client.get("/").content == b"second"
    assert played.connections() == 2


def test_a_streamed_answer_is_there_before_its_end(clients, odd):
    """The first line is read while the server has not sent the last, and may never."""
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nfirst\nsec"), DRAIN], [REQUEST, send(OK)])
    client = clients(played.url)
    answer = client.get("/", stream=True)

    assert next(answer.iter_lines()) == b"first"
    answer.close()
    assert client.get("/").content == b"ok"


def test_a_streamed_answer_that_was_read_gives_its_connection_back(clients, odd):
    """Read to its end, it is as any other."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    played = odd.play([REQUEST, send(chunks), pause(0.05), send(b"0\r\n\r\n"), REQUEST, send(SECOND)])
    client = clients(played.url)

    assert b"".join(client.get("/", stream=True).iter_content()) == b"ok"
    assert client.get("/").content == b"second"
    assert played.connections() == 1


def test_a_stream_that_falls_silent_is_a_timeout(clients, odd):
    """Where it is read, after the time that a gap may take."""
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nsome"), DRAIN])
    answer = clients(played.url, network_timeout=1).get("/", stream=True)

    with pytest.raises(RequestTimeoutError):
        list(answer.iter_content(100))


def test_a_stream_in_a_block_does_not_wait_for_its_end(clients, odd):
    """The scenario says what it counts as, and what is left unread is closed with the block."""
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n\r\nfirst\nsec"), DRAIN], [REQUEST, send(OK)])
    client = clients(played.url)

    with client.get("/", stream=True, catch_response=True) as answer:
        assert next(answer.iter_lines()) == b"first"
        answer.success()

    played.wait_until_ended(1)
    assert client.get("/").content == b"ok"
    assert clients.books().ok == 2


@pytest.mark.parametrize("case", BROKEN_STREAMS)
def test_a_stream_that_breaks_in_a_block_is_one_failure(clients, odd, case):
    """It fails the request, as any lost answer does, and raises nothing in the task."""
    kind, begun, broken = BROKEN_STREAMS[case]
    played = odd.play([REQUEST, send(b"HTTP/1.1 200 OK\r\n", begun), AWAIT, send(broken)])

    with clients(played.url).get("/", stream=True, catch_response=True) as answer:
        assert answer.status_code == 200
        played.go()
        list(answer.iter_content(1000))

    assert isinstance(answer.error, kind)
    books = clients.books()
    assert (books.ok, books.failed, books.errors) == (0, 1, [str(answer.error)])
