"""Our client and stock ones by the proxy that makes faults, to a target that speaks TLS and has a name."""

import ssl
import time

import gevent
import pytest
from breaking import way
from gevent import Timeout
from locust import FastHttpUser, HttpUser
from odd import OK, REQUEST, send, tls
from planning import read

from distributed.fault_proxy import check_clients, go_by
from distributed.messages import FaultProxy
from loadproof.client import detour as detours
from loadproof.client.detour import detour, dialled
from loadproof.client.user import LoadUser
from loadproof.errors import ConnectError, ConnectionLostError, RequestTimeoutError, TlsError, UsageError
from loadproof.measure.interval import Timed
from loadproof.plan.faults import PROXIED

pytest_plugins = ("conforming", "speaking")
pytestmark = pytest.mark.timeout(60)

NAME = "staging.example.test"
"""No resolver knows it: whatever is answered under it came by the proxy."""
URL = f"https://{NAME}"


@pytest.fixture(autouse=True)
def straight(monkeypatch, clients, authority):
    """No detour but the test's own, no proxy of the environment, and the tests' own authority."""
    monkeypatch.setattr(detours, "_detours", {})
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    clients.usual["authorities"] = str(authority.file)
    yield
    hub = gevent.get_hub()
    if isinstance(hub.resolver, detours._Resolver):
        hub.resolver = hub.resolver._resolver


@pytest.fixture(scope="module")
def path(nginx):
    """The proxy before nginx; each test leaves it as it found it."""
    with way(nginx.ports["secure"]) as made:
        yield made


@pytest.fixture(scope="module")
def named(authority):
    return authority.issue("named", NAME)


@pytest.fixture
def secure(nginx, path):
    """The URL that goes by it."""
    detour(("localhost", nginx.ports["secure"]), ("127.0.0.1", path.port))
    return nginx.url("secure", "localhost")


def small(client):
    """A request that is answered, by a server that was told its own name."""
    answer = client.get("/small.txt")
    assert answer.error is None
    assert (answer.content, answer.headers["X-Server-Name"]) == (b"small\n", "localhost")
    return answer


def slower(path, old, new):
    path.begin("latency", latency=150_000)
    assert small(old).elapsed.total_seconds() >= 0.15
    # TCP's handshake is the proxy's, TLS's is the target's.
    begun = time.monotonic()
    small(new)
    assert time.monotonic() - begun >= 0.3
    path.end("latency")


def narrower(path, old, new):
    path.begin("bandwidth", bandwidth=100_000)
    begun = time.monotonic()
    answers = gevent.joinall([gevent.spawn(client.get, "/long.txt") for client in (old, new)])
    size = sum(len(each.value.content) for each in answers)
    assert size > 90_000
    assert time.monotonic() - begun >= size / 100_000 - 0.1
    path.end("bandwidth")


def silent(path, old, new):
    path.begin("blackhole")
    answers = [client.get("/small.txt") for client in (old, new)]
    assert [type(each.error) for each in answers] == [RequestTimeoutError] * 2
    assert [str(each.error) for each in answers] == ["read timeout", "connect timeout"]
    path.end("blackhole")


def refused(path, old, new):
    path.begin("refuse")
    small(old)
    assert str(new.get("/small.txt").error) == "no connection: Connection refused"
    path.end("refuse")


def reset(path, old, new):
    path.begin("reset")
    for client in (old, new):
        assert isinstance(client.get("/small.txt").error, ConnectError | TlsError | ConnectionLostError)
    path.end("reset")


def swallowed(path, old, new):
    path.begin("half_open")
    answers = [client.get("/small.txt") for client in (old, new)]
    assert [type(each.error) for each in answers] == [RequestTimeoutError] * 2
    path.end("half_open")


