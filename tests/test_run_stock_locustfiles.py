"""Locustfiles as anybody writes them run unchanged under `run -f`, recorded and judged.

The files in `tests/locustfiles` are ours and show each thing that the locustfiles of Locust's documentation do.
Those of the documentation itself run in `test_run_documented_locustfiles.py`.
"""

import csv
from pathlib import Path

import pytest
from commands import loadproof, manifest, results, run_folder
from echoing import echoing

FILES = Path(__file__).parent / "locustfiles"
ERRORS = ("count >= 10", "error_ratio <= 1%")
MADE_S = 8
"""A busy machine makes an HttpUser in a tenth of a second: in a run so long that is less than the load may lack."""


def run(name, folder, *more, users=4, seconds=3, rules=("count >= 10",), **env):
    """Run one of ours for some seconds; the ended command, its results and its requests by (scenario, name, outcome)."""
    load = () if users is None else ("--users", users, "--duration", f"{seconds}s")
    with echoing() as url:
        target = () if users is None else ("--target", url)
        done = loadproof(
            *("run", "-f", FILES / f"{name}.py", *load, *target),
            *(word for rule in rules for word in ("--rule", rule)),
            *("--stop-timeout", "2s", *more),
            cwd=folder,
            API_HOST=url,
            **env,
        )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    found = {}
    for row in csv.DictReader((run_folder(folder) / "requests.csv").open()):
        key = row["scenario"], f"{row['method']} {row['name']}", row["outcome"]
        found[key] = found.get(key, 0) + int(row["requests"])
    assert sum(found.values()) == results(run_folder(folder))["accounting"]["started"]
    return done, results(run_folder(folder)), found


def log(folder):
    return (run_folder(folder) / "run.log").read_text()


def test_browsers_with_log_in_tags_task_sets_and_groups(tmp_path):
    """Every name of every kind of task is recorded under its user class; a tag that is excluded never runs."""
    done, found, requests = run("browsing", tmp_path, users=8, seconds=MADE_S, LOCUST_EXCLUDE_TAGS="never")

    assert done.returncode == 0, done.stdout
    assert found["verdict"] == "PASS"
    assert {name for scenario, name, _ in requests if scenario == "Shopper"} == {
        *("POST /login", "POST /logout", "GET /item", "GET /picture", "PUT /basket", "POST /pay"),
    }
    assert {name for scenario, name, _ in requests if scenario == "Reader"} == {
        *("GET /blog?id=[id]", "GET by attribute", "GET /missing", "GET /again"),
    }
    assert {outcome for _, _, outcome in requests} == {"ok"}
    assert requests["Shopper", "POST /login", "ok"] == 6
    assert requests["Shopper", "POST /logout", "ok"] == 6
    assert requests["Reader", "GET /blog?id=[id]", "ok"] % 3 == 0
    assert "Uncaught exception" not in log(tmp_path)


def test_apis_with_rest_parallel_requests_and_sessions_of_their_own(tmp_path):
    """What a scenario's own check refuses is a failed request, so that its rule fails: exit 3."""
    done, found, requests = run("apis", tmp_path, users=6, rules=ERRORS)

    assert (done.returncode, found["verdict"]) == (3, "FAIL")
    assert "error_ratio <= 1%" in done.stdout
    assert {(name, outcome) for scenario, name, outcome in requests if scenario == "Client"} == {
        ("POST /things", "ok"),
        ("POST /judged", "failed"),
    }
    assert {name for scenario, name, _ in requests if scenario == "Page"} == {
        *("GET /page", "GET /style.css", "GET /code.js", "GET /logo.png", "GET absolute", "GET /fresh"),
        *("OPTIONS /api", "HEAD /api", "PATCH /api", "DELETE /api"),
    }
    assert {name for scenario, name, _ in requests if scenario == "TwoSessions"} == {
        "GET /other",
        "GET /fast",
    }
    assert any("another thing was expected" in error["message"] for error in found["errors"])


