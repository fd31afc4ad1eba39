"""Open plans as a user runs them: every planned start is accounted for, and a stall of the target is seen."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import VISITOR, loadproof, manifest, results, run_folder, seconds_of_load, start, wait_until
from serving import freeze, serving

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Arrivals
from loadproof.measure.journal import Journal

USERS = """\
import gevent
from locust import task

from loadproof.client.user import LoadUser


class Reader(LoadUser):
    weight = 3

    @task
    def health(self):
        self.client.get("/gateway/health")


class Writer(Reader):
    weight = 1


class Slow(LoadUser):
    weight = 0

    @task
    def rest(self):
        self.client.get("/gateway/health")
        gevent.sleep(0.2)
"""
STALL_S = 1.0


def write(folder, name, load, *more):
    (folder / "users.py").write_text(USERS)
    lines = [f"name: {name}", "locustfile: users.py", f"load: [{load}]", "seed: 7", *more]
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    return f"./{name}.yaml"


def recorded(folder):
    """What the journals hold: arrivals by (scenario, region), the pacer's lag and the users' waits."""
    arrivals, lag, wait = {}, Histogram(), Histogram()
    for path in (folder / "journals").iterdir():
        journal = Journal(path)
        for interval in journal.intervals():
            lag += interval.pacer_lag
            wait += interval.user_wait
            for key, counts in interval.arrivals.items():
                found = arrivals.setdefault((key.scenario, journal.header.region), Arrivals())
                found += counts
    return arrivals, lag, wait


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """200 starts a second for five seconds, from two regions."""
    folder = tmp_path_factory.mktemp("even")
    plan = write(
        folder,
        "even",
        "{phase: steady, duration: 5s, arrivals: 200/s, users: 80}",
        "regions: [{name: east}, {name: west}]",
        "rules: [count >= 1000, count <= 1000]",
    )
    return loadproof("run", plan, cwd=folder), run_folder(folder)


def test_every_planned_start_was_made(even):
    """A thousand starts, a thousand requests in all books, and PASS."""
    done, folder = even
    accounting = results(folder)["accounting"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert results(folder)["verdict"] == "PASS"
    assert accounting["started"] == accounting["ok"] == accounting["target_counted"] == 1000
    assert accounting["dropped_arrivals"] == 0
    assert sum(manifest(folder)["target_counts"].values()) == 1000


def test_starts_have_the_shares_of_scenarios_and_regions(even):
    """Three to one in each region, and half of them in each, to a start or two."""
    arrivals, lag, wait = recorded(even[1])
    taken = {key: counts.taken for key, counts in arrivals.items()}

    assert sum(taken.values()) == wait.count == 1000
    assert lag.count >= 1000
    for region in ("east", "west"):
        assert abs(taken["Reader", region] - 375) <= 3
        assert abs(taken["Writer", region] - 125) <= 3


def stalled(folder, load):
    """The results of a run whose target stands still for a while in the middle of it."""
    folder.mkdir()
    plan = write(folder, folder.name, load, "scenarios: {Reader: 1}", "rules: [count >= 1]")
    with serving(folder=folder) as target:
        process = start("run", plan, "--target", target.url, cwd=folder)
        wait_until(lambda: list(folder.glob("reports/*/samples.jsonl")), seconds=60)
        wait_until(lambda: seconds_of_load(run_folder(folder)) >= 1)
        assert process.poll() is None
        pids = target.processes()
        for pid in pids:
            freeze(pid)
        time.sleep(STALL_S)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return results(run_folder(folder))


def test_a_stall_is_seen_by_every_start_that_fell_into_it(tmp_path):
    """The target stands still for a second: an open plan's P99 says so, a closed one of the same rate hides it."""
    load = "{phase: steady, duration: 6s, %s}"
    loads = {
        "open": load % "arrivals: 200/s, users: 300",
        "closed": load % "users: 4, pace: 20ms",
    }
    # Each has a target of its own: which of the two runs begins first, and by how much, is the machine's affair.
    with ThreadPoolExecutor() as pool:
        found = dict(
            zip(loads, pool.map(stalled, map(tmp_path.joinpath, loads), loads.values()), strict=True)
        )
    latency = {name: one["by_scenario"]["Reader"]["latency_ms"] for name, one in found.items()}

    # 200 of the 1,200 starts fell into the stall and waited for what was left of it: P99 is 940 ms.
    assert found["open"]["totals"]["requests"] == 1200
    assert latency["open"]["p99"] > 850 * STALL_S
    assert latency["open"]["p90"] > 200 * STALL_S
    # Four requests waited, and 200 that the plan asked for were never made.
    assert found["closed"]["totals"]["requests"] < 1100
    assert latency["closed"]["max"] > 900 * STALL_S
    assert latency["closed"]["p99"] < 500 * STALL_S


