"""A scenario's WebSocket: what goes over the wire, and what the books hold of it."""

import json

import gevent
import pytest
from blunt_server import frame
from gevent import Timeout
from locust.env import Environment
from locust.exception import RescheduleTask, StopUser
from odd import REQUEST, TUNNEL, send
from unreachable import closed_port

from loadproof.client import channel as channel_module
from loadproof.client.flow import flow_class
from loadproof.client.user import LoadUser
from loadproof.client.websockets import WebSocketError
from loadproof.errors import (
    ConnectError,
    ConnectionLostError,
    HttpStatusError,
    MalformedAnswerError,
    RequestError,
    RequestTimeoutError,
    TlsError,
)
from loadproof.plan.flows import Capture, Flow, Loop, Message, WebSocket

pytest_plugins = ("conforming", "speaking")
pytestmark = pytest.mark.timeout(60)

WALL_S = 20
OPENED = send(b"HTTP/1.1 200 OK\r\n\r\n")
MEGABYTE = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def wall():
    """No test waits longer, whatever the server does."""
    with Timeout(WALL_S):
        yield


@pytest.fixture
def user(clients, blunt):
    """A user of the blunt server."""
    return clients(blunt.url).user


def counted(clients):
    """What the books hold, without what is 0."""
    books = clients.books()
    return {name: value for name, value in vars(books).items() if value}


def one(outcome, *errors, **exchanges):
    """The books of one request that went over the wire."""
    exchanges = exchanges or {"answered": 1}
    return {"started": 1, outcome: 1, **exchanges, **({"errors": list(errors)} if errors else {})}


def forever(step, *arguments):
    """Until it raises."""
    while True:
        step(*arguments)


def test_text_and_bytes_go_both_ways(clients, speaker, ledger):
    """Each comes back as what it is; all of it is one request, two round trips and one lifetime."""
    with clients(speaker).user.websocket("/live?room=1", name="live") as ws:
        assert ws.round_trip("žluť ½") == "žluť ½"
        assert ws.round_trip(b"\x00\xff") == b"\x00\xff"
        ws.send(bytearray(b""))
        assert ws.receive() == b""

    assert counted(clients) == one("ok")
    [key] = [key for interval in ledger.intervals for key in interval.series]
    assert (key.scenario, key.method, key.name) == ("Scenario", "WEBSOCKET", "live")
    assert ledger.durations("round_trip") == {("live", 2)}
    assert ledger.durations("lifetime") == {("live", 1)}


@pytest.mark.parametrize("message", [MEGABYTE, "ž" * 600_000], ids=["bytes", "text"])
def test_a_large_message_comes_whole(clients, speaker, message):
    """A frame of 1 MB, several at once, and one again after them."""
    with clients(speaker).user.websocket("/") as ws:
        for _ in range(3):
            ws.send(message)
        assert [ws.receive() == message for _ in range(3)] == [True] * 3
        assert ws.round_trip("small") == "small"

    assert counted(clients) == one("ok")


def test_fragments_are_put_together(clients, blunt, user):
    """A ping between them is answered and is no part of them."""
    frames = (
        frame(1, "ž".encode()[:1], fin=False)
        + frame(9, b"there?")
        + frame(0, "ž".encode()[1:], fin=False)
        + frame(0, b"!")
        + frame(2, b"\x00", fin=False)
        + frame(0, b"\x01")
    )
    with user.websocket(blunt.path(frames)) as ws:
        assert {ws.receive(), ws.receive(), ws.receive()} == {"ž!", b"\x00\x01", "10 there?"}

    assert counted(clients) == one("ok")


def test_a_ping_is_answered_while_the_user_thinks(clients, blunt, user):
    """Servers drop whoever is silent: nobody has to receive for a pong to go out."""
    with user.websocket(blunt.path(frame(9, b"there?"))) as ws:
        assert ws._channel._news.wait(WALL_S), "the server tells of the pong"
        assert ws.receive() == "10 there?"

    assert counted(clients) == one("ok")


def test_frames_behind_the_answers_head_are_not_lost(clients, blunt, user):
    """A server may greet in the same piece as it agrees."""
    with user.websocket(blunt.path(frame(1, b"welcome"), glued="")) as ws:
        assert ws.receive() == "welcome"

    assert counted(clients) == one("ok")


