"""Redirects and cookies: what goes to the next hop, and what must not."""

import pytest
from odd import OK, REQUEST, send

from loadproof.errors import (
    ConnectError,
    ConnectionLostError,
    MalformedAnswerError,
    ResolveError,
    TooManyRedirectsError,
)

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)


def heard(answer):
    return dict(answer.json()["headers"])


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        *(("GET", status, "GET") for status in (301, 302, 303, 307, 308)),
        *(("HEAD", status, "HEAD") for status in (301, 302, 303, 307, 308)),
        *(("POST", status, "GET") for status in (301, 302, 303)),
        *(("POST", status, "POST") for status in (307, 308)),
        *(("PUT", status, "PUT") for status in (301, 302, 307, 308)),
        ("PUT", 303, "GET"),
        ("DELETE", 303, "GET"),
    ],
)
def test_the_method_of_the_next_hop_is_the_standards(clients, uvicorn, method, status, then):
    """301 and 302 turn a POST into a GET, 303 everything but HEAD, 307 and 308 nothing; the body goes with it."""
    client = clients(uvicorn.url)
    body = b"payload" if method in {"POST", "PUT"} else None

    answer = client.request(method, f"/redirect/{status}?to=/echo/end", data=body, headers={"X-Own": "yes"})

    assert (answer.status_code, answer.url, answer.request.method) == (200, f"{uvicorn.url}/echo/end", then)
    assert [hop.status_code for hop in answer.history] == [status]
    if method != "HEAD":
        seen = answer.json()
        kept = then == method
        assert (seen["method"], seen["body"]) == (then, "payload" if body and kept else "")
        assert ("content-length" in heard(answer)) == (bool(body) and kept)
        assert heard(answer)["x-own"] == "yes"
    books = clients.books()
    assert (books.started, books.ok, books.answered, books.unanswered) == (1, 1, 2, 0)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/echo/a?b=c", "/echo/a?b=c"),
        ("a", "/redirect/a"),
        ("../echo/up", "/echo/up"),
        ("?to=/echo/query", "/echo/query"),
        ("/echo/blank here", "/echo/blank%20here"),
        ("/echo/%20escaped", "/echo/%20escaped"),
        ("/echo/fragment#part", "/echo/fragment"),
        ("/echo/umlaut-ü", "/echo/umlaut-%C3%BC"),
    ],
)
def test_a_location_is_resolved_as_a_browser_does(clients, uvicorn, location, target):
    """Relative, with `..`, a query alone, blanks and a fragment: the server sees the right target."""
    answer = clients(uvicorn.url).get("/redirect/302", params={"to": location.encode().decode("latin-1")})

    assert answer.url == uvicorn.url + target
    assert (answer.status_code == 200) == target.startswith("/echo")


def test_a_location_may_leave_out_the_scheme(clients, uvicorn, odd):
    """`//host:port/path` goes to another host by the same scheme."""
    played = odd.play([REQUEST, send(OK)])
    answer = clients(uvicorn.url).get("/redirect/302", params={"to": f"//127.0.0.1:{played.port}/there"})

    assert answer.content == b"ok"
    assert [request.target for request in played.requests()] == ["/there"]


def test_redirects_can_be_left_alone(clients, uvicorn):
    """With `allow_redirects=False` the 302 itself is the answer, and an ok one."""
    answer = clients(uvicorn.url).get("/redirect/302?to=/echo", allow_redirects=False)

    assert (answer.status_code, answer.headers["location"], tuple(answer.history)) == (302, "/echo", ())
    assert clients.books().ok == 1


def test_a_redirect_without_a_location_is_an_answer(clients, uvicorn):
    """There is nowhere to go."""
    answer = clients(uvicorn.url).get("/redirect/302")

    assert (answer.status_code, len(answer.history), answer.error) == (302, 0, None)


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_a_round_of_redirects_ends(clients, nginx, limit):
    """One failed request of the class's `max_redirects` + 1 answered exchanges, as many as nginx counted."""
    before = nginx.counted()

    answer = clients(nginx.url(), max_redirects=limit).get("/round")

    assert isinstance(answer.error, TooManyRedirectsError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered) == (1, limit + 1, 0)
    assert nginx.counted() - before == limit + 1


