"""The command line as a user types it, and what a run left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from loadproof.measure.journal import Journal

VISITOR = """\
from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def health(self):
        self.client.get("/gateway/health")
"""


def environment(**more):
    """The process's environment without what would change a plan or the terminal."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOADPROOF_", "LOCUST_"))
    }
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **more}


def loadproof(*words, cwd, timeout=240, stdout=subprocess.PIPE, **env):
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "loadproof", *map(str, words)],
        cwd=cwd,
        env=environment(**env),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(*words, cwd, **env):
    """Begin a command; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "loadproof", *map(str, words)],
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_folder(cwd):
    [folder] = [path for path in (Path(cwd) / "reports").iterdir() if path.is_dir()]
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def wait_until(condition, seconds=90):
    """Wait for what must come to pass; the bound only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def processes_of(folder):
    """Pids of live processes whose command line or open folder names this path: workers, and the target by its log."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            outputs = {str(link.readlink()) for link in (entry / "fd").iterdir()}
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words) or any(
            output.startswith(str(folder)) for output in outputs
        ):
            found.append(int(entry.name))
    return found


def seconds_of_load(folder):
    """Whole seconds of run time that the master's copies of the journals hold so far, at least."""
    samples = folder / "samples.jsonl"
    lines = samples.read_text().splitlines() if samples.is_file() else []
    return max((json.loads(line)["at_us"] for line in lines if line.endswith("}")), default=0) // 1_000_000


def active_users(folder):
    """Users of each second of run time by all journals of a run, on average over what each worker took for that second, to a
    tenth of a user.

    A worker that is scheduled late closes a second late; that makes the second longer, and no more users.
    """
    active = Counter()
    for path in (folder / "journals").iterdir():
        for interval in Journal(path).intervals():
            if interval.length_us:
                active[interval.second] += sum(interval.user_us.values()) / interval.length_us
    return [round(active[second], 1) for second in range(max(active) + 1)]


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)
