"""Resources: a busy process reads as busy, a tree includes its children, absence is None."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distributed.resources import ProcessTree, memory_limit, steal_us, throttled_us, usable_cores

BUSY = "import sys\nprint('up', flush=True)\nwhile True: pass"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])"


@pytest.fixture
def started():
    processes = []

    def start(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
        )
        process.stdout.readline()
        processes.append(process)
        return process

    yield start
    for process in processes:
        os.killpg(process.pid, 9)
        process.wait()


def test_the_first_reading_has_no_cpu_share(started):
    """CPU is a difference of two readings; the first one is None, not 0."""
    share, resident = ProcessTree([started(BUSY).pid]).sample()

    assert share is None
    assert resident > 1_000_000


@pytest.mark.parametrize("code", [BUSY, PARENT])
def test_a_spinning_process_uses_its_core_even_as_a_child(started, code):
    """Against the process's own CPU time from the kernel, which is the oracle, the share agrees within a tenth."""
    root = started(code)
    tree = ProcessTree([root.pid])
    tree.sample()
    begin, before = time.monotonic(), _cpu_seconds(root.pid)
    time.sleep(1)
    share, _ = tree.sample()
    expected = (_cpu_seconds(root.pid) - before) / (time.monotonic() - begin) / usable_cores()

    assert expected > 0
    assert share == pytest.approx(expected, abs=0.1)


def test_a_process_that_is_gone_reads_as_nothing():
    """Sampling a dead tree is no error: no share, no bytes."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tree = ProcessTree([gone.pid])
    tree.sample()

    assert tree.sample()[1] == 0


def test_the_machine_has_limits():
    """Cores and memory are positive; throttling and steal are None or non-negative."""
    assert usable_cores() >= 1
    assert memory_limit() > 10**8
    for reading in (throttled_us(), steal_us()):
        assert reading is None or reading >= 0


def _cpu_seconds(pid):
    """CPU time of a process and its live children, read from the kernel's files."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(entry.name) == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total
