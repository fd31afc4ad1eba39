"""TLS: against nginx, and against servers whose certificate or handshake is bad."""

from datetime import timedelta

import pytest
from odd import BODY, DRAIN, HEAD, HOLD, OK, REQUEST, RESET, SHUT, TUNNEL, dribble, pause, send, take, tls

from loadproof.errors import ConnectionLostError, RequestTimeoutError, TlsError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

LATE = timedelta(days=-1)
HELLO_SIZE = 5
"""Bytes of a TLS record's header: whoever has read them has seen that a handshake began."""


@pytest.fixture(autouse=True)
def trusted(clients, authority):
    """The tests' own authority stands in for the system's."""
    clients.usual["authorities"] = str(authority.file)


@pytest.fixture(scope="module")
def good(authority):
    return authority.issue("good", "127.0.0.1", "localhost")


def test_a_name_is_told_to_the_server_and_an_address_is_not(clients, nginx):
    """SNI carries `localhost`; RFC 6066 forbids an address in it."""
    named = clients(nginx.url("secure", "localhost")).get("/small.txt")
    numbered = clients(nginx.url("secure")).get("/small.txt")

    assert (named.content, named.headers.get("X-Server-Name", "")) == (b"small\n", "localhost")
    assert (numbered.content, numbered.headers.get("X-Server-Name", "")) == (b"small\n", "")


def test_a_large_body_comes_whole(clients, nginx):
    """50 MB, encrypted, on one connection with the next request."""
    client = clients(nginx.url("secure"))

    assert client.get("/large").content == nginx.file("large")
    assert client.get("/small.txt").content == b"small\n"
    books = clients.books()
    assert (books.ok, books.answered, books.unanswered, books.unconnected) == (2, 2, 0, 0)


def test_session_tickets_that_come_while_a_body_is_sent_are_no_answer(clients, odd, good):
    """TLS 1.3 sends them right behind the handshake, when the first request is on its way."""
    body = "x" * 20_000_000
    played = odd.play([tls(good.chain, good.key), HEAD, pause(0.2), BODY, send(OK)])

    answer = clients(played.tls_url, network_timeout=15).post("/", data=body.encode())

    assert (answer.content, answer.error) == (b"ok", None)
    assert played.requests()[0].body == body


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}])
def test_a_large_body_goes_up_as_the_first_request(clients, nginx, headers):
    """The server's session tickets come while the body is being sent, and are no answer to it."""
    body = nginx.file("large")[:10_000_000]

    answer = clients(nginx.url("secure"), network_timeout=15).put("/put/secure", data=body, headers=headers)

    assert (answer.status_code, answer.error) in {(201, None), (204, None)}
    assert (nginx.folder / "put" / "secure").read_bytes() == body


def test_a_session_is_resumed(clients, nginx):
    """A user's second connection to a server costs no full handshake."""
    client = clients(nginx.url("secure"))

    assert [client.get("/last/small.txt").headers["X-Reused"] for _ in range(3)] == [".", "r", "r"]


def test_a_session_is_not_shared_between_users(clients, nginx):
    """A user stands for a browser of its own."""
    first, second = clients(nginx.url("secure")), clients(nginx.url("secure"))

    assert [each.get("/last/small.txt").headers["X-Reused"] for each in (first, second)] == [".", "."]


@pytest.mark.parametrize("form", ["pair", "one file"])
def test_a_client_shows_its_certificate(clients, nginx, authority, form):
    """As (certificate, key) or both in one file, as a server with `ssl_verify_client on` demands."""
    own = authority.issue("visitor")
    certificate = (str(own.chain), str(own.key)) if form == "pair" else str(own.both())

    answer = clients(nginx.url("mutual"), client_certificate=certificate).get("/small.txt")

    assert (answer.content, answer.headers["X-Client"]) == (b"small\n", "CN=visitor")


def test_a_client_without_the_certificate_hears_so(clients, nginx):
    """nginx answers 400; other servers end the connection."""
    assert clients(nginx.url("mutual")).get("/small.txt").status_code == 400