CUT = {
    "code 1011": (frame(8, b"\x03\xf3broken"), "tell", "the server closed the WebSocket with code 1011"),
    "going away": (frame(8, b"\x03\xe9"), "eof", "the server closed the WebSocket with code 1001"),
    "eof": (b"", "eof", "the server ended the connection without closing the WebSocket"),
    "reset": (b"", "reset", "the connection broke: Connection reset by peer"),
    "in a frame": (
        frame(1, b"hello")[:4],
        "eof",
        "the server ended the connection without closing the WebSocket",
    ),
}


@pytest.mark.parametrize("how", ["seen", "caught", "unseen"])
@pytest.mark.parametrize("case", CUT)
def test_a_connection_that_ends_too_soon_has_failed(clients, blunt, user, case, how):
    """Whether the scenario meets it, makes nothing of it, or has left before."""
    frames, end, text = CUT[case]
    path = blunt.path(frames, end=end)
    if how == "seen":
        with pytest.raises(WebSocketError, match=text) as raised, user.websocket(path) as ws:
            ws.receive()
        assert type(raised.value.__cause__) is ConnectionLostError
    elif how == "caught":
        with user.websocket(path) as ws:
            with pytest.raises(ConnectionLostError, match=text):
                ws.receive()
            with pytest.raises(ConnectionLostError):
                ws.receive()
            with pytest.raises(ConnectionLostError):
                ws.send("late")
    else:
        with user.websocket(path) as ws:
            ws._channel._reader.join()

    assert counted(clients) == one("failed", text)


@pytest.mark.parametrize("body", [b"\x03\xe8", b""], ids=["1000", "no code"])
@pytest.mark.parametrize("end", ["tell", "eof"])
def test_a_server_that_closes_in_order_has_not_failed(clients, blunt, user, body, end):
    """Messages before it are given, and then the end; if the scenario takes that for the end, all is well."""
    with user.websocket(blunt.path(frame(1, b"last") + frame(8, body), end=end)) as ws:
        assert ws.receive() == "last"
        with pytest.raises(ConnectionLostError, match="the server closed the WebSocket with"):
            ws.receive()

    assert counted(clients) == one("ok")


def test_a_message_that_the_scenario_still_wanted_is_missing(clients, speaker):
    """An orderly end is a failure where it leaves the block as an error."""
    text = "the server closed the WebSocket with code 1000"
    with pytest.raises(WebSocketError, match=text), clients(speaker).user.websocket("/") as ws:
        ws.round_trip("close 1000")

    assert counted(clients) == one("failed", text)


