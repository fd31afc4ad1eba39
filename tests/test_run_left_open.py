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
  - {{kind: switch, at: 4s, for: 290s, set: {{slow: 10ms}}}}
  - {{kind: command, at: 4s, for: 290s, command: touch broken, revert: rm broken}}
  - {{kind: memory_load, at: 4s, for: 290s, memory: 1MB}}
  - {{kind: pause, at: 5s, for: 280s}}
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
        wait_until(
            lambda: (tmp_path / "reports").is_dir() and list((tmp_path / "reports").iterdir()), seconds=90
        )
        [folder] = (tmp_path / "reports").iterdir()
        wait_until(lambda: list(stages(folder).values()) == ["open"] * 4, seconds=90)
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
    """The next run says so, and `stop` reverts it; what could not be stays to be tried again, and then nothing is left."""
    wait_until(lambda: not processes_of(killed))
    assert [state_of(pid) for pid in target.processes()] == ["T"] * len(target.processes())
    again = loadproof("run", "-f", "visitor.py", "-t", "1s", "-H", "http://127.0.0.1:1", cwd=tmp_path)
    assert (
        f"the run of reports/{killed.name} was killed, and has left broken: switch, command, pause; "
        f"`loadproof stop reports/{killed.name}` makes it whole"
    ) in again.stdout
    recovered = loadproof("recover", f"reports/{killed.name}", cwd=tmp_path)
    assert f"`loadproof stop reports/{killed.name}` makes it whole" in recovered.stderr
    (tmp_path / "broken").unlink()
    tried = loadproof("stop", f"reports/{killed.name}", cwd=tmp_path)
    assert tried.returncode == 2
    assert "command: it could not be reverted: `rm broken` ended with status 1" in tried.stderr
    assert "Traceback" not in tried.stderr
    assert all(state_of(pid) not in "Tt" for pid in target.processes())
    assert httpx.get(f"{target.url}/switches", timeout=60).json()["slow"] == "0s"
    (tmp_path / "broken").touch()
    done = loadproof("stop", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "whole again: command: its revert ended with status 0\n")
    assert not (tmp_path / "broken").exists()
    assert loadproof("stop", f"reports/{killed.name}", cwd=tmp_path).returncode == 2