def closed_late(path, old, new):
    """TLS tells the end in words of its own, which come as soon as any other."""
    path.begin("slow_close", delay=60_000_000)
    for client in (old, new):
        assert client.get("/last/small.txt").content == b"small\n"
    context = ssl.create_default_context(cafile=old.user.authorities)
    with context.wrap_socket(path.connect(), server_hostname="localhost") as plain:
        plain.sendall(b"GET /last/small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while data := plain.recv(65_536):
            received += data
    assert received.endswith(b"small\n")
    path.end("slow_close")


FAULTS = {
    "latency": slower,
    "bandwidth": narrower,
    "blackhole": silent,
    "refuse": refused,
    "reset": reset,
    "half_open": swallowed,
    "slow_close": closed_late,
}


@pytest.mark.parametrize("kind", sorted(PROXIED))
def test_every_fault_is_felt_by_https_and_is_over_afterwards(clients, path, secure, kind):
    """By a connection that stands and by a new one; the first book closes, and nothing is left."""
    old, new = (clients(secure, connection_timeout=2, network_timeout=2) for _ in range(2))
    small(old)
    FAULTS[kind](path, old, new)

    for client in (old, new):
        small(client)


def test_the_target_is_spoken_to_by_its_own_name(clients, odd, named, monkeypatch):
    """SNI and certificate, Host, a Secure cookie, a redirect to itself through the proxy, and one to elsewhere not."""
    timings = []
    monkeypatch.setattr(
        clients.recorder, "duration", lambda _, timed, name, __: timings.append((timed, name))
    )
    elsewhere = odd.play([REQUEST, send(OK)])
    cookie = b"Set-Cookie: a=1; Secure; Domain=staging.example.test\r\n"
    steps = [
        *(REQUEST, send(b"HTTP/1.1 302 Found\r\n" + cookie)),
        *(send(b"Location: https://staging.example.test/then\r\nContent-Length: 0\r\n\r\n"), REQUEST),
        send(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()),
    ]
    target = odd.play([tls(named.chain, named.key), *steps])
    with way(target.port) as path:
        detour((NAME, 443), ("127.0.0.1", path.port))
        answer = clients(URL).get("/first")

    assert (answer.error, answer.content) == (None, b"ok")
    seen = target.requests()
    assert [(each.header("Host"), each.target) for each in seen] == [(NAME, "/first"), (NAME, "/then")]
    assert [each.header("Cookie") for each in seen] == [None, "a=1"]
    assert [hop.url for hop in (*answer.history, answer)] == [
        f"{URL}/first",
        f"{URL}/then",
        f"{elsewhere.url}/",
    ]
    assert target.connections() == 1
    assert [name for timed, name in timings if timed is Timed.CONNECT] == [
        f"{NAME}:443",
        elsewhere.url.removeprefix("http://"),
    ]


def test_http_is_spoken_by_its_own_name_too(clients, odd):
    """The Host header was the proxy's address otherwise."""
    target = odd.play([REQUEST, send(OK)])
    with way(target.port) as path:
        detour((NAME, 80), ("127.0.0.1", path.port))
        assert clients(f"http://{NAME}").get("/").content == b"ok"

    assert target.requests()[0].header("Host") == NAME


def test_a_wrong_certificate_is_refused_through_the_proxy(clients, nginx, path):
    """One that is good for the proxy's address is not for the target's name."""
    detour((NAME, 443), ("127.0.0.1", path.port))
    before = nginx.counted()

    answer = clients(URL).get("/small.txt")

    assert (type(answer.error), answer.status_code) == (TlsError, 0)
    assert "certificate" in str(answer.error)
    assert (nginx.counted() - before, clients.books().unconnected) == (0, 1)


def test_a_websocket_goes_by_it(clients, speaking_securely):
    """Its handshake and each message."""
    with way(speaking_securely) as path:
        detour(("127.0.0.1", speaking_securely), ("127.0.0.1", path.port))
        user = clients(f"https://127.0.0.1:{speaking_securely}").user
        with Timeout(20), user.websocket("/live") as ws:
            path.begin("latency", latency=150_000)
            begun = time.monotonic()
            assert ws.round_trip("hello") == "hello"
            assert time.monotonic() - begun >= 0.15
            path.end("latency")

    assert clients.books().ok == 1


def test_a_stream_goes_by_it(clients, path, secure):
    """Piece by piece."""
    client = clients(secure)
    path.begin("bandwidth", bandwidth=100_000)
    begun = time.monotonic()
    lines = list(client.iter_lines("/long.txt"))
    path.end("bandwidth")

    assert lines[-1] == "line 4999"
    assert time.monotonic() - begun >= 0.3


def test_a_proxy_of_the_clients_own_never_goes_round_the_faults(clients, odd, monkeypatch):
    """It is refused with the plan where that can be known, and fails as a connection everywhere else."""
    forward = odd.play([REQUEST, send(OK)], is_proxy=True)
    own = type("Own", (LoadUser,), {"proxy_host": "127.0.0.1", "proxy_port": forward.port})
    with pytest.raises(UsageError, match="Own has a `proxy_host`"):
        check_clients(URL, [own])
    with pytest.raises(UsageError, match="Own has a `proxy_host`"):
        check_clients(URL, [type("Own", (FastHttpUser,), {"proxy_host": "127.0.0.1"})])
    monkeypatch.setenv("https_proxy", forward.url)
    with pytest.raises(UsageError, match=f"add {NAME} to NO_PROXY"):
        check_clients(URL, [LoadUser])
    detour((NAME, 443), ("127.0.0.1", 9))

    for client in (clients(URL), clients(URL, proxy_host="127.0.0.1", proxy_port=forward.port)):
        answer = client.get("/")
        assert isinstance(answer.error, ConnectError)
        assert "go round the run's faults" in str(answer.error)
    assert (forward.connections(), clients.books().unconnected) == (0, 2)
    monkeypatch.setenv("no_proxy", NAME)
    check_clients(URL, [LoadUser, HttpUser])


def test_only_a_plan_with_such_faults_makes_a_detour(tmp_path):
    """A worker takes it for its plan's target alone, and not at all without need; without one it does not begin."""
    text = (
        "name: small\nsuite: governance\ntarget: {}\nload: [{{phase: steady, duration: 1m, users: 10}}]\n{}"
    )
    plain = read(tmp_path, text.format(URL, ""))
    broken = read(tmp_path, text.format(URL, "faults: [{kind: reset, at: 1s, for: 1s}]\n"))
    proxy = FaultProxy("10.0.0.5", 7000)

    go_by(proxy, plain, URL, [LoadUser])
    assert dialled(NAME, 443) == (NAME, 443)
    with pytest.raises(UsageError, match="names no proxy for the plan's faults reset"):
        go_by(None, broken, URL, [LoadUser])
    go_by(proxy, broken, f"https://{NAME.upper()}/api", [LoadUser])
    assert dialled(NAME, 443) == ("10.0.0.5", 7000)
    assert [dialled(*other) for other in ((NAME, 80), ("example.test", 443))] == [
        (NAME, 80),
        ("example.test", 443),
    ]
