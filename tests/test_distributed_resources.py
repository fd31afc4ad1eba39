"""Resources: a busy process reads as busy, a tree includes its children, absence is None, limits are its groups'."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from distributed.cgroup import memory_limit, throttled_us
from distributed.resources import ProcessTree, Used, steal_us
from loadproof.faults import cgroup
from loadproof.faults.cgroup import usable_cores

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
    used = ProcessTree([started(BUSY).pid]).sample()

    assert used.cpu is None
    assert used.rss > 1_000_000


@pytest.mark.parametrize("code", [BUSY, PARENT])
def test_a_spinning_process_uses_its_core_even_as_a_child(started, code):
    """The share lies between what the kernel's own CPU times, read right before and right after each look, leave open."""
    root = started(code)
    tree = ProcessTree([root.pid])
    readings, share = [], None
    for pause_s in (0, 1):
        time.sleep(pause_s)
        readings.append((time.monotonic(), _cpu_seconds(root.pid)))
        share = tree.sample().cpu
        readings.append((time.monotonic(), _cpu_seconds(root.pid)))
    (first_s, first), (second_s, second), (third_s, third), (fourth_s, fourth) = readings
    least = (third - second) / (fourth_s - first_s) / usable_cores()
    most = (fourth - first) / (third_s - second_s) / usable_cores()

    assert most > least > 0
    # A clock tick at each end of two processes.
    assert least - 0.05 <= share <= most + 0.05


def test_a_process_that_is_gone_reads_as_nothing():
    """Sampling a dead tree is no error: no share, no bytes."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    tree = ProcessTree([gone.pid])
    tree.sample()

    assert tree.sample() == Used(None, None, None)


def test_a_process_that_nobody_has_waited_for_reads_as_nothing():
    """A killed process whose parent has not asked for its end uses no memory, which is None and not 0 bytes."""
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    killed.kill()
    while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    used = ProcessTree([killed.pid]).sample()
    killed.wait()

    assert used == Used(None, None, None)


def test_the_machine_has_limits():
    """Cores and memory are positive; throttling and steal are None or non-negative."""
    assert usable_cores() >= 1
    assert memory_limit() > 10**8
    for reading in (throttled_us(), steal_us()):
        assert reading is None or reading >= 0


def test_open_files_are_those_of_the_kernel(started):
    """A process that opens a hundred files more has a hundred more, and its child's count too."""
    few = started("import time\nprint(flush=True)\ntime.sleep(60)")
    many = started(
        "import subprocess, sys, time\nkept = [open('/dev/null') for _ in range(100)]\n"
        "print(flush=True)\ntime.sleep(60)"
    )
    for process, added in ((few, 0), (many, 100)):
        listed = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))

        assert ProcessTree([process.pid]).sample().open_files == listed >= added
    both = ProcessTree([few.pid, many.pid]).sample()
    assert both.open_files == sum(ProcessTree([process.pid]).sample().open_files for process in (few, many))


def test_threads_and_address_space_are_those_of_the_kernel(started):
    """Ten threads more are told, address space is at least what is resident, and `alone` leaves children out."""
    process = started(
        "import subprocess, sys, threading, time\n"
        "for _ in range(10): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(flush=True)\ntime.sleep(60)"
    )
    alone = ProcessTree([process.pid], alone=True).sample()
    both = ProcessTree([process.pid]).sample()

    assert alone.threads == len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 11
    assert both.threads == 12
    assert alone.vsz >= alone.rss
    assert both.rss > alone.rss


def test_uptime_is_that_of_the_youngest_root(started):
    """A process that takes another's place is told by an uptime that is smaller than before."""
    old, young = started(BUSY), started(BUSY)
    least = time.time() - psutil.Process(young.pid).create_time()
    both = ProcessTree([old.pid, young.pid]).sample().uptime
    most = time.time() - psutil.Process(young.pid).create_time()

    assert 0 <= least <= both <= most
    assert both <= ProcessTree([old.pid]).sample().uptime + 1


VERSION_2 = {
    "self/cgroup": "0::/system.slice/load.service\n",
    "system.slice/load.service/cpu.max": "max 100000",
    "system.slice/load.service/memory.max": "max",
    "system.slice/load.service/cpu.stat": "usage_usec 5\nthrottled_usec 9",
    "system.slice/cpu.max": "50000 100000",
    "system.slice/memory.max": "1000000",
    "system.slice/cpu.stat": "usage_usec 1\nnr_throttled 2\nthrottled_usec 1234",
}
VERSION_1 = {
    "self/cgroup": "9:name=systemd:/\n4:memory:/box\n3:cpuacct,cpu:/box\n0::/\n",
    "cpu/box/cpu.cfs_quota_us": "50000",
    "cpu/box/cpu.cfs_period_us": "100000",
    "cpu/box/cpu.stat": "nr_periods 7\nthrottled_time 1234567",
    "cpu/cpu.cfs_quota_us": "-1",
    "memory/box/memory.limit_in_bytes": "1000000",
    "memory/memory.limit_in_bytes": "9223372036854771712",
}
CONTAINER = {
    "self/cgroup": "0::/../../docker/abc\n",
    "cpu.max": "50000 100000",
    "memory.max": "1000000",
    "cpu.stat": "throttled_usec 1234",
}
FREE = {"self/cgroup": "0::/user\n", "user/cpu.max": "max 100000", "user/memory.max": "max"}


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1, CONTAINER], ids=["v2", "v1", "container"])
def test_limits_are_the_tightest_of_a_processs_control_groups(tmp_path, monkeypatch, files):
    """Half a core, a megabyte and 1,234 µs held back, whichever version tells it, and on whatever level."""
    _made_up(tmp_path, monkeypatch, files)

    assert usable_cores() == 0.5
    assert memory_limit() == 1_000_000
    assert throttled_us() == 1_234


def test_without_limits_the_machine_is_the_limit(tmp_path, monkeypatch):
    """No quota is None held back, never 0; and so is a system without control groups."""
    real = (len(os.sched_getaffinity(0)), psutil.virtual_memory().total)
    for number, files in enumerate((FREE, {"self/x": ""})):
        _made_up(tmp_path / str(number), monkeypatch, files)

        assert (usable_cores(), memory_limit()) == real
        assert throttled_us() is None


def _made_up(folder, monkeypatch, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(cgroup, "CGROUPS", folder)
    monkeypatch.setattr(cgroup, "PROC", folder)


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