@pytest.mark.parametrize(
    "location",
    ["ftp://127.0.0.1/x", "http://[::1", "http://127.0.0.1:99999/", "mailto:a@b.c", "http://a b/"],
)
def test_a_redirect_to_nowhere_is_one_failure(clients, uvicorn, location):
    """What a server puts into Location never raises in the scenario."""
    answer = clients(uvicorn.url).get("/redirect/302", params={"to": location})

    assert answer.error is not None
    books = clients.books()
    assert (books.started, books.failed, books.answered) == (1, 1, 1)


def test_a_redirect_to_a_dead_port_is_one_failure(clients, uvicorn, odd):
    """The hop was answered; what follows had no connection and is no exchange."""
    played = odd.play([])
    played.close()
    answer = clients(uvicorn.url).get("/redirect/302", params={"to": f"{played.url}/"})

    assert (answer.status_code, type(answer.error)) == (0, ConnectError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.unconnected) == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [([REQUEST], ConnectionLostError), ([REQUEST, send(b"nonsense\r\n\r\n")], MalformedAnswerError)],
)
def test_a_redirect_into_a_broken_server_is_one_failure(clients, uvicorn, odd, steps, kind):
    """One answered exchange and one that was not."""
    played = odd.play(steps)
    answer = clients(uvicorn.url).get("/redirect/307", params={"to": f"{played.url}/"})

    assert isinstance(answer.error, kind)
    books = clients.books()
    assert (books.failed, books.answered + books.unanswered) == (1, 2)


def test_a_redirect_to_an_unknown_name_is_one_failure(clients, uvicorn):
    """`.invalid` never resolves (RFC 6761)."""
    answer = clients(uvicorn.url).get("/redirect/302", params={"to": "http://nothing.invalid/"})

    assert isinstance(answer.error, ResolveError)


def test_credentials_stay_with_their_host(clients, uvicorn, odd):
    """Authorization goes to a hop on the same origin, never to another one."""
    played = odd.play([REQUEST, send(OK)])
    client = clients(uvicorn.url)
    client.get("/redirect/302", params={"to": f"{played.url}/"}, auth=("user", "secret"))
    client.get("/redirect/302", params={"to": f"{played.url}/"}, headers={"authorization": "Bearer secret"})

    same = client.get("/redirect/302?to=/echo", auth=("user", "secret"))

    assert [request.header("Authorization") for request in played.requests()] == [None, None]
    assert heard(same)["authorization"].startswith("Basic ")


def test_the_runs_header_stays_with_the_target(clients, uvicorn, odd):
    """Every hop carries the run, so that both of its exchanges can be counted."""
    played = odd.play([REQUEST, send(OK)])
    clients(uvicorn.url).get("/redirect/302", params={"to": f"{played.url}/"})

    assert [request.header("Loadproof-Run") for request in played.requests()] == ["run-1"]


def cookies_of(answer):
    return heard(answer).get("cookie")


def test_a_cookie_comes_back(clients, uvicorn):
    """What an answer sets is sent with the user's next request, and another user does not know it."""
    client, other = clients(uvicorn.url), clients(uvicorn.url)
    client.get("/cookie?set=a%3D1&set=b%3D%22x y%22")

    assert cookies_of(client.get("/echo")) == 'a=1; b="x y"'
    assert client.cookies["a"] == "1"
    assert cookies_of(other.get("/echo")) is None


