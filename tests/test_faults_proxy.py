"""The proxy of ours: what a plain socket sees of each fault on the way, and that nothing is left of it."""

import select
import socket
import threading
import time

import pytest
from breaking import way

PATIENCE_S = 60


@pytest.fixture(scope="module")
def path():
    """One proxy for all tests: each leaves it as it found it, which the next one sees."""
    with way() as made:
        yield made


def ask(connection, words=b"hello"):
    """The answer of as many bytes, and how long it took."""
    begun = time.monotonic()
    connection.sendall(words)
    answer = b""
    while len(answer) < len(words):
        more = connection.recv(65_536)
        if not more:
            break
        answer += more
    return answer, time.monotonic() - begun


def take(connection, size):
    found = 0
    while found < size and (data := connection.recv(65_536)):
        found += len(data)
    return found


def assert_whole(path):
    """A new connection is answered as if nothing stood between."""
    with path.connect() as connection:
        assert ask(connection)[0] == b"hello"


def how_it_ends(path):
    """A new connection that is spoken to until it ends."""
    try:
        with path.connect() as connection:
            while ask(connection)[0]:
                pass
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    return "in order"


def is_refused(path):
    try:
        path.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def is_silent(connection, seconds=0.3):
    """Nothing came, not even an end."""
    return not select.select([connection], [], [], seconds)[0]


def test_bytes_pass_untouched(path):
    """A megabyte and more both ways, over many connections at once, and both ends are told of each end."""
    words = bytes(range(256)) * 8_192
    found = []

    def exchange():
        with path.connect() as connection:
            threading.Thread(
                target=lambda: (connection.sendall(words), connection.shutdown(socket.SHUT_WR))
            ).start()
            received = b""
            while data := connection.recv(1 << 20):
                received += data
            found.append(received == words)

    before = len(path.echo.ends)
    threads = [threading.Thread(target=exchange) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 8
    assert path.echo.ends[before:] == [b""] * 8


def test_latency(path):
    """No answer comes before its time, jitter goes below and above, and the end of it is felt at once."""
    with path.connect() as connection:
        path.begin("latency", latency=150_000)
        assert ask(connection)[1] >= 0.15
        path.begin("latency", "more", latency=100_000, jitter=100_000)
        assert all(ask(connection)[1] >= 0.15 for _ in range(3))
        path.end("latency")
        path.begin("latency", "long", latency=60_000_000)
        path.end("more")
        connection.sendall(b"late")
        assert is_silent(connection)
        path.end("long")
        connection.settimeout(PATIENCE_S)
        assert connection.recv(10) == b"late"
    assert_whole(path)


def test_latency_keeps_the_order(path):
    """However the jitter falls, bytes come as they were sent."""
    path.begin("latency", latency=20_000, jitter=20_000)
    with path.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = b"".join(bytes([number]) * 7 for number in range(200))
        for start in range(0, len(sent), 7):
            connection.sendall(sent[start : start + 7])
        received = b""
        while len(received) < len(sent):
            received += connection.recv(4096)
    path.end("latency")

    assert received == sent


def test_bandwidth(path):
    """All connections together get no more a second than was said, and all of it when the fault is over."""
    path.begin("bandwidth", bandwidth=200_000)
    with path.connect() as one, path.connect() as other:
        begun = time.monotonic()
        for connection in (one, other):
            connection.sendall(b"big")
        assert take(one, 50_000) >= 50_000
        assert take(other, 50_000) >= 50_000
        assert time.monotonic() - begun >= 0.45
        path.end("bandwidth")
        for connection in (one, other):
            assert take(connection, 900_000) >= 900_000
    assert_whole(path)


def test_blackhole(path):
    """Neither the old connection nor a new one hears anything, and afterwards both get their answers."""
    with path.connect() as old:
        assert ask(old)[0] == b"hello"
        path.begin("blackhole")
        with path.connect() as new:
            for connection in (old, new):
                connection.sendall(b"lost?")
            assert is_silent(old)
            assert is_silent(new)
            path.end("blackhole")
            assert (old.recv(10), new.recv(10)) == (b"lost?", b"lost?")


def test_refuse(path):
    """New connections are refused, the old one goes on, and the port is the same afterwards."""
    with path.connect() as old:
        path.begin("refuse")
        with pytest.raises(ConnectionRefusedError):
            path.connect()
        assert ask(old)[0] == b"hello"
        path.end("refuse")
    assert_whole(path)


def test_reset(path):
    """The old connection and every new one end by RST."""
    with path.connect() as old:
        assert ask(old)[0] == b"hello"
        path.begin("reset")
        with pytest.raises(ConnectionResetError):
            old.recv(10)
        assert how_it_ends(path) == "reset"
        path.end("reset")
    assert_whole(path)


def test_half_open(path):
    """The target sees its end, the worker nothing at all, and a RST when the fault is over."""
    before = len(path.echo.ends)
    with path.connect() as old:
        assert ask(old)[0] == b"hello"
        path.begin("half_open")
        with path.connect() as new:
            for connection in (old, new):
                connection.sendall(b"swallowed" * 10_000)
            assert is_silent(old)
            assert is_silent(new)
            deadline = time.monotonic() + PATIENCE_S
            while len(path.echo.ends) == before:
                assert time.monotonic() < deadline
            path.end("half_open")
            for connection in (old, new):
                with pytest.raises(ConnectionResetError):
                    connection.recv(10)
    assert_whole(path)


def test_slow_close(path):
    """What was sent before the end comes at once, the end itself when its time or the fault is over."""
    with path.connect() as timed, path.connect() as freed:
        path.begin("slow_close", delay=400_000)
        begun = time.monotonic()
        timed.sendall(b"end")
        assert timed.recv(10) == b"end"
        assert timed.recv(10) == b""
        assert time.monotonic() - begun >= 0.4
        path.end("slow_close")
        path.begin("slow_close", delay=60_000_000)
        freed.sendall(b"end")
        assert freed.recv(10) == b"end"
        assert is_silent(freed)
        path.end("slow_close")
        assert freed.recv(10) == b""
    assert_whole(path)


def test_faults_end_with_the_connection_of_who_ordered_them(path):
    """A keeper that is killed leaves nothing disturbed."""
    path.begin("latency", latency=60_000_000)
    path.begin("refuse")
    with pytest.raises(ConnectionRefusedError):
        path.connect()
    path.orders._socket.close()
    path.orders._socket = None
    deadline = time.monotonic() + PATIENCE_S
    while is_refused(path):
        assert time.monotonic() < deadline
    assert_whole(path)


def test_a_target_that_is_gone_shows_as_a_reset(path):
    """The worker is not left hanging when there is nobody to carry its bytes to."""
    with way() as lonely:
        lonely.echo.listener.shutdown(socket.SHUT_RDWR)
        assert how_it_ends(lonely) == "reset"