BAD = {
    "self-signed": {"hosts": ("127.0.0.1",), "self_signed": True},
    "expired": {"hosts": ("127.0.0.1",), "until": LATE},
    "another host's": {"hosts": ("example.test", "127.0.0.2")},
    "nobody's": {"hosts": ()},
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_certificate_is_refused(clients, odd, authority, case):
    """One failure with no exchange: the server never saw the request."""
    options = dict(BAD[case])
    bad = authority.issue("bad", *options.pop("hosts"), **options)
    played = odd.play([tls(bad.chain, bad.key), REQUEST, send(OK)])

    answer = clients(played.tls_url).get("/")

    assert (answer.status_code, type(answer.error)) == (0, TlsError)
    assert "certificate" in str(answer.error)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.unconnected) == (1, 0, 0, 1)
    assert played.requests() == []


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("how", ["class", "call"])
def test_a_bad_certificate_is_taken_when_told_to(clients, odd, authority, case, how):
    """By the class's `insecure` or a call's `verify=False`."""
    options = dict(BAD[case])
    bad = authority.issue("bad", *options.pop("hosts"), **options)
    played = odd.play([tls(bad.chain, bad.key), REQUEST, send(OK)])
    client = clients(played.tls_url, **({"insecure": True} if how == "class" else {}))

    answer = client.get("/", **({"verify": False} if how == "call" else {}))

    assert (answer.content, answer.error) == (b"ok", None)


def test_verified_and_unverified_requests_share_no_connection(clients, odd, authority):
    """What `verify=False` opened is not used for a request that wants a proof."""
    bad = authority.issue("bad", "example.test")
    steps = [tls(bad.chain, bad.key), REQUEST, send(OK), REQUEST, send(OK)]
    played = odd.play(steps)
    client = clients(played.tls_url)

    assert client.get("/", verify=False).content == b"ok"
    assert isinstance(client.get("/").error, TlsError)
    assert len(played.requests()) == 1


HANDSHAKES = {
    "closed at once": [],
    "closed after the hello": [take(HELLO_SIZE)],
    "reset": [take(HELLO_SIZE), RESET],
    "plain text": [take(HELLO_SIZE), send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), DRAIN],
    "garbage": [take(HELLO_SIZE), send(bytes(range(256)) * 20), DRAIN],
    "half a hello": [take(HELLO_SIZE), send(b"\x16\x03\x03\x00\x7a\x02\x00\x00"), SHUT, DRAIN],
    "an alert": [take(HELLO_SIZE), send(b"\x15\x03\x03\x00\x02\x02\x28"), DRAIN],
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_a_handshake_that_fails_is_one_failure(clients, odd, case):
    """Closed, reset, answered in plain text or nonsense: no connection, so no exchange."""
    played = odd.play(HANDSHAKES[case])

    answer = clients(played.tls_url).get("/")

    assert (answer.status_code, type(answer.error)) == (0, TlsError)
    assert 0 < len(str(answer.error)) < 120
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.unconnected) == (1, 0, 0, 1)


def test_a_handshake_that_never_ends_is_a_timeout(clients, odd):
    """The server takes the hello and says nothing."""
    played = odd.play([DRAIN])

    answer = clients(played.tls_url, connection_timeout=0.3).get("/")

    assert isinstance(answer.error, RequestTimeoutError)
    books = clients.books()
    assert (books.timeouts + books.failed, books.unconnected) == (1, 1)


def test_http_to_a_tls_port_is_an_answer(clients, nginx):
    """nginx says 400 in plain text."""
    answer = clients(nginx.url("secure").replace("https", "http")).get("/small.txt")

    assert answer.status_code == 400