GARBAGE = {
    "http": (b"HTTP/1.1 200 OK\r\n\r\n", "a frame of no known kind"),
    "reserved bit": (bytes([0xC1, 1, 65]), "a frame of no known kind"),
    "unknown kind": (bytes([0x83, 0]), "a frame of no known kind"),
    "masked": (bytes([0x81, 0x81, 1, 2, 3, 4, 64]), "a masked frame"),
    "beyond all": (bytes([0x82, 0x7F]) + b"\x7f" * 8, "a frame of more than 64 MiB"),
    "control in parts": (bytes([0x09, 0]), "a control frame in parts or too long"),
    "long control": (bytes([0x89, 0x7E, 0, 126]), "a control frame in parts or too long"),
    "no utf-8": (frame(1, b"\xff"), "text that is no UTF-8"),
    "continuation of nothing": (frame(0, b"x"), "a frame out of order"),
    "a message in a message": (frame(1, b"x", fin=False) + frame(2, b"y"), "a frame out of order"),
    "half a close code": (frame(8, b"x"), "Invalid close frame."),
    "a close code that is none": (frame(8, b"\x03\xed"), "Invalid close opcode 1005"),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_bytes_that_are_no_messages_end_the_connection(clients, blunt, user, case):
    """Said at once, as one failure, and nothing is received after it."""
    frames, what = GARBAGE[case]
    with user.websocket(blunt.path(frames + frame(1, b"after"), end="silent")) as ws:
        for _ in range(2):
            with pytest.raises(MalformedAnswerError, match=what):
                ws.receive()

    assert counted(clients) == one("failed", f"the WebSocket breaks the protocol: {what}")


WITH = (
    "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n%s\r\n"
)
NO_UPGRADE = {
    "refused": ("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", HttpStatusError, "HTTP 403"),
    "a page": ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", RequestError, "no WebSocket: HTTP 200"),
    "a redirect": ("HTTP/1.1 302 No\r\nLocation: /\r\n\r\n", RequestError, "no WebSocket: HTTP 302"),
    "another key": (
        WITH.replace("{accept}", "{accept}=") % "",
        MalformedAnswerError,
        "Sec-WebSocket-Accept is wrong",
    ),
    "no key": (WITH.replace("-Accept", "-X") % "", MalformedAnswerError, "Sec-WebSocket-Accept is wrong"),
    "another protocol": (WITH.replace("websocket", "h2c", 1) % "", MalformedAnswerError, "Upgrade is wrong"),
    "no Connection": (WITH.replace(": Upgrade", ": close") % "", MalformedAnswerError, "Connection is wrong"),
    "an extension": (
        WITH % "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        MalformedAnswerError,
        "Sec-WebSocket-Extensions is wrong",
    ),
    "a subprotocol": (
        WITH % "Sec-WebSocket-Protocol: chat\r\n",
        MalformedAnswerError,
        "Sec-WebSocket-Protocol is wrong",
    ),
    "a stranger": ("SSH-2.0-OpenSSH_9.2p1\r\n", MalformedAnswerError, "the answer is no HTTP"),
    "nothing": ("", ConnectionLostError, "closed before any byte of the answer"),
    "half a head": ("HTTP/1.1 101 OK\r\n", ConnectionLostError, "closed in the middle of the head"),
}


@pytest.mark.parametrize("case", NO_UPGRADE)
def test_an_answer_that_opens_no_websocket_is_one_failure(clients, blunt, user, case):
    """Answered or not, as any request; the block is not entered."""
    answer, kind, text = NO_UPGRADE[case]
    end = "eof" if kind is ConnectionLostError else "silent"

    with (
        pytest.raises(WebSocketError, match=text) as raised,
        user.websocket(blunt.path(answer=answer, end=end)),
    ):
        raise AssertionError("there is no connection")

    assert type(raised.value.__cause__) is kind
    whole = case not in {"a stranger", "nothing", "half a head"}
    assert counted(clients) == one("failed", str(raised.value), **{"answered" if whole else "unanswered": 1})


def test_a_real_server_refuses(clients, speaker):
    """uvicorn answers 403 when the application does not accept."""
    with pytest.raises(WebSocketError, match="HTTP 403"), clients(speaker).user.websocket("/refused"):
        raise AssertionError("there is no connection")

    assert counted(clients) == one("failed", "HTTP 403")


def test_a_refused_connection_is_no_exchange(clients):
    """Nothing went over the wire."""
    user = clients(f"http://127.0.0.1:{closed_port()}").user

    with (
        pytest.raises(WebSocketError, match="no connection: Connection refused") as raised,
        user.websocket("/"),
    ):
        raise AssertionError("there is no connection")

    assert type(raised.value.__cause__) is ConnectError
    assert counted(clients) == one("failed", "no connection: Connection refused", unconnected=1)


def test_an_answer_that_does_not_come_is_a_timeout(clients, blunt, user):
    """By the time-out of the call."""
    path = blunt.path(answer="", end="silent")

    with pytest.raises(WebSocketError, match="read timeout") as raised, user.websocket(path, timeout=0.1):
        raise AssertionError("there is no connection")

    assert type(raised.value.__cause__) is RequestTimeoutError
    assert counted(clients) == one("timeouts", "read timeout", unanswered=1)


def test_the_handshake_carries_what_every_request_carries(clients, speaker):
    """Headers of class and call, the run's mark, the user's cookies and its source address."""
    client = clients(speaker, default_headers={"X-A": "1", "X-B": "1"}, source_addresses=("127.0.0.9",))
    client.session.cookies.set("who", "me", domain="127.0.0.1")

    with client.user.websocket("/a b?c=d", headers={"x-b": "2"}, subprotocols=("v1", "v2")) as ws:
        asked = json.loads(ws.round_trip("asked"))
        assert ws.subprotocol == "v2"

    assert asked["client"] == "127.0.0.9"
    assert asked["path"] == "/a b"
    seen = {name: asked["headers"].get(name) for name in ("x-a", "x-b", "cookie", "loadproof-run", "upgrade")}
    assert seen == {
        "x-a": "1",
        "x-b": "2",
        "cookie": "who=me",
        "loadproof-run": "run-1",
        "upgrade": "websocket",
    }
    assert client.session.cookies.get("seat") == "7"


def test_tls_is_verified_as_for_all_requests(clients, authority, speaking_securely):
    """By the authorities of the class; nobody else's certificate is taken unless the class says so."""
    url = f"https://127.0.0.1:{speaking_securely}"
    for options in ({"authorities": str(authority.file)}, {"insecure": True}):
        with clients(url, **options).user.websocket(f"wss://127.0.0.1:{speaking_securely}/") as ws:
            ws.send(MEGABYTE)
            ws.send("small")
            assert ws.receive() == MEGABYTE
            assert ws.round_trip("last", matches=lambda message: message == "last") == "last"

    with pytest.raises(WebSocketError) as raised, clients(url).user.websocket("/"):
        raise AssertionError("there is no connection")

    assert type(raised.value.__cause__) is TlsError
    books = counted(clients)
    assert (books["ok"], books["failed"], books["answered"], books["unconnected"]) == (2, 1, 2, 1)


def test_a_proxy_is_asked_for_a_tunnel(clients, odd, speaker, monkeypatch):
    """Even without TLS, as RFC 6455 (4.1) says: what follows is no HTTP. The target hears no password of it."""
    proxy = odd.play([REQUEST, OPENED, TUNNEL], is_proxy=True)
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    with clients(speaker).user.websocket("/") as ws:
        asked = json.loads(ws.round_trip("asked"))

    assert "proxy-authorization" not in asked["headers"]
    [tunnel] = proxy.requests()
    assert (tunnel.method, tunnel.target) == ("CONNECT", speaker.removeprefix("http://"))
    assert tunnel.header("Proxy-Authorization") is not None
    assert counted(clients) == one("ok")


def test_no_message_in_time_leaves_the_connection_as_it_is(clients, speaker):
    """Whoever polls may catch it."""
    with clients(speaker).user.websocket("/") as ws:
        with pytest.raises(RequestTimeoutError, match="receive timeout"):
            ws.receive(timeout=0.01)
        assert ws.round_trip("still there") == "still there"

    assert counted(clients) == one("ok")


def test_no_message_in_time_is_a_timeout_if_nobody_catches_it(clients, speaker):
    """By the time-out of the call, which every wait has."""
    with pytest.raises(WebSocketError), clients(speaker).user.websocket("/", timeout=1) as ws:
        ws.receive()

    assert counted(clients) == one("timeouts", "receive timeout")


def test_a_round_trip_without_an_answer_cannot_be_hidden(clients, speaker, ledger):
    """Its time would be missing among the others: the WebSocket has failed even if the error is caught."""
    with clients(speaker).user.websocket("/", name="live") as ws:
        with pytest.raises(RequestTimeoutError):
            ws.round_trip("hush", timeout=0.01)
        assert ws.round_trip("loud") == "loud"

    assert counted(clients) == one("timeouts", "receive timeout")
    assert ledger.durations("round_trip") == {("live", 1)}


def test_what_came_before_is_no_answer(clients, blunt, user, ledger):
    """Else a push that lay there would make a round trip of no time."""
    with user.websocket(blunt.path(frame(1, b"push"), glued=""), name="live") as ws:
        assert ws._channel._news.wait(WALL_S)
        assert ws.round_trip("question") == "1 question"

    assert ledger.durations("round_trip") == set()
    assert counted(clients) == one("ok")
    assert ledger.durations("round_trip") == {("live", 1)}


def test_an_answer_is_told_from_pushes(clients, speaker):
    """The first that matches; the others are passed over."""
    with clients(speaker).user.websocket("/") as ws:
        ws.send("many 20")
        assert ws.round_trip("answer", matches=lambda message: not message.startswith("push")) == "answer"
        ws.send("end")
        assert ws.receive() == "end"

    assert counted(clients) == one("ok")


def test_a_server_that_does_not_agree_to_close_has_failed(clients, blunt, user, monkeypatch):
    """It may be gone: nobody would know otherwise."""
    monkeypatch.setattr(channel_module, "CLOSE_S", 0.05)
    with user.websocket(blunt.path(end="silent")):
        pass

    assert counted(clients) == one("timeouts", "close timeout")


def test_a_server_that_reads_nothing_is_a_timeout(clients, blunt, user):
    """What was sent in part cannot be taken back, so that nothing can follow it."""
    with user.websocket(blunt.path(end="deaf"), timeout=1) as ws:
        with pytest.raises(RequestTimeoutError, match="send timeout"):
            forever(ws.send, MEGABYTE)
        with pytest.raises(RequestTimeoutError, match="send timeout"):
            ws.send("more")

    assert counted(clients) == one("timeouts", "send timeout")


def test_messages_that_nobody_receives_do_not_fill_the_memory(clients, speaker):
    """A user that leaves megabytes unread is told so."""
    with clients(speaker).user.websocket("/") as ws:
        for _ in range(12):
            ws.send(MEGABYTE)
        ws._channel._reader.join()
        with pytest.raises(RequestError, match="more than 8 MiB of messages unread"):
            forever(ws.receive)

    assert counted(clients) == one("failed", "the scenario leaves more than 8 MiB of messages unread")


def test_one_greenlet_sends_while_another_receives(clients, speaker):
    """As a user does that listens all the time."""
    heard = []
    with clients(speaker).user.websocket("/") as ws:

        def listen():
            while len(heard) < 40:
                heard.append(ws.receive())

        listener = gevent.spawn(listen)
        for number in range(20):
            ws.send(MEGABYTE)
            ws.send(str(number))
        listener.join()

    assert heard == [message for number in range(20) for message in (MEGABYTE, str(number))]
    assert counted(clients) == one("ok")


def test_a_killed_user_leaves_an_unfinished_request(clients, speaker, ledger):
    """Its latency is that of the handshake, which was answered: its age would make it slower than any limit."""
    user = clients(speaker).user
    opened = gevent.event.Event()

    def talk():
        with user.websocket("/", name="live") as ws:
            opened.set()
            ws.receive()

    greenlet = gevent.spawn(talk)
    opened.wait()
    begun = clients.recorder.clock()
    greenlet.kill()

    assert counted(clients) == one("unfinished")
    [histogram] = [series.histogram for interval in ledger.intervals for series in interval.series.values()]
    assert histogram.max < begun
    assert ledger.durations("lifetime") == {("live", 1)}


def test_a_user_killed_in_the_handshake_leaves_an_unfinished_request(clients, blunt, user):
    """Asked and not answered."""

    def talk():
        with user.websocket(blunt.path(answer="", end="silent")):
            raise AssertionError("there is no connection")

    greenlet = gevent.spawn(talk)
    while not any(connection.doing == "read" for connection in clients.recorder.open):
        gevent.sleep(0)
    greenlet.kill()

    assert counted(clients) == one("unfinished", unanswered=1)


def test_a_run_that_ends_gives_up_what_is_open(clients, speaker):
    """The books close before the users are gone, and nothing is counted twice."""
    with clients(speaker).user.websocket("/"):
        clients.recorder.abandon_all()

    assert counted(clients) == one("unfinished")


def test_an_exception_of_the_scenarios_own_goes_on(clients, speaker):
    """The request has failed by it, and the connection is closed in order."""
    with pytest.raises(KeyError), clients(speaker).user.websocket("/"):
        raise KeyError("seat")

    assert counted(clients) == one("failed", "the scenario's `with` block raised KeyError: 'seat'")


@pytest.mark.parametrize("way", [StopUser, RescheduleTask])
def test_leaving_as_locust_allows_is_no_failure(clients, speaker, way):
    """A task may end its user or itself from within the block."""
    with pytest.raises(way), clients(speaker).user.websocket("/"):
        raise way

    assert counted(clients) == one("ok")


def test_a_living_websocket_hangs_as_little_as_an_idle_connection(clients, speaker, ledger):
    """It is in flight, and not the oldest request without an answer; its second tells that something was answered."""
    with clients(speaker).user.websocket("/") as ws:
        ws.round_trip("hello")
        clients.books()
        [living] = ledger.intervals
        assert (living.started, living.in_flight, living.oldest_us) == (1, 1, None)
        assert living.first_done_us is not None
        assert not living.series
        assert not living.stamped + living.unstamped

    assert counted(clients) == one("ok")
    assert ledger.intervals[-1].stamped == 1


def test_latency_counts_from_the_intended_start(clients, speaker, ledger):
    """In the open model a late start is part of what the target's user waited."""
    client = clients(speaker)
    client.session.intended_ns = clients.recorder.zero_ns - 3600 * 10**9
    with client.user.websocket("/"):
        pass

    assert counted(clients) == one("ok")
    [histogram] = [series.histogram for interval in ledger.intervals for series in interval.series.values()]
    assert 3600 * 10**6 < histogram.max < 3601 * 10**6 + WALL_S * 10**6
    assert client.session.intended_ns is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": "ws://"}, "names no host"),
        ({"url": "/", "headers": {"X": "a\nb"}}, "line break"),
        ({"url": "/", "timeout": 0}, "give seconds above 0"),
    ],
)
def test_wrong_arguments_are_a_failed_request(clients, arguments, text):
    """Told to the scenario, and counted: nothing went over the wire."""
    user = clients("http://127.0.0.1:9").user
    with pytest.raises(ValueError, match=text), user.websocket(**arguments):
        raise AssertionError("there is no connection")

    books = counted(clients)
    assert (books["started"], books["failed"], "answered" in books) == (1, 1, False)


