"""What a run leaves broken that is killed together with its keeper is told, and made whole by `loadproof stop`."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from breaking import state_of
from commands import VISITOR, kill, loadproof, processes_of, start, wait_until
from serving import serving

PLAN = """\
name: breaking
locustfile: visitor.py
target: {url}
load:
  - {{phase: steady, duration: 300s, users: 2}}
faults:
  - {{kind: switch, at: 0s, for: 300s, set: {{slow: 10ms}}}}
  - {{kind: command, at: 0s, for: 300s, command: touch broken, revert: rm broken}}
  - {{kind: memory_load, at: 0s, for: 300s, memory: 1MB}}
  - {{kind: pause, at: 1s, for: 100s}}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving(folder=tmp_path_factory.mktemp("target")) as served:
        yield served


def stages(folder):
    state = folder / "faults.json"
    return (
        {name: one["stage"] for name, one in json.loads(state.read_text()).items()} if state.is_file() else {}
    )


def words_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


@pytest.fixture
def killed(tmp_path, target):
    """The folder of a run that was killed with its keeper, when all was broken."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    (tmp_path / "plan.yaml").write_text(PLAN.format(url=target.url))
    run = start("run", "./plan.yaml", cwd=tmp_path)
    try:
        wait_until(lambda: (tmp_path / "reports").is_dir() and list((tmp_path / "reports").iterdir()))
        [folder] = (tmp_path / "reports").iterdir()
        wait_until(lambda: list(stages(folder).values()) == ["open"] * 4)
        wait_until(lambda: [state_of(pid) for pid in target.processes()] == ["T"] * len(target.processes()))
        [keeper] = [pid for pid in processes_of(folder) if b"loadproof.faults.keeper" in words_of(pid)]
        os.kill(keeper, signal.SIGSTOP)
        kill(run.pid)
        kill(keeper)
    finally:
        run.kill()
        run.communicate()
    return folder


def test_what_a_killed_run_has_left_broken_is_told_and_made_whole(tmp_path, target, killed):
    """The next run says so, `stop` reverts it once, and then there is nothing left."""
    wait_until(lambda: not processes_of(killed))
    assert [state_of(pid) for pid in target.processes()] == ["T"] * len(target.processes())
    again = loadproof("run", "-f", "visitor.py", "-t", "1s", "-H", "http://127.0.0.1:1", cwd=tmp_path)
    assert (
        f"the run of reports/{killed.name} was killed, and has left broken: switch, command, pause; "
        f"`loadproof stop reports/{killed.name}` makes it whole"
    ) in again.stdout
    done = loadproof("stop", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "whole again: switch",
        "whole again: command: its revert ended with status 0",
        "whole again: pause",
    ]
    assert all(state_of(pid) not in "Tt" for pid in target.processes())
    assert httpx.get(f"{target.url}/switches", timeout=10).json()["slow"] == "0s"
    assert not (tmp_path / "broken").exists()
    assert loadproof("stop", f"reports/{killed.name}", cwd=tmp_path).returncode == 2


def test_what_cannot_be_made_whole_is_told(tmp_path, killed):
    """What could be is, and the rest stays to be tried again."""
    (tmp_path / "broken").unlink()
    done = loadproof("stop", killed.relative_to(tmp_path), cwd=tmp_path)

    assert done.returncode == 2
    assert "command: it could not be reverted: `rm broken` ended with status 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert {name for name, stage in stages(killed).items() if stage == "open"} == {"command", "memory_load"}
    (tmp_path / "broken").touch()
    done = loadproof("stop", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "whole again: command: its revert ended with status 0\n")
