"""A container on a real Docker engine is broken in every way that we have, and whole again.

It is made of nothing but this machine's own Python.
"""

import json
import signal
import sys
from pathlib import Path

import httpx
import pytest
from breakable import (
    LONG_S,
    OF_CONTAINER,
    SHORT_S,
    Case,
    assert_whole_after_both,
    assert_whole_after_its_run,
    assert_whole_at_its_time,
)
from breaking import keeping
from commands import wait_until
from docker_engine import engine, told

from loadproof.faults import cgroup

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

NAME, PORT = "target-1", 8000
SUBNET, ADDRESS = "198.19.77.0/24", "198.19.77.9"
SETTINGS = {
    "container_pause": {},
    "container_kill": {},
    "container_disconnect": {},
    "container_limits": {"cores": "0.25", "memory": 268_435_456},
}


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """An engine in which one container serves files."""
    folder = tmp_path_factory.mktemp("docker")
    with engine(folder / "engine") as docker, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker.environment["DOCKER_HOST"])
        told(["tar", "--create", "--file", folder / "empty.tar", "--files-from", "/dev/null"])
        docker.docker("import", folder / "empty.tar", "local/empty")
        docker.docker("network", "create", "--subnet", SUBNET, "targets")
        serve = ("-m", "http.server", PORT, "--directory", "/usr")
        run(docker, NAME, *serve, options=("--network", "targets", "--ip", ADDRESS))
        wait_until(lambda: answers(LONG_S))
        yield docker


def run(docker, name, *words, options=()):
    """Start a container with this machine's Python."""
    mounts = {Path(path) for path in ("/usr", "/lib", "/lib64") if Path(path).is_dir()}
    docker.docker(
        *("run", "--detach", "--name", name, *options),
        *(f"--volume={path.resolve()}:{path}:ro" for path in {*mounts, Path(sys.base_prefix)}),
        *("--entrypoint", Path(sys.executable).resolve(), "local/empty", *words),
    )


def answers(patience_s):
    try:
        return httpx.get(f"http://{ADDRESS}:{PORT}/", timeout=patience_s, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def limits(docker):
    """Those that the kernel applies."""
    [found] = docker.inspect(NAME)
    folder = next(cgroup.folders(found["State"]["Pid"], "memory"))
    memory = [cgroup.read(folder / name) for name in ("memory.max", "memory.limit_in_bytes")]
    return cgroup.usable_cores(found["State"]["Pid"]), *filter(None, memory)


@pytest.fixture
def case(docker, kind):
    before = limits(docker)
    if kind == "container_limits":
        is_whole, is_broken = lambda: limits(docker) == before, lambda: limits(docker) == (0.25, "268435456")
    else:
        is_whole, is_broken = lambda: answers(LONG_S), lambda: not answers(SHORT_S)
    return Case({"container": NAME, **SETTINGS[kind]}, lambda: wait_until(is_whole), is_broken)


@pytest.mark.parametrize("kind", OF_CONTAINER)
def test_a_container_is_whole_when_its_run_is_killed(tmp_path, kind, case):
    """By SIGKILL, in the middle of a fault that was to last for long."""
    assert_whole_after_its_run(tmp_path, kind, case)


@pytest.mark.parametrize("kind", OF_CONTAINER)
def test_a_container_is_whole_when_its_run_and_its_keeper_are_killed(tmp_path, kind, case):
    """By SIGKILL of both, with the keeper that `loadproof stop` starts."""
    assert_whole_after_both(tmp_path, kind, case)


@pytest.mark.parametrize("kind", OF_CONTAINER)
def test_a_container_is_whole_when_its_time_has_come(tmp_path, kind, case):
    """Nobody has to tell it."""
    assert_whole_at_its_time(tmp_path, kind, case)


@pytest.mark.parametrize(
    ("kind", "settings", "why"),
    [
        ("container_pause", {"container": "target-2"}, "No such container: target-2"),
        (
            "container_disconnect",
            {"container": NAME, "network": "other"},
            "is not in the network other; it is in targets",
        ),
        ("container_limits", {"container": NAME, "memory": 1000}, "Minimum memory limit"),
    ],
)
def test_what_cannot_be_done_to_a_container_is_told(tmp_path, docker, kind, settings, why):
    """In the engine's own words; nothing has changed."""
    before = docker.inspect(NAME)[0]["HostConfig"]
    with keeping(tmp_path, (kind, 0, 600, settings)) as kept:
        [line] = kept.lines()

    assert line["kind"] == "fault_failed"
    assert why in line["text"]
    assert docker.inspect(NAME)[0]["HostConfig"]["Memory"] == before["Memory"]


def test_a_container_that_is_gone_needs_no_revert(tmp_path, docker):
    """The fault has ended early, and nothing stays to be done."""
    run(docker, "target-2", "-c", "import time; time.sleep(600)", options=("--network", "none"))
    with keeping(tmp_path, ("container_pause", 0, 600, {"container": "target-2"})) as kept:
        assert kept.line()["kind"] == "fault_begins"
        docker.docker("rm", "--force", "target-2")
        kept.process.send_signal(signal.SIGTERM)
        failed, ends = kept.lines()

    assert (failed["kind"], ends["kind"]) == ("fault_failed", "fault_ends")
    assert "it ended early" in failed["text"]
    assert json.loads(kept.state.read_text())["container_pause"]["stage"] == "over"


def test_an_engine_that_is_not_there_is_told(tmp_path, monkeypatch):
    """With where it was looked for."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with keeping(tmp_path, ("container_pause", 0, 600, {"container": NAME})) as kept:
        [line] = kept.lines()

    assert f"Docker's engine at unix://{tmp_path}/no.sock does not answer" in line["text"]