def test_clients_of_other_protocols(tmp_path):
    """XML-RPC, a raw socket and timed blocks are recorded by their events, and said to be seen only at their end."""
    done, found, requests = run("protocols", tmp_path, users=6, rules=ERRORS)

    assert (done.returncode, found["verdict"]) == (3, "FAIL")
    assert {(name, outcome) for _, name, outcome in requests} == {
        ("xmlrpc divide", "ok"),
        ("xmlrpc divide", "failed"),
        ("tcp line", "ok"),
        ("block work", "ok"),
        ("block failing work", "failed"),
    }
    assert found["accounting"]["untracked"] == sum(requests.values())
    assert "untracked" in {reason["code"] for reason in found["reasons"]}


def test_events_options_messages_and_reports(tmp_path):
    """Listeners on master and worker hear everything in its order, and the exit code stays the verdict's."""
    done, found, requests = run("hooks", tmp_path, seconds=MADE_S, LOCUST_GREETING="hello")
    heard = [line.partition("TOLD ")[2] for line in done.stderr.splitlines() if line.startswith("TOLD ")]
    worker = [line.partition("TOLD ")[2] for line in log(tmp_path).splitlines() if line.startswith("TOLD ")]

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(requests) == {("Named", "GET /hello", "ok")}
    assert worker == ["worker 0", "rows 2", "start with hello", "spawned 4", "stopping", "stopped"]
    assert heard == [
        "start with hello",
        "master heard 4 names",
        "spawned 4",
        "stopping",
        "stopped",
        f"master has {sum(requests.values())} requests, 0.00 failed, True",
    ]
    assert found["verdict"] == "PASS"
    assert "the locustfile set the exit code 1" in (run_folder(tmp_path) / "events.jsonl").read_text()


def test_a_locustfile_that_ends_the_test(tmp_path):
    """`runner.quit()` in a task drains the whole run, which is INVALID then: it did not show what it was asked."""
    done, found, requests = run("leaving", tmp_path)

    assert (done.returncode, found["verdict"]) == (4, "INVALID")
    assert manifest(run_folder(tmp_path))["stop"]["by"] == "the locustfile"
    assert "stopped by the locustfile" in done.stdout
    assert {name for _, name, _ in requests} == {"GET /first", "GET /second", "GET /once", "GET /last"}
    assert requests["Ender", "GET /last", "ok"] == 10


def test_requests_that_hang_at_the_end_are_unfinished(tmp_path):
    """Whoever made them, a greenlet of the scenario's or an `on_stop`: each is ended and told, and the books close."""
    _, found, requests = run("lingering", tmp_path)

    assert "books_open" not in {reason["code"] for reason in found["reasons"]}
    assert requests["Leaver", "GET /last", "unfinished"] == 2
    assert requests["Parallel", "GET /parallel", "unfinished"] == requests["Parallel", "GET /item", "ok"]
    assert not any(error["message"] == "" for error in found["errors"])


def test_a_load_shape_and_a_host_need_no_flags(tmp_path):
    """A shape's ticks are the run's phases, and the class's host is its target."""
    _, found, requests = run("wave", tmp_path, users=None)
    load = [(phase["duration_us"], phase["users_from"], phase["users_to"]) for phase in found["plan"]["load"]]

    assert found["verdict"] == "PASS", found["reasons"]
    assert load == [(3_000_000, 0, 6), (1_000_000, 5, 5)]
    assert set(requests) == {("Swimmer", "GET /swim", "ok")}
    assert set(found["by_phase"]) == {"shape-1", "shape-2"}


def test_flags_scale_a_load_shape_as_they_do_a_plan(tmp_path):
    """`validate` shows what would run: the shape's curve, twice as high and twice as long."""
    words = ("validate", "-f", FILES / "wave.py", "--users", "12", "--duration", "8s")
    done = loadproof(*words, cwd=tmp_path, API_HOST="http://127.0.0.1:9")

    assert done.returncode == 0, done.stderr
    assert "shape-1: 0 to 12 users for 6 s" in done.stdout
    assert "against http://127.0.0.1:9" in done.stdout


