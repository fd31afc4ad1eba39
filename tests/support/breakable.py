"""The real part that each kind of fault breaks, for tests that do the same with every kind.

Each is a context manager of a folder and a target that gives a Case.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from breaking import keeping, mastering, state_of, way
from commands import wait_until
from namespaces import routed
from ports import free_port

from distributed.left_open import ENDED_BY_THE_KERNEL
from loadproof.faults import cgroup
from loadproof.faults.processes import marked

SHORT_S, LONG_S = 0.5, 20
"""How long something is given to pass that must not, and that must."""


@dataclass
class Case:
    settings: dict
    is_whole: Callable
    is_broken: Callable
    parts: dict = field(default_factory=dict)
    """What the keeper is told of them."""
    is_gone: Callable | None = None
    """Where the part ends with its run: whether it has."""


def assert_whole_after_its_run(folder, kind, case):
    """Its run is killed in the middle of a fault that was to last for long."""
    assert case.is_whole()
    with mastering(folder, (kind, 0, 600, case.settings), **case.parts) as kept:
        lines = [kept.line()]
        if lines[0]["kind"] == "target_restarted":
            lines = [kept.line()]
        assert lines[0]["kind"] == "fault_begins", lines
        wait_until(case.is_broken)
        kept.kill()
        lines += kept.lines()
    if case.is_gone is None:
        assert case.is_whole()
    else:
        # A target that was started again ends by its own lifeline, at the same time as its keeper.
        wait_until(case.is_gone)
    assert [line["kind"] for line in lines] == ["fault_begins", "fault_ends"], lines
    assert json.loads(kept.state.read_text())[kind]["stage"] == "over"


def assert_whole_after_both(folder, kind, case):
    """Its run and its keeper are killed in one moment: the kernel makes it whole, or another keeper does."""
    with mastering(folder, (kind, 0, 600, case.settings), **case.parts) as kept:
        wait_until(lambda: kept.line()["kind"] == "fault_begins")
        wait_until(case.is_broken)
        kept.kill_with_run()
    if kind in ENDED_BY_THE_KERNEL or case.is_gone is not None:
        wait_until(case.is_gone or case.is_whole)
        return
    parts = {"target": case.parts.get("target", ""), "told": True}
    with keeping(folder, (kind, 0, 600, case.settings), **parts) as kept:
        lines = kept.lines()
        assert case.is_whole()
    assert [line["kind"] for line in lines] == ["fault_begins", "fault_ends"], lines


def assert_whole_at_its_time(folder, kind, case):
    with keeping(folder, (kind, 0.2, 0.5, case.settings), **case.parts) as kept:
        lines = [line for line in kept.lines() if line["kind"] != "target_restarted"]
        # With its keeper's lifeline a target ends that was started again.
        assert case.is_whole()
    assert [line["kind"] for line in lines] == ["fault_begins", "fault_ends"], lines
    assert lines[1]["at_us"] >= 700_000


@contextlib.contextmanager
def switched(_, target):
    def slow():
        return httpx.get(f"{target.url}/switches", timeout=LONG_S).json()["slow"]

    parts = {"target": target.url}
    yield Case({"set": {"slow": "1ms"}}, lambda: slow() == "0s", lambda: slow() == "1ms", parts)


def without(component, is_felt=lambda url: False):
    """`is_felt` is another way to see that it is gone, for one that is missed by requests only."""

    @contextlib.contextmanager
    def made(_, target):
        def is_broken():
            found = httpx.get(f"{target.url}/health", timeout=LONG_S).json()["components"][component]
            return not found["ok"] or is_felt(target.url)

        def is_whole():
            deadline = time.monotonic() + LONG_S
            while (broken := is_broken()) and time.monotonic() < deadline:
                time.sleep(0.05)
            return not broken

        yield Case({}, is_whole, is_broken, {"target": target.url})

    return made


def is_late(url):
    """Whether the target's gateway gives up on a login."""
    login = {"name": "nobody", "password": "correct horse"}
    return httpx.post(f"{url}/sessions", json=login, timeout=LONG_S).status_code == 504


@contextlib.contextmanager
def paused(_, target):
    def states():
        return {state_of(pid) for pid in target.processes()}

    parts = {"pids": [target.pid]}
    yield Case({"of": "target"}, lambda: "T" not in states(), lambda: states() == {"T"}, parts)


@contextlib.contextmanager
def killed(folder, _):
    with own_target(folder) as (process, url, words):
        parts = {"target": url, "pids": [process.pid], "restart": words}
        yield Case(
            {"of": "target"},
            lambda: answers(url),
            lambda: not answers(url),
            parts,
            lambda: process.poll() is not None and not answers(url),
        )


@contextlib.contextmanager
def restarted(folder, _):
    with own_target(folder) as (process, url, words):
        parts = {"target": url, "pids": [process.pid], "restart": words}
        yield Case(
            {"of": "target"},
            lambda: answers(url),
            lambda: process.poll() is not None and answers(url),
            parts,
            lambda: not answers(url),
        )


