"""Users against a server that behaves in a way of its own on each connection: whose answer is whose, and the books."""

from collections import Counter
from random import Random

import gevent
import pytest
from odd import DRAIN, REQUEST, RESET, SHUT, echo, send, take, tls

from loadproof.errors import RequestError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(120)

ECHO = b"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}"
STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
GOOD = (
    [echo(ECHO)],
    [echo(b"HTTP/1.1 200 OK\r\nX-Other: head\r\nContent-Length: {length}\r\n\r\n{target}")],
    [echo(b"HTTP/1.1 100 Continue\r\n\r\n"), echo(ECHO)],
    [echo(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n/\r\n"), echo(b"0\r\n\r\n")],
    [send(b"HTTP/1.1 200 OK\r\n"), echo(b"Content-Length: {length}\r\n\r\n"), echo(b"{target}")],
    [send(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")],
)
"""After each of these the connection goes on."""
LAST = (
    [],
    [RESET],
    [echo(ECHO)],
    [echo(ECHO, STRAY), DRAIN],
    [echo(ECHO, b"\r\n"), DRAIN],
    [echo(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{target}"), send(STRAY)],
    [echo(b"HTTP/1.0 200 OK\r\n\r\n{target}"), SHUT, DRAIN],
    [echo(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{target}")],
    [send(ECHO[:9])],
    [send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome"), RESET],
    [send(b"nonsense\r\n\r\n"), DRAIN],
    [send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), DRAIN],
    [send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), DRAIN],
)
"""After each of these it has ended, or must not be used again."""


@pytest.fixture(scope="module")
def good(authority):
    return authority.issue("good", "127.0.0.1")


def connection(random):
    """A connection's steps: some good answers, and an end."""
    if random.random() < 0.1:
        return random.choice([[], [take(3)], [take(3), RESET]])
    steps = []
    for _ in range(random.randint(0, 6)):
        steps += [REQUEST, *random.choice(GOOD)]
    return [*steps, REQUEST, *random.choice(LAST)]


def visit(client, random, number, requests):
    """One user's requests, each with a target that no other has."""
    for at in range(requests):
        target = f"/{number}-{at}"
        method = random.choice(["GET", "GET", "POST", "PUT", "DELETE"])
        answer = client.request(method, target, data=b"body" if method in {"POST", "PUT"} else None)
        if answer.status_code == 200:
            # The chunked one says a slash only.
            assert answer.content in {target.encode(), b"/"}
        elif answer.status_code == 0:
            assert isinstance(answer.error, RequestError)
            assert answer.content is None
        else:
            assert answer.content == b"busy"


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(each, marks=pytest.mark.long) for each in range(6, 300))]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_answer_is_its_requests_own(clients, odd, authority, good, seed, scheme):
    """No request gets another's answer, none hangs or raises, none is sent more often than it may be."""
    random = Random(seed)
    shake = [tls(good.chain, good.key)] if scheme == "https" else []
    scripts = [connection(random) for _ in range(150)]
    scripts.append([REQUEST, *[step for _ in range(9) for step in (echo(ECHO), REQUEST)]])
    played = odd.play(*([*shake, *steps] for steps in scripts))
    url = played.url if scheme == "http" else played.tls_url
    options = {"network_timeout": 15, "authorities": str(authority.file)}
    users = [(clients(url, **options), Random(seed * 100 + number), number) for number in range(3)]

    jobs = [gevent.spawn(visit, client, own, number, 60) for client, own, number in users]
    try:
        gevent.joinall(jobs, timeout=60, raise_error=True)
    finally:
        gevent.killall(jobs)

    assert all(job.successful() for job in jobs)
    sent = Counter((seen.method, seen.target) for seen in played.requests())
    assert all(count <= (1 if method == "POST" else 2) for (method, _), count in sent.items())
    books = clients.books()
    assert books.started == 180
    assert books.ok + books.failed == 180
    assert books.timeouts == 0