def test_wrong_use_is_told(clients, speaker):
    """A message is text or bytes, a wait has an end, and a WebSocket is used in its block and once."""
    ws = clients(speaker).user.websocket("/")
    with pytest.raises(RuntimeError, match="`with` block only"):
        ws.send("early")
    with ws:
        with pytest.raises(TypeError, match="str or bytes, not dict"):
            ws.send({})
        with pytest.raises(ValueError, match="seconds above 0"):
            ws.receive(timeout=0)
        assert ws.round_trip("well") == "well"
    with pytest.raises(ConnectionLostError, match="block is over"):
        ws.send("late")
    with pytest.raises(RuntimeError, match="opened once"), ws:
        raise AssertionError("it was open before")

    assert counted(clients) == one("ok")


def events_of(host, path):
    """What plain Locust's listeners hear, and the errors of the user's tasks: one pass, then the user stops."""

    def talk(user):
        user.passes = getattr(user, "passes", 0) + 1
        if user.passes > 1:
            raise StopUser
        with user.websocket(path, name="live") as ws:
            ws.round_trip("hello")

    scenario = type("Plain", (LoadUser,), {"host": host, "tasks": [talk]})
    environment = Environment(user_classes=[scenario])
    requests, errors = [], []
    environment.events.request.add_listener(lambda **meta: requests.append(meta))
    environment.events.user_error.add_listener(lambda **meta: errors.append(meta["exception"]))
    scenario(environment).run()
    return requests, errors