def test_a_cookie_is_changed_and_taken_away(clients, uvicorn):
    """A new value replaces the old one, and a life of no seconds or an end in the past takes it away."""
    client = clients(uvicorn.url)
    for value, then in [("a%3D1", "a=1"), ("a%3D2", "a=2"), ("a%3D2", "a=2"), ("a%3D1", "a=1")]:
        client.get(f"/cookie?set={value}")
        assert cookies_of(client.get("/echo")) == then
    client.get("/cookie?set=a%3Dx; Max-Age%3D0")
    assert cookies_of(client.get("/echo")) is None
    client.get("/cookie?set=a%3D1")
    client.get("/cookie?set=a%3Dx; Expires%3DThu, 01 Jan 1970 00:00:00 GMT")
    assert cookies_of(client.get("/echo")) is None
    client.get("/cookie?set=a%3D1")
    assert cookies_of(client.get("/echo")) == "a=1"


def test_a_cookie_stays_under_its_path(clients, uvicorn):
    """Sent to its path and below, not beside it; without a path, it belongs to the folder that set it."""
    client = clients(uvicorn.url)
    client.get("/cookie?set=all%3D1; Path%3D/&set=deep%3D2; Path%3D/echo/deep")
    client.get("/cookie/in/folder?set=own%3D3")

    assert cookies_of(client.get("/echo/deep/er")) == "deep=2; all=1"
    assert cookies_of(client.get("/echo/deeper")) == "all=1"
    assert cookies_of(client.get("/echo/deep")) == "deep=2; all=1"
    assert cookies_of(client.get("/echo")) == "all=1"
    assert {cookie.path for cookie in client.cookies if cookie.name == "own"} == {"/cookie/in"}


def test_a_secure_cookie_is_not_sent_in_the_clear(clients, uvicorn):
    """It is kept, and waits for https."""
    client = clients(uvicorn.url)
    client.get("/cookie?set=safe%3D1; Secure&set=open%3D2")

    assert cookies_of(client.get("/echo")) == "open=2"


def test_a_foreign_domain_sets_no_cookie(clients, uvicorn):
    """A server may only set cookies for itself."""
    client = clients(uvicorn.url)
    client.get("/cookie?set=stray%3D1; Domain%3Dexample.test")

    assert cookies_of(client.get("/echo")) is None
    assert len(client.cookies) == 0


def test_a_cookie_set_on_the_way_is_sent_on_the_way(clients, odd):
    """As a login does: the answer that redirects sets the cookie that the next page wants."""
    first = b"HTTP/1.1 302 Found\r\nSet-Cookie: session=s1\r\nLocation: /home\r\nContent-Length: 0\r\n\r\n"
    played = odd.play([REQUEST, send(first), REQUEST, send(OK), REQUEST, send(OK)])
    client = clients(played.url)
    client.post("/login", data={"user": "u"})
    client.get("/next")

    assert [seen.header("Cookie") for seen in played.requests()] == [None, "session=s1", "session=s1"]


def test_a_cookie_set_by_hand_is_sent(clients, uvicorn):
    """The scenario may put cookies into the jar, and empty it."""
    client = clients(uvicorn.url)
    client.cookies["mine"] = "1"
    client.cookies.set("other", "2", path="/echo/in")

    assert cookies_of(client.get("/echo")) == "mine=1"
    assert set(cookies_of(client.get("/echo/in")).split("; ")) == {"mine=1", "other=2"}
    client.cookies.clear()
    assert cookies_of(client.get("/echo")) is None


@pytest.mark.parametrize(
    "line", ["", "=", ";", "a", "=; Path", "a=b; Expires=never", "a=b; Max-Age=x", "\u00ff=\u00fe"]
)
def test_a_cookie_that_is_none_disturbs_nothing(clients, odd, line):
    """Whatever stands in Set-Cookie, this answer and the next one come."""
    answer = f"HTTP/1.1 200 OK\r\nSet-Cookie: {line}\r\nContent-Length: 2\r\n\r\nok".encode("latin-1")
    played = odd.play([REQUEST, send(answer), REQUEST, send(answer)])
    client = clients(played.url)

    assert [client.get("/").content for _ in range(2)] == [b"ok", b"ok"]
    assert clients.books().ok == 2
