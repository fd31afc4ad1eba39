"""The keeper: each kind is begun and ended on the real thing, also when the keeper or who started it is killed."""

import json
import os
import signal

import httpx
import pytest
from breakable import answers, own_target
from breaking import keeping, state_of, way
from commands import wait_until
from serving import serving

from loadproof.faults.processes import marked

LONG_S = 600


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """One target: every test leaves it whole, which the next one sees."""
    with serving(folder=tmp_path_factory.mktemp("target")) as served:
        assert switches(served) == {"slow": "0s", "errors": 0.0}
        yield served


def switches(served):
    found = httpx.get(f"{served.url}/switches", timeout=10).json()
    return {name: found[name] for name in ("slow", "errors")}


def is_paused(served):
    return [state_of(pid) for pid in served.processes()] == ["T"] * len(served.processes())


def is_running(served):
    return all(state_of(pid) not in "Tt" for pid in served.processes())


def command(folder):
    """A command that breaks the folder, and one that makes it whole."""
    return {"command": f"echo breaking >&2; touch {folder}/broken", "revert": f"rm -f {folder}/broken"}


def test_faults_begin_and_end_on_the_clock(tmp_path, target):
    """Each in its time, told with the times, and the state says that nothing is open."""
    faults = [
        ("switch", 0.2, 1.2, {"set": {"slow": "10ms", "errors": 0.5}}),
        ("command", 0.3, 0.6, command(tmp_path)),
        ("pause", 1.7, 0.8, {"of": "target"}),
    ]
    httpx.put(f"{target.url}/switches", json={"errors": 0.25})
    with keeping(tmp_path, *faults, target=target.url, pids=[target.pid]) as kept:
        lines = kept.lines_to("fault_begins", "switch")
        assert switches(target) == {"slow": "10ms", "errors": 0.5}
        lines += kept.lines_to("fault_ends", "switch")
        assert switches(target) == {"slow": "0s", "errors": 0.25}
        lines += kept.lines_to("fault_begins", "pause")
        assert is_paused(target)
        lines += kept.lines()

    assert is_running(target)
    httpx.put(f"{target.url}/switches", json={"errors": 0})
    assert not (tmp_path / "broken").exists()
    assert {(line["kind"], line["who"]) for line in lines} == {
        (kind, name) for kind in ("fault_begins", "fault_ends") for name in ("switch", "command", "pause")
    }
    at_us = {(line["kind"], line["who"]): line["at_us"] for line in lines}
    for name, at_s, for_s, _ in faults:
        assert at_us["fault_begins", name] >= at_s * 1e6
        assert at_us["fault_ends", name] >= (at_s + for_s) * 1e6
    assert {record["stage"] for record in json.loads(kept.state.read_text()).values()} == {"over"}


def open_all(target, folder):
    """A pause, switches and a command that would last for long; they are all open when this is entered."""
    faults = [
        ("switch", 0, LONG_S, {"set": {"slow": "10ms"}}),
        ("command", 0, LONG_S, command(folder)),
        ("pause", 0.5, LONG_S, {"of": "target"}),
    ]
    return keeping(folder, *faults, target=target.url, pids=[target.pid])


def assert_whole(target, folder):
    assert is_running(target)
    assert switches(target) == {"slow": "0s", "errors": 0.0}
    assert not (folder / "broken").exists()


def await_open(kept, target, folder):
    assert {kept.line()["kind"] for _ in range(3)} == {"fault_begins"}
    assert is_paused(target)
    assert (folder / "broken").exists()


@pytest.mark.parametrize("how", ["SIGTERM", "its lifeline"])
def test_everything_ends_at_once_when_the_keeper_is_told(tmp_path, target, how):
    """By a signal, and when whoever started it is gone: what stands still first, for the others may need it."""
    with open_all(target, tmp_path) as kept:
        await_open(kept, target, tmp_path)
        if how == "SIGTERM":
            kept.process.send_signal(signal.SIGTERM)
        else:
            kept.cut()
        lines = kept.lines()

    assert kept.process.returncode == 0
    assert_whole(target, tmp_path)
    assert [line["kind"] for line in lines] == ["fault_ends"] * 3


def test_a_keeper_that_is_killed_leaves_what_is_open_to_the_next(tmp_path, target):
    """The other reverts it, repeats what was told, and says that each fault ended too early; so does a third."""
    with open_all(target, tmp_path) as kept:
        await_open(kept, target, tmp_path)
        kept.kill()
    assert is_paused(target)
    with open_all(target, tmp_path) as kept:
        lines = kept.lines()
    assert_whole(target, tmp_path)
    with open_all(target, tmp_path) as kept:
        again = kept.lines()

    assert sorted(map(str, again)) == sorted(map(str, lines))
    found = {(line["kind"], line["who"]) for line in lines}
    names = ("switch", "command", "pause")
    assert found == {
        (kind, name) for kind in ("fault_begins", "fault_ends", "fault_failed") for name in names
    }
    assert all("its keeper died" in line["text"] for line in lines if line["kind"] == "fault_failed")


def test_the_next_keeper_goes_on_with_what_is_still_to_come(tmp_path, target):
    """A fault that had not begun is made in its time."""
    faults = [("command", 0, LONG_S, command(tmp_path)), ("switch", 30, 1, {"set": {"slow": "10ms"}})]
    with keeping(tmp_path, *faults, target=target.url) as kept:
        assert kept.line()["kind"] == "fault_begins"
        kept.kill()
    with keeping(tmp_path, *faults, target=target.url, begun_s=29.5) as kept:
        lines = kept.lines()

    assert_whole(target, tmp_path)
    found = {(line["kind"], line["who"]): line["at_us"] for line in lines}
    assert found["fault_begins", "switch"] >= 30_000_000
    assert found["fault_ends", "switch"] >= 31_000_000
    assert ("fault_failed", "switch") not in found


