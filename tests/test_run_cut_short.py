"""Runs that are stopped, killed or lose a part: nothing is called PASS, nothing is left behind."""

import contextlib
import json
import signal
import time

import psutil
import pytest
from commands import (
    VISITOR,
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
def here(tmp_path):
    (tmp_path / "visitor.py").write_text(VISITOR)
    return tmp_path


def begin(here, *more, seconds=4, duration="60s", users=20, **env):
    """Start a run and let it load for some seconds of run time."""
    command = start(
        "run",
        "-f",
        "visitor.py",
        "-u",
        users,
        "-t",
        duration,
        "--rule",
        "p95 <= 2s",
        "--stop-timeout",
        "5s",
        "--set",
        "regions=[{name: east}, {name: west}]",
        *more,
        cwd=here,
        **env,
    )
    wait_until(lambda: (here / "reports").is_dir() and any((here / "reports").iterdir()))
    folder = run_folder(here)
    wait_until(lambda: seconds_of_load(folder) >= seconds)
    return command, folder


def finish(command, seconds=120):
    output, _ = command.communicate(timeout=seconds)
    assert "Traceback" not in output, output
    return command.returncode, output


def workers(folder):
    found = []
    for pid in processes_of(folder):
        # One may end while we look.
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if "distributed.worker_process" in process.cmdline():
                found.append(process)
    return found


class Target:
    """All processes of the embedded target."""

    def __init__(self, folder):
        found = [psutil.Process(pid) for pid in processes_of(folder)]
        self.processes = [process for process in found if "target.server" in process.cmdline()]
        assert self.processes

    def suspend(self):
        for process in self.processes:
            process.suspend()

    def resume(self):
        for process in self.processes:
            process.resume()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_order(here, number, code):
    """The run drains, reports, exits with the signal's code, and is INVALID: half a plan proves nothing."""
    command, folder = begin(here)
    command.send_signal(number)
    returned, output = finish(command)

    assert returned == code, output
    found = results(folder)
    assert found["verdict"] == "INVALID"
    assert any(signal.Signals(number).name in reason["text"] for reason in found["reasons"])
    assert found["accounting"]["started"] == found["accounting"]["target_counted"]
    assert all(Journal(path).state.complete for path in (folder / "journals").iterdir())
    assert processes_of(folder) == []


def test_a_killed_worker_is_invalid_and_the_gap_is_named(here):
    """SIGKILL of one of two workers: exit 4, its gap stands in every report, the rest is all there."""
    command, folder = begin(here, duration="18s", seconds=6)
    victim = workers(folder)[0]
    name = victim.cmdline()[victim.cmdline().index("--worker") + 1]
    victim.kill()
    returned, output = finish(command)

    assert returned == 4, output
    found = results(folder)
    assert found["verdict"] == "INVALID"
    reasons = " ".join(reason["text"] for reason in found["reasons"])
    assert name in reasons
    for file in ("summary.md", "report.html", "junit.xml"):
        assert name in (folder / file).read_text(), file
    [lost] = [epoch for epoch in manifest(folder)["epochs"] if epoch["how"] == "lost"]
    assert lost["worker"] == name
    # 10 users at 20 requests/s each is more than this worker can have done in the gap that is named.
    gap_s = (
        lost["left_us"] / 1_000_000
        - Journal(folder / "journals" / f"{name}-0.journal").state.last_us / 1_000_000
    )
    accounting = found["accounting"]
    missing = accounting["target_counted"] - accounting["ok"] - accounting["failed"]
    assert 0 <= missing <= 10 * 20 * (gap_s + 1)
    assert processes_of(folder) == []


def test_a_killed_run_leaves_nothing(here):
    """SIGKILL of the command itself: workers and target leave, ports close, the workers' journals end with FIN."""
    temporary = here / "temporary"
    temporary.mkdir()
    command, folder = begin(here, TMPDIR=str(temporary))
    group = [psutil.Process(pid) for pid in processes_of(folder)]
    ports = {
        connection.laddr.port
        for process in [*group, psutil.Process(command.pid)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(workers(folder)) == 2
    assert ports
    command.kill()
    command.communicate()
    wait_until(lambda: processes_of(folder) == [])

    open_ports = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert ports & open_ports == set()
    wait_until(lambda: list(temporary.iterdir()) == [])
    own = list((folder / "worker-journals").iterdir())
    assert len(own) == 2
    assert all(Journal(path).state.complete for path in own)
    judged = loadproof("report", folder, cwd=here)
    assert judged.returncode == 4, judged.stdout + judged.stderr
    assert "Traceback" not in judged.stdout + judged.stderr


def kinds(folder):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["kind"] for line in lines if line.endswith("}")]


def interrupt_twice(command, folder):
    command.send_signal(signal.SIGINT)
    # Two that are heard at once are one.
    wait_until(lambda: "stop" in kinds(folder))
    command.send_signal(signal.SIGINT)


def stop_at_once(command, folder):
    stop = loadproof("stop", folder, "--at-once", cwd=folder)
    assert stop.returncode == 0, stop.stderr


@pytest.mark.parametrize(("end", "code"), [(interrupt_twice, 130), (stop_at_once, 5)])
def test_what_is_in_flight_can_be_ended_too(here, end, code):
    """With the target frozen and a long stop timeout the run ends at once; the hung are unfinished."""
    command, folder = begin(here, "--set", "stop_timeout=10m")
    target = Target(folder)
    target.suspend()
    time.sleep(1.5)
    end(command, folder)
    time.sleep(0.5)
    wait_until(
        lambda: (
            workers(folder) == [] or all(Journal(p).state.complete for p in (folder / "journals").iterdir())
        )
    )
    target.resume()
    returned, output = finish(command)

    assert returned == code, output
    accounting = results(folder)["accounting"]
    assert accounting["unfinished"] > 0
    assert accounting["started"] == accounting["ok"] + accounting["failed"] + accounting["unfinished"]
    answered = accounting["exchanges_answered"]
    assert answered <= accounting["target_counted"] <= answered + accounting["exchanges_unanswered"]


def test_a_target_that_stops_answering_fails_the_run(here):
    """A target frozen for a quarter of the run is FAIL (exit 3), though the requests that completed look fast."""
    command, folder = begin(here, "--rule", "p50 <= 5s", duration="32s", seconds=10)
    target = Target(folder)
    suspended_at = time.monotonic()
    target.suspend()
    time.sleep(8)
    target.resume()
    held_ms = (time.monotonic() - suspended_at) * 1_000
    returned, output = finish(command)

    assert returned == 3, output
    found = results(folder)
    assert found["verdict"] == "FAIL"
    assert found["totals"]["latency_ms"]["p95"] < 2_000
    [stall] = [rule for rule in found["rules"] if rule["statistic"] == "stall"]
    assert stall["verdict"] == "FAIL"
    assert 7_000 <= stall["value"] <= held_ms + 2_000
    assert (folder / "report.html").exists()
