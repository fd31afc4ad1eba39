"""Processes of a measurement: pinned to a core, read from /proc, and ended with all that they started."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

GENERATOR_CORE = 0
TARGET_CORE = 1


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    core: int | None,
    output: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[psutil.Popen]:
    """A process on one core (None: on all), its output in a file; at the end it and its descendants are gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pinned = command if core is None else ["taskset", "-c", str(core), *command]
    with output.open("wb") as file:
        process = psutil.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    try:
        yield process
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        if said := output.read_text(errors="replace")[-2_000:]:
            error.add_note(f"the end of what {command[0]} said:\n{said}")
        raise
    finally:
        end(process)


def end(process: psutil.Popen, patience: float = 15.0) -> None:
    """SIGTERM, then SIGKILL to what is left of the process and its descendants."""
    family = tree(process)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=patience)
    for survivor in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    psutil.wait_procs(left, timeout=5)
    process.wait()


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and its descendants; empty when it is gone."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time of the processes so far, all threads; a clock tick is 10 ms."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(processes: Sequence[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def wait_until(what: str, reached: Callable[[], bool], process: psutil.Popen, patience: float = 60.0) -> None:
    """RuntimeError when the process ends or the time is up before it is reached."""
    deadline = time.monotonic() + patience
    while not reached():
        if process.poll() is not None:
            raise RuntimeError(f"{what}: the process ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {patience:.0f} s")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback that nobody listened on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def fetch(url: str) -> bytes:
    """One GET, without proxies."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body