SHAPES = """
from locust import HttpUser, LoadTestShape, task

class Visitor(HttpUser):
    {host}

    @task
    def look(self):
        self.client.get("/")

class Other(Visitor):
    host = "http://127.0.0.1:8"

class First(LoadTestShape):
    use_common_options = {common}

    def tick(self):
        {tick}
"""


@pytest.mark.parametrize(
    ("change", "words", "told"),
    [
        ({"tick": "return 1, 1"}, (), "First still asks for users after 24 h"),
        ({"tick": "return 1"}, (), "First fails at second 0: TypeError"),
        ({"tick": "return 1, 1, [Visitor]"}, (), "First changes the user classes at second 0"),
        ({"tick": "return None"}, (), "First asks for no users"),
        (
            {"host": "host = 'http://127.0.0.1:7'"},
            (),
            "several hosts (http://127.0.0.1:7, http://127.0.0.1:8)",
        ),
        ({"tick": "pass\n\nclass Second(First):\n    pass"}, (), "several load shapes (First, Second)"),
    ],
)
def test_a_shape_or_host_that_cannot_be_honoured_is_refused_in_words(change, words, told, tmp_path):
    """No load is made that the locustfile did not mean: exit 2, with what is wrong with it."""
    whole = {"host": "host = 'http://127.0.0.1:8'", "tick": "return None", "common": False} | change
    (tmp_path / "shaped.py").write_text(SHAPES.format(**whole))
    done = loadproof("validate", "-f", "shaped.py", *words, cwd=tmp_path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_curve_is_played_in_less_time(tmp_path):
    """`--duration` shortens a shape as a whole, ramps of a second included, and a curve becomes few phases."""
    tick = "t = self.get_run_time(); return (round(50 + 40 * math.sin(t / 200)), 100) if t < 3600 else None"
    (tmp_path / "shaped.py").write_text(
        "import math\n" + SHAPES.format(host="pass", tick=tick, common=False).replace("First", "Tide")
    )
    long = loadproof("validate", "-f", "shaped.py", cwd=tmp_path)
    short = loadproof("validate", "-f", "shaped.py", "--duration", "60s", cwd=tmp_path)

    assert (long.returncode, short.returncode) == (0, 0), long.stderr + short.stderr
    assert 10 <= long.stdout.count("shape-") <= 60
    assert 5 <= short.stdout.count("shape-") <= 60
    assert "60 s  end" in short.stdout


def test_a_shape_may_take_the_common_options(tmp_path):
    """With `use_common_options` the flags are for the shape to read, and nothing is scaled by them again."""
    tick = (
        "options = self.runner.environment.parsed_options\n"
        "        return (options.num_users, options.spawn_rate) if self.get_run_time() < options.run_time else None"
    )
    (tmp_path / "shaped.py").write_text(SHAPES.format(host="pass", tick=tick, common=True))
    done = loadproof(
        "validate",
        "-f",
        "shaped.py",
        *["--users", "6", "--spawn-rate", "2", "--duration", "9s"],
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "shape-1: 0 to 6 users for 3 s" in done.stdout
    assert "shape-2: 6 users for 6 s" in done.stdout


def test_a_plan_that_says_its_load_refuses_a_shape_beside_it(tmp_path):
    """Two loads cannot both be meant: exit 2, at the plan's line."""
    (tmp_path / "plan.yaml").write_text(
        f"name: two\ntitle: Two\nlocustfile: {FILES / 'wave.py'}\nload: [{{phase: a, duration: 1s, users: 1}}]\n"
    )
    done = loadproof("validate", "./plan.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert "brings a load shape (Wave)" in done.stderr
    assert "plan.yaml:3" in done.stderr
