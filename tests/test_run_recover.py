"""A run whose master died is judged all the same, from what its workers wrote."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request

import psutil
import pytest
from commands import (
    VISITOR,
    environment,
    loadproof,
    manifest,
    processes_of,
    results,
    run_folder,
    seconds_of_load,
    start,
    wait_until,
)

from loadproof.measure.journal import Journal


@pytest.fixture
def target():
    """The reference target in a process of its own: it outlives a run that dies."""
    process = subprocess.Popen(
        [sys.executable, "-m", "target.server", "--port", "0"], stdout=subprocess.PIPE, env=environment()
    )
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.wait(timeout=60)


def begin(here, url, duration, seconds):
    """Start a run of two workers and let it load for some seconds of run time."""
    (here / "visitor.py").write_text(VISITOR)
    words = ["-f", "visitor.py", "-u", 10, "-t", duration, "-H", url, "--rule", "p95 <= 2s"]
    regions = "regions=[{name: east}, {name: west}]"
    command = start("run", *words, "--set", regions, "--rule", "resource(target.cpu) <= 100%", cwd=here)
    wait_until(lambda: (here / "reports").is_dir() and any((here / "reports").iterdir()))
    folder = run_folder(here)
    wait_until(lambda: seconds_of_load(folder) >= seconds)
    return command, folder


def recovered(here, *folders):
    done = loadproof("recover", *folders, cwd=here)
    assert "Traceback" not in done.stdout + done.stderr
    [made] = here.rglob("*-recovered/manifest.json")
    return done, made.parent


def counted(url, run):
    with urllib.request.urlopen(f"{url}/counts?run={run}", timeout=60) as answer:
        return sum(json.load(answer)["counts"].values())


def test_a_run_whose_master_was_killed_is_recovered(tmp_path, target):
    """SIGKILL of the command: every request of its workers is in the recovered books, to the target's own count."""
    command, folder = begin(tmp_path, target, "60s", 4)
    command.kill()
    command.communicate()
    wait_until(lambda: processes_of(folder) == [])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done, new = recovered(tmp_path, folder)

    assert done.returncode == 4, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    found = results(new)
    assert found["verdict"] == "INVALID"
    assert any("master died" in reason["text"] for reason in found["reasons"])
    books = found["accounting"]
    assert books["started"] == books["ok"] + books["failed"] + books["unfinished"] > 100
    answered, unanswered = books["exchanges_answered"], books["exchanges_unanswered"]
    assert answered <= counted(target, manifest(folder)["run"]) <= answered + unanswered
    assert books["workers_lost"] == 0
    for file in ("report.html", "summary.md", "junit.xml", "metrics.csv"):
        assert (new / file).is_file()


def test_a_worker_that_dies_with_its_master_leaves_a_named_gap(tmp_path, target):
    """SIGKILL of command and one worker: that epoch is torn, and no more is missing than its gap can hold."""
    command, folder = begin(tmp_path, target, "60s", 5)
    victim = next(
        process
        for pid in processes_of(folder)
        if "distributed.worker_process" in (process := psutil.Process(pid)).cmdline()
    )
    name = victim.cmdline()[victim.cmdline().index("--worker") + 1]
    victim.kill()
    command.kill()
    command.communicate()
    wait_until(lambda: processes_of(folder) == [])
    done, new = recovered(tmp_path, folder)

    assert done.returncode == 4, done.stdout + done.stderr
    assert f"{name}-0.journal has no FIN" in done.stderr
    found = results(new)
    assert any(reason["code"] == "torn_epoch" and name in reason["text"] for reason in found["reasons"])
    # The torn worker's 5 users make 20 requests a second at most, and it wrote an interval a second.
    missing = (
        counted(target, manifest(folder)["run"]) - found["accounting"]["ok"] - found["accounting"]["failed"]
    )
    assert 0 <= missing <= found["accounting"]["unfinished"] + 5 * 20 * 2


def test_workers_journals_alone_give_the_verdict_of_the_whole_run(tmp_path, target):
    """Verdict, rules and totals are those of the master that lived; only what it alone knew has no data."""
    command, folder = begin(tmp_path, target, "22s", 2)
    (tmp_path / "dead").mkdir()
    for name in ("manifest.json", "plan.yaml"):
        shutil.copy(folder / name, tmp_path / "dead")
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in (folder / "worker-journals").iterdir():
        # The same file by another name: the run removes its own at the end.
        os.link(path, kept / path.name)
    output, _ = command.communicate(timeout=90)
    assert command.returncode == 0, output
    assert not (folder / "worker-journals").exists()
    assert {Journal(path).state.complete for path in kept.iterdir()} == {True}
    done, new = recovered(tmp_path, tmp_path / "dead", kept)

    lived, found = results(folder), results(new)
    of_master = "resource(target.cpu) <= 100%"
    assert [rule for rule in found["rules"] if rule["rule"] != of_master] == [
        rule for rule in lived["rules"] if rule["rule"] != of_master
    ]
    [lost] = [rule for rule in found["rules"] if rule["rule"] == of_master]
    assert lost["verdict"] == "NO_DATA"
    assert done.returncode == 4, "a rule without data is INVALID"
    for table in ("totals", "by_scenario", "by_region", "by_name", "by_phase", "checks"):
        assert found[table] == lived[table], table
    assert found["accounting"]["target_counted"] is None
    assert lived["accounting"]["target_counted"] == found["accounting"]["exchanges_answered"]

    shutil.copy(folder / "samples.jsonl", tmp_path / "dead")
    shutil.rmtree(new)
    done, new = recovered(tmp_path, tmp_path / "dead", kept)
    assert results(new)["rules"] == lived["rules"]
    assert (done.returncode, results(new)["verdict"]) == (0, lived["verdict"]), done.stdout + done.stderr


def test_what_cannot_be_recovered_is_told_without_a_traceback(tmp_path):
    """No folder, and a folder without a plan, are exit code 2 and one message."""
    for folder, said in (("nothing", "there is no such folder"), (".", "no plan.yaml")):
        done = loadproof("recover", folder, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
