"""Child processes and forks that end with us."""

import subprocess
import sys

import psutil

FORKING = """
import os, signal, time
from distributed.processes import take_forks_along

take_forks_along()
if (child := os.fork()) == 0:
    time.sleep(600)
print(child, flush=True)
input()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_fork_ends_with_the_worker_that_it_was_made_of():
    """However the worker ends: a copy of it that goes on would load the target after the run."""
    worker = subprocess.Popen([sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    fork = psutil.Process(int(worker.stdout.readline()))
    lived = fork.is_running()
    worker.communicate(b"\n", timeout=60)

    assert lived
    assert psutil.wait_procs([fork], timeout=60)[1] == []