LOST = {
    "after the request": [REQUEST],
    "in the head": [REQUEST, send(OK[:20])],
    "in the body": [REQUEST, send(OK[:-1])],
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("case", LOST)
def test_an_encrypted_connection_that_ends_too_soon_is_one_failure(clients, odd, good, case, how):
    """Without a word of TLS, as a killed server ends."""
    end = [RESET] if how == "reset" else []
    played = odd.play([tls(good.chain, good.key), *LOST[case], *end])

    answer = clients(played.tls_url).get("/")

    assert isinstance(answer.error, ConnectionLostError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered) == (1, 0, 1)
    assert played.connections() == 1


def test_an_encrypted_answer_may_come_in_any_pieces(clients, odd, good):
    """A record for each byte, then two records for one answer."""
    played = odd.play(
        [tls(good.chain, good.key), REQUEST, dribble(OK), REQUEST, send(OK[:9]), send(OK[9:]), DRAIN],
    )
    client = clients(played.tls_url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"ok"]


def test_an_unasked_encrypted_answer_answers_nothing(clients, odd, good):
    """Two answers in one record: the second belongs to nobody."""
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    played = odd.play(
        [tls(good.chain, good.key), REQUEST, send(OK, late), DRAIN],
        [tls(good.chain, good.key), REQUEST, send(OK)],
    )
    client = clients(played.tls_url)

    assert [client.get("/").status_code for _ in range(2)] == [200, 200]
    assert [seen.connection for seen in played.requests()] == [0, 1]


def test_a_kept_encrypted_connection_that_was_closed_is_replaced(clients, odd, good):
    """The close is seen before a POST is sent, with and without TLS's own word of it."""
    shake = tls(good.chain, good.key)
    played = odd.play([shake, REQUEST, send(OK)], [shake, REQUEST, send(OK)])
    client = clients(played.tls_url)
    client.get("/")
    played.wait_until_ended(1)

    assert client.post("/", data=b"x").content == b"ok"
    assert [(seen.method, seen.connection) for seen in played.requests()] == [("GET", 0), ("POST", 1)]


def test_an_encrypted_post_is_never_sent_twice(clients, odd, good):
    """One failure, as without TLS; a GET is sent again once."""
    shake = tls(good.chain, good.key)
    played = odd.play(
        [shake, REQUEST, send(OK), REQUEST], [shake, REQUEST, send(OK), REQUEST], [shake, REQUEST, send(OK)]
    )
    client = clients(played.tls_url)
    client.get("/")

    assert isinstance(client.post("/", data=b"x").error, ConnectionLostError)
    client.get("/")
    assert client.get("/").content == b"ok"
    assert [seen.method for seen in played.requests()] == ["GET", "POST", "GET", "GET", "GET"]


def test_an_encrypted_answer_before_the_body_is_sent_is_the_answer(clients, odd, good):
    """413 after the head, while the body is still on its way."""
    refused = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
    played = odd.play([tls(good.chain, good.key), HEAD, send(refused), HOLD])

    assert clients(played.tls_url).post("/", data=b"x" * 20_000_000).status_code == 413


def test_a_secure_cookie_is_sent_encrypted(clients, odd, good):
    """Where the same cookie is not sent in the clear."""
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: safe=1; Secure; HttpOnly\r\nContent-Length: 0\r\n\r\n"
    secure = odd.play([tls(good.chain, good.key), REQUEST, send(answer), REQUEST, send(OK)])
    plain = odd.play([REQUEST, send(OK)])
    client = clients(secure.tls_url)
    client.get("/")
    client.get("/")
    client.get(plain.url)

    assert [seen.header("Cookie") for seen in secure.requests()] == [None, "safe=1"]
    assert plain.requests()[0].header("Cookie") is None


def test_a_tunnel_is_encrypted_end_to_end(clients, nginx, odd, monkeypatch):
    """Through a proxy the certificate is still that of the server, and its name is told."""
    proxy = odd.play([REQUEST, TUNNEL_OK, TUNNEL], is_proxy=True)
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "")

    answer = clients(nginx.url("secure", "localhost")).get("/small.txt")

    assert (answer.content, answer.headers["X-Server-Name"]) == (b"small\n", "localhost")
    [asked] = proxy.requests()
    assert (asked.method, asked.target) == ("CONNECT", f"localhost:{nginx.ports['secure']}")


TUNNEL_OK = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
