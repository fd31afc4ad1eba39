"""One process, one web UI, one run after the other; and Locust's own web UI, on which ours stands."""

import gevent
import locust
import pytest
from locust.env import Environment
from locust.web import WebUI
from planning import read

from distributed.web.runs import WebRuns
from distributed.web.server import WebAddress, WebServer
from distributed.web.ui import PlanWebUI
from loadproof.errors import UsageError

PLAN = "name: one\nsuite: governance\nload: [{phase: steady, duration: 1m, users: 10}]\n"


@pytest.fixture
def plan(tmp_path):
    return read(tmp_path, PLAN)


def serve(plan, said=None, **address):
    said = [] if said is None else said
    return WebServer(WebAddress("127.0.0.1", 0, **address), plan, said.append)


def test_every_start_is_a_run_and_one_that_cannot_begin_does_not_end_the_process(plan):
    """The exit code is that of the last run; a later one that cannot begin is told of, in terminal and page."""
    said, codes = [], [5, UsageError("no worker joined within 2 s: nothing was run")]

    def once(runs):
        runs.begun()
        runs.over()
        result = codes.pop(0)
        if isinstance(result, Exception):
            raise result
        runs.failed("")
        if codes:
            gevent.spawn_later(0, runs.ask_start)
        return result

    with serve(plan, said, autostart=True, autoquit_s=0.2) as server:
        assert server.repeat(once) == 5
        assert "no worker joined" in server.runs.said
        assert server.runs.locust_state == "stopped"
    assert "no worker joined within 2 s: nothing was run" in said


def test_a_first_run_that_cannot_begin_ends_the_process(plan):
    """As it does without a web UI."""

    def once(runs):
        raise UsageError("the target does not answer")

    with serve(plan) as server, pytest.raises(UsageError, match="the target does not answer"):
        server.repeat(once)


def test_listeners_of_one_run_do_not_hear_the_next(plan):
    """What a locustfile hangs up when a run begins is taken down with it."""
    heard = []

    def once(runs):
        locust.events.init.add_listener(lambda **_: heard.append(1))
        locust.events.init.fire(environment=None)
        return 0

    with serve(plan, autoquit_s=0) as server:
        server.repeat(once)
        server.repeat(once)

    assert len(heard) == 2


def test_a_taken_port_is_bad_usage(plan):
    """Before any load, with what to do."""
    with serve(plan) as server, pytest.raises(UsageError, match="name another --web-port"):
        WebServer(WebAddress("127.0.0.1", server.port), plan, print)


def test_off_loopback_a_token_is_needed(plan):
    """A link in a terminal is for who sits at it."""
    with pytest.raises(UsageError, match="--web-token FILE"):
        WebServer(WebAddress("0.0.0.0", 0), plan, print)


def test_locusts_page_is_begun_with_all_that_it_knows(plan, monkeypatch):
    """Our words for its template are those that Locust has, of the same names, and our tabs beside."""
    monkeypatch.setattr("sys.argv", ["locust"])
    environment = Environment()
    runner = environment.create_local_runner()
    theirs = WebUI(environment, "", 0, delayed_start=True)
    ours = PlanWebUI(WebRuns(plan, autostart=False))
    ours.environment.latest = environment
    monkeypatch.setattr(type(runner), "worker_count", 0, raising=False)
    ours.update_template_args()

    assert set(ours.template_args) == set(theirs.template_args) | {"extended_tabs"}
    runner.quit()


def test_every_route_of_locust_is_known(plan):
    """A new one must be looked at before it is served: whether it changes anything during a plan."""
    routes = {rule.rule for rule in PlanWebUI(WebRuns(plan, autostart=False)).app.url_map.iter_rules()}

    assert routes == {
        *("/", "/assets/<path:path>", "/static/<path:filename>", "/login", "/swarm", "/stop", "/user"),
        *("/stats/reset", "/stats/report", "/stats/requests", "/stats/requests/csv", "/stats/failures/csv"),
        *("/stats/requests_full_history/csv", "/exceptions", "/exceptions/csv", "/tasks", "/logs"),
        *("/worker-count", "/loadproof/live", "/loadproof/<path:name>", "/runs/<run>/<name>"),
    }
