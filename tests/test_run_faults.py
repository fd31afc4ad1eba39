"""Runs that break things on purpose: on the clock, in every report, and whole again however they end."""

import contextlib
import csv
import json
import signal
from pathlib import Path

import httpx
import pytest
from breaking import state_of
from commands import VISITOR, kill, loadproof, processes_of, results, run_folder, start, wait_until
from serving import serving

LOAD = (
    "name: breaking\nlocustfile: visitor.py\nload:\n  - {{phase: steady, duration: {seconds}s, users: 5}}\n"
)


def write(folder, seconds, *faults, target="embedded"):
    (folder / "visitor.py").write_text(VISITOR)
    lines = "".join(f"  - {fault}\n" for fault in faults)
    plan = LOAD.format(seconds=seconds) + f"target: {target}\nfaults:\n{lines}"
    (folder / "plan.yaml").write_text(plan)


def events(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def told(folder, *kinds):
    """{(kind, who): event} of what was told of faults."""
    kinds = kinds or ("fault_begins", "fault_ends", "fault_failed")
    return {(event["kind"], event["who"]): event for event in events(folder) if event["kind"] in kinds}


def reasons(folder):
    return [reason["text"] for reason in results(folder)["reasons"] if reason["code"] == "fault_failed"]


def keepers(folder):
    """Pids of its keepers and proxies, by their log."""
    found = {}
    for pid in processes_of(folder):
        words = []
        # One may end while we look.
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        for name in ("keeper", "proxy"):
            if f"loadproof.faults.{name}".encode() in words:
                found[name] = pid
    return found


@contextlib.contextmanager
def going(tmp_path, *flags):
    """A run that goes on; it is gone after the block, however that ends."""
    run = start("run", "./plan.yaml", *flags, cwd=tmp_path)
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def begun(tmp_path, count):
    """The folder of the run that goes on, as soon as so many faults are open."""

    def look():
        for folder in (tmp_path / "reports").glob("breaking-*"):
            if (folder / "events.jsonl").is_file() and len(told(folder, "fault_begins")) == count:
                return folder
        return None

    return wait_until(look)


def test_faults_are_made_and_reported(tmp_path):
    """They begin and end in their time, the load feels them, JSON and page show when; one that fails makes it INVALID."""
    write(
        tmp_path,
        10,
        "{kind: latency, at: 3s, for: 4s, latency: 300ms}",
        "{kind: switch, name: gateway-errors, at: 3s, for: 2s, set: {slow: 10ms}}",
        "{kind: kill, at: 7s, for: 100ms}",
        "{kind: command, at: 1s, for: 1s, command: echo no such cache; exit 3, revert: 'true'}",
    )
    done = loadproof("run", "./plan.yaml", cwd=tmp_path)
    folder = run_folder(tmp_path)
    found = results(folder)

    assert "broken on purpose: latency" in done.stdout
    assert (done.returncode, found["verdict"]) == (4, "INVALID")
    [reason] = reasons(folder)
    assert "`echo no such cache; exit 3` ended with status 3" in reason
    assert "no such cache" in (folder / "run.log").read_text()
    names = ["latency", "gateway-errors", "kill"]
    spans = told(folder, "fault_begins", "fault_ends")
    assert sorted(spans) == sorted((kind, name) for kind in ("fault_begins", "fault_ends") for name in names)
    assert spans["fault_begins", "latency"]["text"] == "latency 300 ms"
    assert sorted(fault["name"] for fault in found["faults"]) == sorted(names)
    assert found["totals"]["latency_ms"]["max"] >= 300
    with (folder / "requests.csv").open(newline="") as table:
        rows = [(row["faults"].split(), int(row["requests"])) for row in csv.DictReader(table)]
    assert sum(count for _, count in rows) == found["totals"]["requests"]
    for fault in found["faults"]:
        assert fault["requests"] == sum(count for inside, count in rows if fault["name"] in inside) > 0
    assert found["accounting"]["failed"] > 0
    assert found["accounting"]["target_counted"] is None
    assert not any(reason["code"] == "books_open" for reason in found["reasons"])
    assert "started again as process" in spans["fault_ends", "kill"]["text"]
    page = (folder / "report.html").read_text()
    assert all(name in page for name in names)
    assert processes_of(folder) == []


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A target that no run has started; each test leaves it whole."""
    with serving(folder=tmp_path_factory.mktemp("target")) as served:
        yield served


def open_all(folder, target):
    write(
        folder,
        300,
        "{kind: switch, at: 0s, for: 300s, set: {slow: 10ms}}",
        "{kind: command, at: 0s, for: 300s, command: touch broken, revert: rm -f broken}",
        "{kind: pause, at: 1s, for: 298s}",
        "{kind: latency, at: 1s, for: 298s, latency: 1s}",
        target=target.url,
    )


def is_whole(folder, target):
    return (
        all(state_of(pid) not in "Tt" for pid in target.processes())
        and httpx.get(f"{target.url}/switches", timeout=60).json()["slow"] == "0s"
        and not (folder / "broken").exists()
    )


def test_everything_is_whole_again_after_the_run_is_killed(tmp_path, target):
    """SIGKILL, and neither target nor command stays broken, nor does any process stay."""
    open_all(tmp_path, target)
    with going(tmp_path) as run:
        folder = begun(tmp_path, 4)
        assert [state_of(pid) for pid in target.processes()] == ["T"] * len(target.processes())
        assert (tmp_path / "broken").exists()
        kill(run.pid)

    wait_until(lambda: processes_of(folder) == [])
    assert is_whole(tmp_path, target)


def test_everything_is_whole_again_after_the_keeper_is_killed(tmp_path, target):
    """Another takes its place, the run goes on until it is stopped, and is INVALID for what was not as planned."""
    open_all(tmp_path, target)
    with going(tmp_path) as run:
        folder = begun(tmp_path, 4)
        kill(keepers(folder)["keeper"])
        wait_until(lambda: len(told(folder, "fault_ends")) == 4)
        assert is_whole(tmp_path, target)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=120)

    assert run.returncode == 130
    assert len(told(folder, "keeper_lost")) == 1
    assert len([text for text in reasons(folder) if "its keeper died" in text]) == 4
    assert results(folder)["verdict"] == "INVALID"


def test_a_stop_ends_faults_at_once(tmp_path, target):
    """By hand; the faults are over long before their time, and are no reason of their own."""
    open_all(tmp_path, target)
    with going(tmp_path, "--no-analysis") as run:
        folder = begun(tmp_path, 4)
        done = loadproof("stop", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        run.communicate(timeout=120)

    assert run.returncode == 5
    assert is_whole(tmp_path, target)
    ends = told(folder, "fault_ends")
    stopped_us = json.loads((folder / "manifest.json").read_text())["stop"]["at_us"]
    assert len(ends) == 4
    assert all(event["at_us"] < stopped_us + 60_000_000 for event in ends.values())
    assert told(folder, "fault_failed") == {}


@pytest.mark.parametrize(
    ("fault", "target", "said"),
    [
        (
            "{kind: switch, at: 0s, for: 1s, set: {slo: 1s}}",
            "embedded",
            "has no switch slo; did you mean `slow`?",
        ),
        ("{kind: pause, at: 0s, for: 1s}", "http://localhost:1", None),
    ],
)
def test_a_fault_that_could_not_be_made_is_refused_before_the_load(tmp_path, fault, target, said):
    """Exit 2, one line, no run folder."""
    write(tmp_path, 3, fault, target=target)
    done = loadproof("run", "./plan.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert said is None or said in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "reports").iterdir()) == []