def test_plain_locust_hears_of_it(speaker):
    """One event a WebSocket, with the latency of its handshake."""
    [heard], errors = events_of(speaker, "/")

    assert (heard["request_type"], heard["name"], heard["exception"]) == ("WEBSOCKET", "live", None)
    assert heard["response"].status_code == 101
    assert heard["response_time"] > 0
    assert errors == []


def test_a_failed_websocket_is_no_defect_of_the_scenario(speaker):
    """Nobody caught it: the task is over, the user goes on, and Locust hears of no exception but the request's."""
    [heard], errors = events_of(speaker, "/refused")

    assert str(heard["exception"]) == "HTTP 403"
    assert heard["response"].status_code == 403
    assert errors == []


def test_a_plans_flow_speaks(clients, speaker, ledger):
    """One pass over a real connection: what is sent, checked, captured and said again, and what fails is one failure."""
    flow = Flow(
        "Watcher",
        (
            WebSocket(
                "/live",
                (
                    Message(
                        send='{"seat": "7b"}',
                        receive="seat",
                        check="seated",
                        capture=(Capture("seat", "json", "seat"),),
                    ),
                    Loop(3, (Message(send="leave ${seat}", receive="leave 7b", check="left"),)),
                    Message(send="many 2"),
                    Message(receive="push 0", check="pushed"),
                ),
            ),
            WebSocket("/refused", (Message(send="never"),)),
        ),
    )
    environment = Environment(host=speaker)
    user = flow_class(flow)(environment)

    user.tasks[0](user)

    assert counted(clients) == {"started": 2, "ok": 1, "failed": 1, "answered": 2, "errors": ["HTTP 403"]}
    [interval] = ledger.intervals
    assert {(key.method, key.name) for key in interval.series} == {
        ("WEBSOCKET", "WEBSOCKET /live"),
        ("WEBSOCKET", "WEBSOCKET /refused"),
    }
    assert {key.check: (counts.passed, counts.failed) for key, counts in interval.checks.items()} == {
        "seated": (1, 0),
        "capture(seat)": (1, 0),
        "left": (3, 0),
        "pushed": (1, 0),
    }
    assert ledger.durations("round_trip") == {("WEBSOCKET /live", 4)}
