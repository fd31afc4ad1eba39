"""Preflight: a target that would make a run senseless is refused before the first user, with the remedy."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest

from distributed.preflight import preflight
from loadproof.errors import TargetError


@pytest.fixture
def serve():
    """Starts a server whose /gateway/health answers a status and a body, which a callable makes when it is asked."""
    servers = []

    def start(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/gateway/health" else 404)
                self.end_headers()
                found = body() if callable(body) else body
                self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def at(shift_s):
    return (datetime.now(UTC) + timedelta(seconds=shift_s)).isoformat()


def test_a_healthy_target_tells_version_and_clock(serve):
    """Version and clock offset are taken over; an offset below a second is not worth a word."""
    url = serve(200, lambda: {"status": "ok", "version": "1.2", "time": at(0.4)})
    begin = monotonic()
    health = preflight(url, {})
    asking_us = (monotonic() - begin) * 1e6

    assert health.version == "1.2"
    assert health.clock_offset_us == pytest.approx(400_000, abs=asking_us)
    assert health.notes == ()


@pytest.mark.parametrize(("shift_s", "word"), [(90, "ahead of"), (-90, "behind")])
def test_a_clock_that_is_off_is_noted(serve, shift_s, word):
    """A minute and a half of difference is said, with its size and side."""
    url = serve(200, lambda: {"status": "ok", "time": at(shift_s)})
    begin = monotonic()
    [note] = preflight(url, {}).notes
    asking_s = monotonic() - begin

    said = re.search(r"the target's clock is (\S+) s (\w+(?: of)?) ours", note)
    assert float(said[1]) == pytest.approx(90, abs=0.05 + asking_s)
    assert said[2] == word


def test_another_hash_is_refused_with_both_values(serve):
    """A target of another constitution would refuse every request: both hashes and the remedy are told."""
    url = serve(200, {"status": "ok", "constitutional_hash": "deadbeef"})

    with pytest.raises(TargetError, match=r"'deadbeef'.*'cdd01ef066bc6cf2'.*CONSTITUTIONAL_HASH"):
        preflight(url, {"constitutional_hash": "cdd01ef066bc6cf2"})


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, {"status": "unavailable", "store": "disk full"}, "503 .*disk full"),
        (500, b"oops", "500 oops"),
        (200, {"status": "degraded"}, "'degraded'"),
    ],
)
def test_a_target_that_is_not_healthy_is_refused(serve, status, body, words):
    """What it says of itself is passed on."""
    with pytest.raises(TargetError, match=words):
        preflight(serve(status, body), {})


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"nothing here"), (200, b"<html>welcome</html>"), (200, [1])]
)
def test_a_target_without_health_is_only_asked_whether_it_answers(serve, status, body):
    """Any HTTP server can be loaded; that nothing more was checked is a note."""
    health = preflight(serve(status, body), {})

    assert health.version is None
    assert "only that" in health.notes[0]


def test_something_that_speaks_no_http_is_told():
    """A port on which another protocol answers, a Redis say, is a message and no traceback."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            connection.sendall(b"-ERR unknown command\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()

        with pytest.raises(TargetError, match="does not answer"):
            preflight(f"http://127.0.0.1:{listener.getsockname()[1]}", {})
