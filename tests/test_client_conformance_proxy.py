"""Through a proxy: by the class, by the environment, past it, and with one that fails."""

import pytest
from odd import DRAIN, OK, REQUEST, SHUT, TUNNEL, send, take
from unreachable import closed_port

from loadproof.errors import ConnectError, RequestTimeoutError, TlsError

pytest_plugins = ("conforming",)
pytestmark = pytest.mark.timeout(60)

OPENED = send(b"HTTP/1.1 200 Connection established\r\nX-Via: proxy\r\n\r\n")


@pytest.fixture(autouse=True)
def environment(monkeypatch, clients, authority):
    """No proxy but those of the test, and its own authority."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    clients.usual["authorities"] = str(authority.file)


def by(how, proxy, monkeypatch, scheme="http"):
    """The class's attributes, or none of them and the environment's variable."""
    if how == "class":
        return {"proxy_host": "127.0.0.1", "proxy_port": proxy.port}
    monkeypatch.setenv(f"{scheme}_proxy" if how == "lower" else f"{scheme}_proxy".upper(), proxy.url)
    return {}


@pytest.mark.parametrize("how", ["class", "lower", "upper"])
def test_a_plain_request_names_the_whole_url(clients, odd, monkeypatch, how):
    """The proxy reads it: absolute form, the target's Host, and the connection to the proxy is kept."""
    proxy = odd.play([REQUEST, send(OK), REQUEST, send(OK)])
    client = clients("http://target.invalid:8080", **by(how, proxy, monkeypatch))

    assert [client.get("/a?b=c").content, client.post("/d", data=b"x").content] == [b"ok", b"ok"]
    seen = proxy.requests()
    assert [each.target for each in seen] == [
        "http://target.invalid:8080/a?b=c",
        "http://target.invalid:8080/d",
    ]
    assert {each.header("Host") for each in seen} == {"target.invalid:8080"}
    assert proxy.connections() == 1


@pytest.mark.parametrize("how", ["class", "lower", "upper"])
def test_an_encrypted_request_goes_through_a_tunnel(clients, odd, nginx, monkeypatch, how):
    """CONNECT once, then all requests in the tunnel; the target's books know nothing of the CONNECT."""
    proxy = odd.play([REQUEST, OPENED, TUNNEL], is_proxy=True)
    client = clients(nginx.url("secure"), **by(how, proxy, monkeypatch, "https"))
    before = nginx.counted()

    answers = [client.get("/small.txt") for _ in range(3)]

    assert [each.content for each in answers] == [b"small\n"] * 3
    [asked] = proxy.requests()
    assert (asked.method, asked.target) == ("CONNECT", f"127.0.0.1:{nginx.ports['secure']}")
    books = clients.books()
    assert (books.ok, books.answered, books.unanswered) == (3, 3, 0)
    assert nginx.counted() - before == 3


def test_only_the_proxy_hears_the_proxys_password(clients, odd, nginx, monkeypatch):
    """From the URL in the environment into Proxy-Authorization of the CONNECT."""
    proxy = odd.play([REQUEST, OPENED, TUNNEL], is_proxy=True)
    monkeypatch.setenv("https_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
    played = odd.play([REQUEST, send(OK)], is_proxy=True)
    monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{played.port}")

    assert clients(nginx.url("secure")).get("/small.txt").content == b"small\n"
    assert clients("http://target.invalid").get("/").content == b"ok"
    assert [each.header("Proxy-Authorization") for each in (*proxy.requests(), *played.requests())] == [
        "Basic dXNlcjpwQHNz"
    ] * 2


@pytest.mark.parametrize("listed", ["127.0.0.1", "*", "other.test, 127.0.0.1"])
def test_no_proxy_goes_past_it(clients, odd, nginx, monkeypatch, listed):
    """Hosts that the environment lists are asked directly."""
    proxy = odd.play([REQUEST, send(OK)])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", listed)

    assert clients(nginx.url()).get("/small.txt").content == b"small\n"
    assert proxy.connections() == 0


def test_the_classs_proxy_is_asked_though_the_environment_would_not(clients, odd, monkeypatch):
    """What the scenario says comes first."""
    proxy = odd.play([REQUEST, send(OK)])
    monkeypatch.setenv("no_proxy", "*")

    assert clients("http://127.0.0.1:9", **by("class", proxy, monkeypatch)).get("/").content == b"ok"


REFUSALS = {
    "407": [REQUEST, send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), DRAIN],
    "502": [REQUEST, send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad"), DRAIN],
    "closed": [REQUEST],
    "nonsense": [REQUEST, send(b"nonsense\r\n\r\n"), SHUT, DRAIN],
    "half a head": [REQUEST, send(b"HTTP/1.1 200 Conn"), SHUT, DRAIN],
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_proxy_that_gives_no_tunnel_is_one_failure(clients, odd, monkeypatch, case):
    """No connection to the target came about: nothing that it could have counted."""
    proxy = odd.play(REFUSALS[case], is_proxy=True)
    monkeypatch.setenv("https_proxy", proxy.url)

    answer = clients("https://target.invalid").get("/")

    assert (answer.status_code, type(answer.error)) == (0, ConnectError)
    books = clients.books()
    assert (books.failed, books.answered, books.unanswered, books.unconnected) == (1, 0, 0, 1)


def test_a_tunnel_that_breaks_in_the_handshake_is_one_failure(clients, odd, monkeypatch):
    """Behind the proxy something closes."""
    proxy = odd.play([REQUEST, OPENED, take(5)], is_proxy=True)
    monkeypatch.setenv("https_proxy", proxy.url)

    assert isinstance(clients("https://target.invalid").get("/").error, TlsError)


def test_a_silent_proxy_is_a_timeout(clients, odd, monkeypatch):
    """The tunnel is part of the connection, and so is its time."""
    proxy = odd.play([REQUEST, DRAIN], is_proxy=True)
    monkeypatch.setenv("https_proxy", proxy.url)

    assert isinstance(
        clients("https://target.invalid", connection_timeout=0.3).get("/").error, RequestTimeoutError
    )
    assert clients.books().unconnected == 1


def test_a_proxy_that_is_not_there_is_one_failure(clients, monkeypatch):
    """For both schemes."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")

    for url in ("http://target.invalid", "https://target.invalid"):
        assert isinstance(clients(url).get("/").error, ConnectError)
    assert clients.books().unconnected == 2


def test_an_error_of_the_proxy_is_an_answer_like_any_other(clients, odd, monkeypatch):
    """A plain request that the proxy answers itself."""
    proxy = odd.play([REQUEST, send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad")])
    monkeypatch.setenv("http_proxy", proxy.url)

    assert clients("http://target.invalid").get("/").status_code == 502


def test_a_redirect_leaves_the_tunnel(clients, odd, nginx, monkeypatch):
    """From https to http: through the tunnel first, then past the proxy, which is for https alone."""
    proxy = odd.play([REQUEST, OPENED, TUNNEL], is_proxy=True)
    monkeypatch.setenv("https_proxy", proxy.url)
    to = nginx.url().removeprefix("http://")

    answer = clients(nginx.url("secure")).get("/down", headers={"X-To": to})

    assert (answer.url, answer.content) == (f"{nginx.url()}/small.txt", b"small\n")
    assert len(proxy.requests()) == 1
