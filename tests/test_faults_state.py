"""What is open, on disk: a file that says anything else is told of, and no process but the one that is meant is touched."""

import os
import signal
import subprocess

import pytest
from breaking import state_of

from distributed.left_open import left_in, left_open
from loadproof.errors import UsageError
from loadproof.faults.fault import FaultError
from loadproof.faults.pause import Pause
from loadproof.faults.processes import await_state, tree
from loadproof.faults.squeeze import Squeeze
from loadproof.faults.state import State

OPEN = {"stage": "open", "undo": {}, "told": []}
PLAN = """\
name: breaking
suite: governance
target: http://127.0.0.1:1
load: [{phase: steady, duration: 1m, users: 1}]
faults: [{kind: pause, at: 1s, for: 10s}]
"""
DAMAGED = [
    "",
    '{"pause": {"sta',
    "[]",
    "null",
    '{"pause": 3}',
    '{"pause": {"stage": "open"}}',
    '{"pause": {"stage": ["open"], "undo": {}, "told": []}}',
    '{"pause": {"stage": "open", "undo": {}, "told": [3]}}',
    "[" * 100_000,
]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "reports" / "breaking"
    folder.mkdir(parents=True)
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "manifest.json").write_text("{}")
    State(str(folder / "faults.json")).write("pause", OPEN)
    assert [fault.name for fault in left_open(folder)] == ["pause"]
    return folder


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_state_is_told_of_and_keeps_no_other_run_from_beginning(run, text):
    """Whatever the bytes: a sentence for who asks for this run, and nothing for who begins another."""
    (run / "faults.json").write_text(text)
    with pytest.raises(UsageError, match="left open cannot be read"):
        left_open(run)
    assert left_in(run.parent) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"target": 3}', "[" * 100_000])
def test_a_damaged_manifest_beside_an_open_fault_is_told_of(run, text):
    """Where the target was is not known then: a sentence."""
    (run / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match="left open cannot be read"):
        left_open(run)


def test_a_state_of_another_run_is_told_of(run):
    """An open fault that the plan does not have is not passed over as if nothing was open."""
    State(str(run / "faults.json")).write("stranger", OPEN)
    with pytest.raises(UsageError, match=r"stranger is open, .* of another run"):
        left_open(run)


def test_only_the_process_that_was_paused_is_woken():
    """One that has its pid, but began at another time or after another boot, is left alone."""
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        try:
            os.kill(child.pid, signal.SIGSTOP)
            [process] = tree((child.pid,))
            assert await_state([process], {"T"}) == []
            ticks, boot = process.started.split()
            for stranger in (f"{int(ticks) + 1} {boot}", f"{ticks} another-boot", ticks):
                Pause(()).revert({"processes": [[child.pid, stranger]]})
                assert state_of(child.pid) == "T"
            Pause(()).revert({"processes": [list(process)]})
            assert state_of(child.pid) != "T"
        finally:
            child.kill()


def test_a_control_group_that_is_not_ours_is_left_alone(tmp_path):
    """Nothing is moved out of a group of another name, and it is not removed."""
    with pytest.raises(FaultError, match="no control group of ours"):
        Squeeze({}, ()).revert({"groups": [{"folder": str(tmp_path), "limits": {}, "homes": [[1, "/"]]}]})
    assert tmp_path.is_dir()
