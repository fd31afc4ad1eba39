"""What a target tells of its own size is read as numbers, and a target that does not tell is left alone."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed.resources import TOLD
from distributed.told import read_told, sample_told


class Clock:
    """A run clock that is a second later whenever it is asked for one."""

    def __init__(self):
        self.second = 0

    def seconds_until(self, at_us):
        self.second = max(self.second, at_us // 1_000_000)
        return 0.0

    def now_us(self):
        return self.second * 1_000_000


class Folder:
    """Keeps samples, and ends the sampler after so many asks."""

    def __init__(self):
        self.samples = []

    def sample(self, at_us, name, value):
        self.samples.append((at_us // 1_000_000, name, value))


@pytest.fixture
def answering():
    """Starts a server whose answers are (status, body) in their order, the last one for ever; tells URL and asks."""
    servers = []

    def start(*answers):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = answers[min(len(asked), len(answers) - 1)]
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def body(**told):
    return json.dumps({"resources": told}).encode()


def test_a_target_that_tells_is_asked_each_second(answering):
    """Its numbers are samples of `target.`, until it answers what is none; one that is ill is asked again."""
    url, asked = answering(
        (200, body(state=5, objects=7, other=1)), (503, b""), (200, body(state=None, objects=8)), (404, b"")
    )
    folder = Folder()

    sample_told(folder, Clock(), url)

    assert asked == ["/resources"] * 4
    assert folder.samples == [(0, "target.state", 5), (0, "target.objects", 7), (2, "target.objects", 8)]


@pytest.mark.parametrize(
    "answer", [(404, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"resources": [1]}'), (200, b"\xff")]
)
def test_a_target_that_does_not_tell_is_asked_once(answering, answer):
    """Whatever else it answers, it is left alone."""
    url, asked = answering(answer)
    folder = Folder()

    sample_told(folder, Clock(), url)

    assert (len(asked), folder.samples) == (1, [])


def test_what_is_sampled_elsewhere_is_left_out(answering):
    """A resource that the plan asks a Prometheus for is not the target's to tell."""
    url, _ = answering((200, body(state=5, objects=7)), (404, b""))
    folder = Folder()

    sample_told(folder, Clock(), url, {"target.state"})

    assert folder.samples == [(0, "target.objects", 7)]


def test_a_target_that_is_gone_is_asked_again():
    """A refused connection ends nothing: the target may be in a fault."""
    folder = Folder()
    sampler = gevent.spawn(sample_told, folder, Clock(), "http://127.0.0.1:1")
    sampler.join(timeout=0.2)

    assert not sampler.ready()
    sampler.kill()


@given(
    st.dictionaries(
        st.sampled_from([*TOLD, "x"]), st.none() | st.booleans() | st.text() | st.floats() | st.integers()
    )
)
def test_only_numbers_are_told(told):
    """Of whatever stands there, finite numbers under known names are taken, and nothing breaks."""
    found = read_told(json.dumps({"resources": told}).encode())

    assert set(found) <= set(TOLD)
    assert all(type(value) in {int, float} and value == told[name] for name, value in found.items())