def test_the_way_is_whole_as_soon_as_its_keeper_is_killed(tmp_path):
    """What was to be late by minutes passes at once."""
    with way() as path:
        faults = [("latency", 0, LONG_S, {"latency": 60_000_000})]
        with keeping(tmp_path, *faults, proxy=path.name) as kept, path.connect() as connection:
            assert kept.line()["kind"] == "fault_begins"
            connection.sendall(b"late")
            kept.kill()
            assert connection.recv(10) == b"late"


def test_a_killed_target_comes_back_at_its_address(tmp_path):
    """All of its processes are gone in between; a keeper that is killed leaves that to the next; it ends with the run."""
    with own_target(tmp_path) as (process, url, words):
        faults = [("kill", 0, LONG_S, {"of": "target"})]
        with keeping(tmp_path, *faults, target=url, pids=[process.pid], restart=words) as kept:
            assert kept.line()["kind"] == "fault_begins"
            assert process.wait(20) == -signal.SIGKILL
            assert not answers(url)
            kept.kill()
        with keeping(tmp_path, *faults, target=url, pids=[process.pid], restart=words) as kept:
            lines = {line["kind"]: line for line in kept.lines()}
            assert answers(url)
            assert (
                lines["fault_ends"]["text"] == f"started again as process {lines['target_restarted']['pid']}"
            )
        wait_until(lambda: not answers(url))


@pytest.mark.parametrize(
    ("kind", "settings", "why"),
    [
        ("switch", {"set": {"sloow": "1s"}}, "the target has no switch sloow"),
        ("switch", {"set": {"slow": "fast"}}, "was answered with 4"),
        ("pause", {"of": "target"}, "no process on this machine"),
        ("kill", {"of": "target"}, "the run has not started the target"),
        ("command", {"command": "exit 3", "revert": "true"}, "`exit 3` ended with status 3"),
        (
            "command",
            {"command": "sleep 60", "revert": "true", "timeout": 100_000},
            "had not ended after 100 ms",
        ),
        ("latency", {"latency": 1}, "there is no proxy"),
        ("restart", {"of": "target"}, "the run has not started the target"),
        ("squeeze", {"of": "target", "cores": "1"}, "no process on this machine"),
        ("partition", {"namespace": "no-such"}, "there is no network namespace no-such"),
        ("partition", {"namespace": "../../proc/self/ns/net"}, "there is no network namespace"),
        ("memory_load", {"memory": 10**15}, "of memory are wanted"),
        ("cpu_load", {"cores": "9999"}, "9999 cores are wanted"),
        ("file_load", {"size": 10**18}, "of the disk of"),
        ("file_load", {"size": 1, "folder": "/no/such"}, "the folder /no/such cannot be used"),
        ("file_load", {"size": 1, "folder": "/dev/shm"}, "the folder /dev/shm is in memory"),
    ],
)
def test_a_fault_that_cannot_be_begun_is_told(tmp_path, target, kind, settings, why):
    """One line says why, and nothing is said to have begun."""
    with keeping(tmp_path, (kind, 0, LONG_S, settings), target=target.url) as kept:
        [line] = kept.lines()

    assert line["kind"] == "fault_failed"
    assert why in line["text"]
    assert switches(target) == {"slow": "0s", "errors": 0.0}


def test_a_fault_that_cannot_be_reverted_stays_open(tmp_path):
    """It is tried again, told, and what would revert it stays on disk."""
    settings = {"command": "true", "revert": f"echo x >> {tmp_path}/tries; false"}
    with keeping(tmp_path, ("command", 0, LONG_S, settings)) as kept:
        assert kept.line()["kind"] == "fault_begins"
        kept.process.send_signal(signal.SIGTERM)
        [line] = kept.lines()

    assert line["kind"] == "fault_failed"
    assert "could not be reverted" in line["text"]
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    assert json.loads(kept.state.read_text())["command"]["stage"] == "open"


def test_a_fault_that_ends_by_itself_has_failed(tmp_path):
    """As when the kernel ends what holds memory: all is whole, but too early."""
    with keeping(tmp_path, ("memory_load", 0, LONG_S, {"memory": 1_000_000})) as kept:
        assert kept.line()["kind"] == "fault_begins"
        [process] = marked(json.loads(kept.state.read_text())["memory_load"]["undo"]["mark"])
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not process.is_alive)
        kept.process.send_signal(signal.SIGTERM)
        failed, ends = kept.lines()

    assert failed["kind"] == "fault_failed"
    assert "it ended early: its process was killed by signal 9" in failed["text"]
    assert ends["kind"] == "fault_ends"


def test_a_fault_whose_time_has_gone_is_missed(tmp_path):
    """A keeper that comes too late does not begin it, and says so."""
    settings = {"command": f"touch {tmp_path}/broken", "revert": "true"}
    with keeping(tmp_path, ("command", 2, 60, settings), begun_s=10) as kept:
        [line] = kept.lines()

    assert line["kind"] == "fault_failed"
    assert "nobody was there to begin it" in line["text"]
    assert not (tmp_path / "broken").exists()


def test_nobody_pauses_what_the_run_hangs_on(tmp_path):
    """The keeper's own ancestors are no target."""
    with keeping(tmp_path, ("pause", 0, 1, {"of": "target"}), pids=[os.getpid()]) as kept:
        [line] = kept.lines()

    assert "which the run hangs on itself" in line["text"]
