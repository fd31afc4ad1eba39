"""A request counts once, whatever listeners, contexts and blocks of the scenario do when it has ended."""

import time

import gevent
import pytest
from gevent import monkey
from locust.exception import StopUser
from odd import AWAIT, OK, REQUEST, pause, send

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

REFUSED = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("asked", ["fresh", "kept", "stream", "block"])
@pytest.mark.parametrize("answer", [OK, REFUSED], ids=["ok", "refused"])
def test_a_listener_that_stops_the_user_counts_nothing_twice(clients, odd, asked, answer):
    """The request was recorded before the listener heard of it; its StopUser goes on to Locust."""
    client = clients(odd.play([REQUEST, send(answer)] * 2).url)
    if asked == "kept":
        client.get("/")

    def stop(**_meta):
        raise StopUser

    client.user.environment.events.request.add_listener(stop)

    def ask():
        response = client.get("/", stream=asked == "stream", catch_response=asked == "block")
        if asked == "block":
            response.__exit__(None, None, None)

    with pytest.raises(StopUser):
        ask()

    books = clients.books()
    assert books.ended == books.started == (2 if asked == "kept" else 1)


def test_a_context_that_raises_counts_nothing_twice(clients, odd):
    """`User.context` is the scenario's code: its error reaches the task, and the request is still one."""
    client = clients(odd.play([REQUEST, send(OK)]).url, context=lambda _user: {}["missing"])
    client.user.environment.events.request.add_listener(lambda **_meta: None)

    with pytest.raises(KeyError):
        client.get("/")

    assert clients.books().ended == 1


def test_an_answer_that_nobody_judges_is_unfinished_when_it_is_dropped(clients, odd):
    """`catch_response` without its block: it does not stay in the books' way until the end of the run."""
    client = clients(odd.play([REQUEST, send(OK)] * 3).url)

    for _ in range(3):
        client.get("/", catch_response=True)

    assert clients.recorder.in_flight == 0
    books = clients.books()
    assert books.unfinished == 3
    assert set(books.errors) == {"never judged: catch_response=True needs a `with` block"}


def test_an_answer_that_is_judged_later_is_what_it_was_judged_to_be(clients, odd):
    """A scenario may keep it for as long as it likes before the block."""
    client = clients(odd.play([REQUEST, send(OK)] * 2).url)

    kept = client.get("/", catch_response=True)
    client.get("/")
    with kept as response:
        response.failure("stale")
    del kept, response

    books = clients.books()
    assert (books.ok, books.failed, books.errors) == (1, 1, ["stale"])


def test_a_streamed_redirect_is_read_to_its_end(clients, odd):
    """Its body comes after its head: the next hop's answer is not looked for in it."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 5\r\n\r\n"
    played = odd.play([REQUEST, send(moved), pause(0.1), send(b"later"), REQUEST, send(OK)])

    response = clients(played.url).get("/", stream=True)

    assert response.content == b"ok"
    assert [seen.target for seen in played.requests()] == ["/", "/next"]
    assert clients.books().ok == 1


@pytest.mark.parametrize("asked", ["fresh", "kept", "block"])
def test_an_answer_came_when_the_kernel_had_it(clients, odd, asked):
    """A generator that stood still reads it late, and is no stall of the target."""
    played = odd.play([*([REQUEST, send(OK)] if asked == "kept" else []), REQUEST, AWAIT, send(OK)])
    client = clients(played.url)
    if asked == "kept":
        client.get("/")
        clients.books()

    def ask():
        with client.get("/", catch_response=asked == "block"):
            pass

    asking = gevent.spawn(ask)
    gevent.sleep(0.1)
    began_ns = time.monotonic_ns()
    played.go()
    monkey.get_original("time", "sleep")(1.5)
    asking.join(timeout=20)

    assert began_ns < clients.recorder.first_done_ns < began_ns + 1_200_000_000
    assert clients.books().answered == (2 if asked == "kept" else 1)
