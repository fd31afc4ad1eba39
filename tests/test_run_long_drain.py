"""A stop that drains for long: acknowledgements and what a cut held back go on meanwhile, and nothing is lost."""

import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread

import gevent
import pytest
from commands import loadproof, manifest, results, run_folder, seconds_of_load, start
from hosting import begin_master, finish
from linking import until
from relaying import Relay

from distributed.messages import WINDOW
from loadproof.measure.journal import Journal

VISITOR = """\
from locust import constant, task

from loadproof.client.user import LoadUser


class Visitor(LoadUser):
    wait_time = constant(0.1)

    @task
    def slow(self):
        self.client.get("/slow")
"""
USERS = 8
STOP_TIMEOUT_S = 60


class HeldTarget:
    """Answers no request before it is told to, and counts them."""

    def __init__(self):
        self.counted = 0
        self.answers = Event()
        counting = Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(handler):  # noqa: N805 the library's name; `self` is the target
                if handler.path == "/slow":
                    with counting:
                        self.counted += 1
                    self.answers.wait()
                handler.send_response(200)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_):  # noqa: N805 as above
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("windows", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_stop_that_drains_for_long_holds_nothing_up(tmp_path, windows):
    """In the middle of it the master has more records from after the stop than go unacknowledged, across a cut."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    loadproof("keys", "set", "--region", "local", cwd=tmp_path)
    target = HeldTarget()
    master, place = begin_master(
        *("-f", "visitor.py", "-u", USERS, "-t", "5m", "--rule", "p95 <= 60s"),
        *("--stop-timeout", f"{STOP_TIMEOUT_S}s"),
        *("--keys", "set", "--target", target.url),
        cwd=tmp_path,
    )
    relay = Relay(int(place.rpartition(":")[2]))
    keys = ("--key", "set/local-01.key", "--master-key", "set/master.pub")
    worker = start(
        *("worker", "--master", f"127.0.0.1:{relay.port}", "--region", "local", "-f", "visitor.py", *keys),
        cwd=tmp_path,
    )
    folder = run_folder(tmp_path)
    until(lambda: seconds_of_load(folder) >= 1 and target.counted >= USERS, 60)
    master.send_signal(signal.SIGINT)
    copy = folder / "journals" / "local-01-0.journal"
    until(lambda: '"stop"' in (folder / "events.jsonl").read_text())
    stopped = Journal(copy).state.intervals
    relay.stop()
    gevent.sleep(2.5)
    relay.resume()
    until(lambda: Journal(copy).state.intervals > stopped + windows * WINDOW, STOP_TIMEOUT_S - 10)
    during = Journal(copy).state

    assert during.fin is None
    assert master.poll() is None
    assert worker.poll() is None
    target.answers.set()
    until(lambda: master.poll() is not None, 90)
    until(lambda: worker.poll() is not None, 30)
    assert finish(master)[0] == 130
    assert finish(worker)[0] == 0
    target.close()
    relay.close()
    [own] = Path(tmp_path / "journals").rglob("*.journal")
    assert own.read_bytes() == copy.read_bytes()
    assert Journal(copy).state.complete
    accounting = results(folder)["accounting"]
    assert accounting["started"] == accounting["ok"] == accounting["locust_counted"] == target.counted
    assert accounting["unfinished"] == accounting["workers_lost"] == 0
    assert manifest(folder)["dropped_messages"] == 0
