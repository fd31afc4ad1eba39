"""The group of a squeeze, in trees of version 1 and 2 that are made up: where it is made, and what is written there."""

import subprocess
from pathlib import Path

import pytest

from loadproof.faults import cgroup, squeeze
from loadproof.faults.fault import FaultError
from loadproof.faults.processes import Process
from loadproof.faults.squeeze import Squeeze

PID = 7
BOTH = {"cores": "0.5", "memory": 100_000_000}
V1 = {
    "7/cgroup": "3:memory:/box\n2:cpu,cpuacct:/box/inner\n",
    "cpu/box/inner/cgroup.procs": "7",
    "memory/box/cgroup.procs": "7",
}
V2 = {
    "7/cgroup": "0::/slice/unit\n",
    "slice/unit/cgroup.controllers": "cpu memory",
    "slice/unit/cgroup.procs": "7",
    "slice/unit/cgroup.subtree_control": "",
    "slice/cgroup.controllers": "cpu memory",
    "slice/cgroup.procs": "",
    "slice/cgroup.subtree_control": "memory cpu",
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A process 7, and what its control groups look like."""
    monkeypatch.setattr(cgroup, "CGROUPS", tmp_path)
    monkeypatch.setattr(cgroup, "PROC", tmp_path)
    monkeypatch.setattr(squeeze, "tree", lambda pids: [Process(pid, "1") for pid in pids])

    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def written(folder):
    [made] = folder.glob("loadproof-*")
    return {path.name: path.read_text() for path in made.iterdir()}


def test_version_1_has_a_group_a_controller_inside_that_of_the_process(machine):
    """Each with its limit and the process."""
    folder = machine(V1)
    kind = Squeeze(BOTH, (PID,))
    undo = kind.prepare()
    kind.inject(undo)

    assert written(folder / "cpu" / "box" / "inner") == {
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cgroup.procs": "7",
    }
    assert written(folder / "memory" / "box") == {"memory.limit_in_bytes": "100000000", "cgroup.procs": "7"}
    assert [group["homes"] for group in undo["groups"]] == [
        [[PID, str(folder / "cpu" / "box" / "inner")]],
        [[PID, str(folder / "memory" / "box")]],
    ]


def test_version_2_has_one_group_beside_that_of_the_process(machine):
    """A group with processes hands out no controllers, the one above does."""
    folder = machine(V2)
    kind = Squeeze(BOTH, (PID,))
    undo = kind.prepare()
    kind.inject(undo)

    assert written(folder / "slice") == {
        "cpu.max": "50000 100000",
        "memory.max": "100000000",
        "cgroup.procs": "7",
    }
    assert [group["homes"] for group in undo["groups"]] == [[[PID, str(folder / "slice" / "unit")]]]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            {**V2, "slice/cgroup.subtree_control": "cpu"},
            "no control group above process 7 hands out cpu and memory",
        ),
        ({"7/cgroup": ""}, "the control groups of process 7 cannot be seen"),
    ],
)
def test_a_group_that_cannot_be_made_is_told(machine, files, why):
    """Before anything is changed."""
    machine(files)
    with pytest.raises(FaultError, match=why):
        Squeeze(BOTH, (PID,)).prepare()


def test_what_was_born_inside_is_moved_back_too():
    """A child that the target started meanwhile is nobody's to lose, and the group is gone."""
    sleep = ("setpriv", "--pdeathsig", "KILL", "sleep", "600")
    with subprocess.Popen(sleep) as squeezed, subprocess.Popen(sleep) as born:
        try:
            kind = Squeeze({"cores": "1"}, (squeezed.pid,))
            before = next(cgroup.folders(squeezed.pid, "cpu"))
            undo = kind.prepare()
            kind.inject(undo)
            folder = Path(undo["groups"][0]["folder"])
            (folder / "cgroup.procs").write_text(str(born.pid))
            assert [next(cgroup.folders(one.pid, "cpu")) for one in (squeezed, born)] == [folder] * 2
            kind.revert(undo)
            assert [next(cgroup.folders(one.pid, "cpu")) for one in (squeezed, born)] == [before] * 2
            assert not folder.exists()
            kind.revert(undo)
        finally:
            squeezed.kill()
            born.kill()
