"""Requests and streams by whichever greenlet: the right one is woken, and what could not be is refused."""

from time import monotonic

import gevent
import pytest
from locust import constant, task
from locust.env import Environment
from odd import AWAIT, DRAIN, OK, REQUEST, send

from loadproof.client.user import LoadUser

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe"


def test_a_stream_is_read_by_another_greenlet_than_asked(clients, odd):
    """The reader is woken by what comes, and the user that sleeps meanwhile is not."""
    played = odd.play([REQUEST, send(BEGUN), AWAIT, send(b"re"), REQUEST, send(OK)])
    client = clients(played.url)
    response = client.get("/", stream=True)

    reader = gevent.spawn(lambda: response.content)
    gevent.sleep(0)
    played.go()
    # Its timers count from when the loop last looked at the clock.
    gevent.get_hub().loop.update_now()
    begun = monotonic()
    gevent.sleep(0.1)

    assert monotonic() - begun >= 0.09
    assert reader.get(timeout=20) == b"here"
    assert client.get("/").content == b"ok"
    assert clients.books().ok == 2


def test_a_timeout_of_the_scenario_is_its_own_in_a_stream(clients, odd):
    """It ends the reading and reaches its block; the request is unfinished, and did not time out."""
    client = clients(odd.play([REQUEST, send(BEGUN), DRAIN]).url)
    response = client.get("/", stream=True)

    with gevent.Timeout(0.05) as own, pytest.raises(gevent.Timeout) as raised:
        _ = response.content

    assert raised.value is own
    books = clients.books()
    assert (books.unfinished, books.timeouts) == (1, 0)


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
def test_a_request_in_a_callback_of_the_loop_is_refused(clients, odd, kept):
    """Nothing could wake it: it raises and is one failed request, and neither hangs nor stops the loop."""
    client = clients(odd.play([REQUEST, send(OK), REQUEST, send(OK)]).url)
    if kept:
        client.get("/")
    raised = []

    def ask(_greenlet):
        try:
            client.session.get("/")
        except RuntimeError as error:
            raised.append(str(error))

    gevent.spawn(lambda: None).rawlink(ask)
    gevent.sleep(0.05)

    assert len(raised) == 1
    assert "gevent.spawn" in raised[0]
    assert clients.books().failed == 1


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
def test_a_request_in_another_thread_is_refused(clients, odd, kept):
    """Its time-out would never come, and would keep those of all other users from coming."""
    client = clients(odd.play([REQUEST, send(OK), REQUEST, send(OK)]).url)
    if kept:
        client.get("/")
    raised = []

    def ask():
        try:
            client.session.get("/")
        except RuntimeError as error:
            raised.append(str(error))

    gevent.get_hub().threadpool.apply(ask)

    assert "another thread" in raised[0]
    assert clients.books().failed == 1


def test_a_user_whose_connections_fail_at_once_lets_others_have_their_turn(clients):
    """An address that is not ours cannot be bound, which takes no wait: the loop goes on all the same."""
    asked = []

    class Hasty(LoadUser):
        host = "http://127.0.0.1:9"
        source_addresses = ("203.0.113.1",)
        wait_time = constant(0)

        @task
        def insist(self):
            for _ in range(5):
                asked.append(str(self.client.get("/").error))
                assert len(asked) < 5_000, "nobody else had a turn"

    user = Hasty(Environment(user_classes=[Hasty], catch_exceptions=False))
    playing = gevent.spawn(user.run)
    for _ in range(10):
        gevent.sleep(0)
    playing.kill()

    assert set(asked) == {"no connection: Cannot assign requested address"}
    assert len(asked) < 100
