"""A wall clock that is put on or back by ten minutes in the middle of a run, on either side of the link."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import manifest, results, run_folder, seconds_of_load, start, wait_until
from hosting import begin_master, finish

from loadproof.measure.journal import Journal

VISITOR = """\
from locust import constant, task

from loadproof.client.user import LoadUser


class Visitor(LoadUser):
    wait_time = constant(0.2)

    @task
    def health(self):
        self.client.get("/gateway/health")
"""
STEPS = {
    "none": ("worker", 0),
    "master on": ("master", 600),
    "master back": ("master", -600),
    "worker on": ("worker", 600),
    "worker back": ("worker", -600),
}
USERS = 10
SECONDS = 24
STEPPED = Path(__file__).parent / "support" / "stepped_clock"


def play(folder, side, step_s):
    """A master and its worker, one of which has its clock stepped when a third of the run is over."""
    folder.mkdir()
    (folder / "visitor.py").write_text(VISITOR)
    path = os.pathsep.join([str(STEPPED), *filter(None, [os.environ.get("PYTHONPATH")])])
    steppable = {"PYTHONPATH": path, "STEP_S": str(step_s)}
    words = ("-f", "visitor.py", "-u", USERS, "-t", f"{SECONDS}s", "--rule", "p95 <= 2s", "--workers", 1)
    master, place = begin_master(*words, cwd=folder, **(steppable if side == "master" else {}))
    words = ("worker", "--master", place, "--region", "local", "-f", "visitor.py")
    worker = start(*words, cwd=folder, **(steppable if side == "worker" else {}))
    run = run_folder(folder)
    wait_until(lambda: seconds_of_load(run) >= SECONDS // 3, seconds=120)
    if step_s:
        {"master": master, "worker": worker}[side].send_signal(signal.SIGUSR1)
    return SimpleNamespace(worker=finish(worker), master=finish(master), folder=run)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All cases at once: they wait more than they work."""
    home = tmp_path_factory.mktemp("steps")
    folders = [home / str(number) for number in range(len(STEPS))]
    with ThreadPoolExecutor(len(STEPS)) as pool:
        return dict(zip(STEPS, pool.map(play, folders, *zip(*STEPS.values(), strict=True)), strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_the_verdict_is_that_of_a_run_without_it(ran, step):
    """The same word, the same result of every rule, and exit 0 on both sides."""
    stepped, plain = results(ran[step].folder), results(ran["none"].folder)

    assert ran[step].master[0] == ran[step].worker[0] == 0, ran[step].master[1]
    assert stepped["verdict"] == plain["verdict"] == "PASS"
    assert [rule["verdict"] for rule in stepped["rules"]] == [rule["verdict"] for rule in plain["rules"]]


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_lost_or_doubled(ran, step):
    """Started, ended, Locust's total and the target's own count are one number, and nothing was dropped."""
    accounting = results(ran[step].folder)["accounting"]

    assert accounting["started"] == accounting["ok"] > USERS * SECONDS
    assert accounting["started"] == accounting["target_counted"] == accounting["locust_counted"]
    assert accounting["workers_lost"] == accounting["unfinished"] == 0
    assert manifest(ran[step].folder)["dropped_messages"] == 0


@pytest.mark.parametrize("step", STEPS)
def test_users_are_as_planned_in_every_second(ran, step):
    """No user comes, goes or pauses, and no second is missing, repeated, longer or shorter."""
    [copy] = (ran[step].folder / "journals").iterdir()
    journal = Journal(copy)
    inside = list(journal.intervals())[1 : SECONDS - 1]

    assert journal.state.complete
    assert [interval.second for interval in inside] == list(range(1, SECONDS - 1))
    assert {sum(interval.users.values()) for interval in inside} == {USERS}
    assert all(interval.started > USERS for interval in inside)
    assert max(interval.length_us for interval in inside) < 2_000_000


@pytest.mark.parametrize("step", STEPS)
def test_no_latency_is_off_by_the_step(ran, step):
    """Every request took less than two seconds, and the kernel's stamps are believed before and after."""
    [copy] = (ran[step].folder / "journals").iterdir()
    intervals = list(Journal(copy).intervals())

    assert (
        0 < max(one.histogram.max for interval in intervals for one in interval.series.values()) < 2_000_000
    )
    assert all(interval.stamped for interval in intervals[1 : SECONDS - 1])
    assert sum(interval.unstamped for interval in intervals) <= USERS