def test_starts_that_find_no_user_are_dropped_and_counted(tmp_path):
    """Two users that take 200 ms for a task cannot serve 50 starts a second: every start is taken or dropped."""
    plan = write(
        tmp_path,
        "small",
        "{phase: steady, duration: 4s, arrivals: 50/s, users: 2}",
        "scenarios: {Slow: 1}",
        "stop_timeout: 500ms",
        "rules: [p95 <= 2s]",
    )
    done = loadproof("run", plan, cwd=tmp_path)
    found = results(run_folder(tmp_path))
    accounting = found["accounting"]
    [(key, counts)] = recorded(run_folder(tmp_path))[0].items()

    assert (done.returncode, found["verdict"]) == (3, "FAIL"), done.stdout
    assert key == ("Slow", "local")
    assert counts.taken + counts.no_user + counts.late == 200
    assert counts.taken == accounting["started"] == accounting["target_counted"]
    assert counts.taken <= 42
    assert counts.no_user == accounting["dropped_no_user"] >= 150
    assert accounting["differences"] == []
    assert "starts_dropped" in {reason["code"] for reason in found["reasons"]}
    assert "INVALID" not in {reason["verdict"] for reason in found["reasons"]}


@pytest.mark.parametrize(
    ("load", "key"),
    [
        ("{phase: steady, duration: 5s, arrivals: 10/s}", "arrivals"),
        ("{phase: warm, duration: 5s, users: 1}, {phase: steady, duration: 5s, users: 1, pace: 1s}", "pace"),
    ],
)
def test_users_that_ask_nobody_when_to_start_are_refused(tmp_path, load, key):
    """Before any load, with the place, the name and what to do."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    (tmp_path / "plan.yaml").write_text(f"name: stock\nlocustfile: visitor.py\nload: [{load}]\n")
    done = loadproof("run", "./plan.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert f"`{key}` says when users start their tasks" in done.stderr
    assert "plan.yaml:3:" in done.stderr
    assert "Visitor" in done.stderr
    assert "LoadUser" in done.stderr


def test_a_fixed_number_of_users_has_no_share_of_the_arrivals(tmp_path):
    """Arrivals go by weight: a class with `fixed_count` and no weight in the plan is a mistake."""
    (tmp_path / "users.py").write_text(USERS.replace("weight = 3", "fixed_count = 1"))
    load = "load: [{phase: steady, duration: 5s, arrivals: 10/s}]\n"
    (tmp_path / "plan.yaml").write_text(f"name: fixed\nlocustfile: users.py\n{load}")
    (tmp_path / "told.yaml").write_text(
        f"name: fixed\nlocustfile: users.py\n{load}scenarios: {{Reader: 1}}\n"
    )
    refused = loadproof("validate", "./plan.yaml", cwd=tmp_path)

    assert refused.returncode == 2
    assert "`fixed_count`" in refused.stderr
    assert loadproof("validate", "./told.yaml", cwd=tmp_path).returncode == 0