@contextlib.contextmanager
def squeezed(_, target):
    """The limits that the kernel applies to each process of the target."""

    def limits():
        folders = {next(cgroup.folders(pid, "memory")) for pid in target.processes()}
        memory = {
            cgroup.read(folder / name)
            for folder in folders
            for name in ("memory.max", "memory.limit_in_bytes")
            if (folder / name).exists()
        }
        return {cgroup.usable_cores(pid) for pid in target.processes()}, memory

    before = limits()
    parts = {"pids": [target.pid]}
    settings = {"of": "target", "cores": "0.25", "memory": 536_870_912}
    yield Case(settings, lambda: limits() == before, lambda: limits() == ({0.25}, {"536870912"}), parts)


@contextlib.contextmanager
def cut_off(*_):
    """One host of three, from one of the others: who would reach it hears nothing."""
    with routed("one", "two", "three") as network:

        def reaches():
            return [
                network.round_trip_s(other, "one", patience) is not None
                for other, patience in (("two", SHORT_S), ("three", LONG_S))
            ]

        settings = {"namespace": network.namespace("one"), "address": f"{network.address['two']}/32"}
        yield Case(settings, lambda: reaches() == [True, True], lambda: reaches() == [False, True])


@contextlib.contextmanager
def commanded(folder, _):
    broken = folder / "broken"
    settings = {"command": f"touch {broken}", "revert": f"rm -f {broken}"}
    yield Case(settings, lambda: not broken.exists(), broken.exists)


def on_the_way(**settings):
    @contextlib.contextmanager
    def made(*_):
        with way() as path:
            yield Case(
                settings,
                lambda: passes(path, LONG_S),
                lambda: not passes(path, SHORT_S),
                {"proxy": path.name},
            )

    return made


def passes(path, patience_s):
    """Whether a megabyte comes, and then the end of the connection, on a new one."""
    deadline = time.monotonic() + patience_s
    try:
        with path.connect(patience_s) as connection:
            connection.sendall(b"big")
            left = 1_000_000
            while left and time.monotonic() < deadline and (data := connection.recv(left)):
                left -= len(data)
            connection.sendall(b"end")
            return not left and connection.recv(10) == b"end" and connection.recv(10) == b""
    except OSError:
        return False


def pressed(kind, is_felt, **settings):
    """`is_felt` is asked of each process that presses."""

    @contextlib.contextmanager
    def made(folder, _):
        given = {**settings, "folder": str(folder)} if kind == "file_load" else settings
        marks = set()

        def processes():
            state = folder / "faults.json"
            if state.is_file() and (undo := json.loads(state.read_text())[kind]["undo"]):
                marks.add(undo["mark"])
            return [process.pid for mark in marks for process in marked(mark)]

        yield Case(
            given,
            lambda: not processes(),
            lambda: bool(found := processes()) and all(map(is_felt, found)),
        )
        assert not list(folder.glob("tmp*"))

    return made


def holds_memory(pid):
    told = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB$", told, re.MULTILINE)[1]) * 1024 >= 100_000_000


def uses_cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 0.2


def writes(pid):
    """More than the file is long, into a file without a name that is not longer than it may be."""
    written = re.search(r"^write_bytes: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2]
    sizes = [link.stat().st_size for link in links if "deleted" in str(link.readlink())]
    return int(written[1]) > 2_000_000 and sizes == [2_000_000]


def sends(pid):
    told = subprocess.run(["ss", "-Htnpi"], capture_output=True, text=True, check=True).stdout
    sockets = re.findall(rf"pid={pid},.*\n.*bytes_sent:(\d+)", told)
    return max(map(int, sockets), default=0) > 1_000_000


@contextlib.contextmanager
def own_target(folder):
    """A target as a run starts it, with its command, and a lifeline that ends with the block."""
    reading, writing = os.pipe()
    # It is started again at its port, which nobody may have taken meanwhile.
    words = [sys.executable, "-m", "target.server", "--host", "127.0.0.1", "--port", str(free_port())]
    process = subprocess.Popen(
        [*words, "--lifeline-fd", str(reading)],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        pass_fds=(reading,),
    )
    os.close(reading)
    try:
        yield process, json.loads(process.stdout.readline())["url"], words
    finally:
        os.close(writing)
        process.wait(60)
        process.stdout.close()


def answers(url):
    try:
        return httpx.get(f"{url}/gateway/health", timeout=LONG_S).status_code == 200
    except httpx.TransportError:
        return False


OF_CONTAINER = ("container_pause", "container_kill", "container_disconnect", "container_limits")
"""These are in a file of their own, for Docker."""
CASES = {
    "switch": switched,
    "database-down": without("database"),
    "gateway-timeout": without("gateway", is_late),
    "memory-pressure": without("memory"),
    "component-crash": without("passwords"),
    "state-corruption": without("profiles"),
    "storage-down": without("storage"),
    "config-missing": without("configuration"),
    "latency": on_the_way(latency=60_000_000),
    "bandwidth": on_the_way(bandwidth=10_000),
    "blackhole": on_the_way(),
    "refuse": on_the_way(),
    "reset": on_the_way(),
    "half_open": on_the_way(),
    "slow_close": on_the_way(delay=60_000_000),
    "pause": paused,
    "kill": killed,
    "restart": restarted,
    "squeeze": squeezed,
    "partition": cut_off,
    "command": commanded,
    "memory_load": pressed("memory_load", holds_memory, memory=100_000_000),
    "cpu_load": pressed("cpu_load", uses_cpu, cores="0.2"),
    "file_load": pressed("file_load", writes, size=2_000_000, rate=4_000_000),
    "network_load": pressed("network_load", sends, rate=4_000_000),
}
