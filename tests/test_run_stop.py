"""Runs that somebody ends on purpose: with a reason, an exit code of their own, and no more load."""

import datetime
import fcntl
import os
import pty
import struct
import sys
import termios

import pytest
from commands import VISITOR, environment, loadproof, manifest, results, run_folder, start, wait_until

from distributed.run_folder import RunFolder, goes_on
from distributed.stop_request import NAME, ask_stop, is_taken
from loadproof.errors import UsageError
from loadproof.measure.journal import Journal

RUN = (
    *("run", "-f", "visitor.py", "-u", "20", "-t", "60s", "--rule", "p95 <= 2s", "--stop-timeout", "30s"),
    *("--set", "regions=[{name: east}, {name: west}]"),
)
FELT_US = 2_000_000


@pytest.fixture
def here(tmp_path):
    (tmp_path / "visitor.py").write_text(VISITOR)
    return tmp_path


def loading(here):
    """The folder of the run that was begun here, once it has users."""
    wait_until(lambda: (here / "reports").is_dir() and any((here / "reports").iterdir()))
    folder = run_folder(here)
    events = folder / "events.jsonl"
    wait_until(lambda: events.exists() and events.read_text().count('"phase"'))
    wait_until(lambda: any(Journal(path).state.last_us for path in (folder / "journals").glob("*.journal")))
    return folder


def begun_after(folder, at_us):
    """Requests that any worker began in a second of run time that began after this."""
    return sum(
        interval.started
        for path in (folder / "journals").iterdir()
        for interval in Journal(path).intervals()
        if interval.start_us >= at_us
    )


def test_stop_ends_a_run_in_order(here):
    """All workers are still within 2 s, the run exits with 5, and every report says who and why."""
    command = start(*RUN, cwd=here)
    folder = loading(here)
    stop = loadproof("stop", "--why", "the pager rang", cwd=here)
    output, _ = command.communicate(timeout=240)

    assert stop.returncode == 0, stop.stdout + stop.stderr
    assert command.returncode == 5, output
    stopped = manifest(folder)["stop"]
    assert stopped["by"] == "hand"
    assert stopped["why"].endswith(": the pager rang")
    found = results(folder)
    assert found["verdict"] == "INVALID"
    assert found["accounting"]["started"] == found["accounting"]["target_counted"] > 0
    assert begun_after(folder, 0) == found["accounting"]["started"]
    assert begun_after(folder, stopped["at_us"] + FELT_US) == 0
    for file in ("summary.md", "report.html", "junit.xml", "results.json"):
        assert "the pager rang" in (folder / file).read_text(), file


def test_a_master_that_waits_can_be_stopped(here):
    """Before any worker has come, too: nothing was run, and it exits with 5."""
    command = start("master", *RUN[1:], "--port", "0", cwd=here)
    try:
        assert "waiting" in next(line for line in command.stdout if "waiting" in line)
        stop = loadproof("stop", cwd=here)
        output, _ = command.communicate(timeout=240)
    finally:
        command.kill()

    assert stop.returncode == 0, stop.stdout + stop.stderr
    assert command.returncode == 5, output


def test_a_key_in_the_panel_stops_the_run(here):
    """At a terminal `s` does it, other keys do nothing, and the terminal is as it was."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        os.execve(sys.executable, [sys.executable, "-m", "loadproof", *RUN], environment())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    before = termios.tcgetattr(terminal)
    shown, keys = b"", [b"x", b"s"]
    while True:
        try:
            shown += os.read(terminal, 65_536)
        except OSError:
            break
        if keys and shown.count(b"20 of 20") > 2 * (2 - len(keys)):
            os.write(terminal, keys.pop(0))
        after = termios.tcgetattr(terminal)
    _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 5, shown.decode(errors="replace")
    assert b"s stops the run in order" in shown
    assert after == before
    assert manifest(run_folder(here))["stop"]["why"] == "a key in the terminal"


@pytest.fixture
def two(tmp_path):
    """Two run folders whose masters, this process, are alive."""
    now = datetime.datetime.now(datetime.UTC)
    folders = [RunFolder(tmp_path / "reports", name, now) for name in ("one", "two")]
    for folder in folders:
        folder.write_manifest(name=folder.path.name, closed=False)
        folder.plan.touch()
    yield folders
    for folder in folders:
        folder.close()


def test_stop_asks_which(two, tmp_path):
    """With two runs it stops neither, and prints the command for each; of a run that is over it says so."""
    which = loadproof("stop", cwd=tmp_path)
    two[0].close()
    over = loadproof("stop", two[0].path, cwd=tmp_path)
    nowhere = loadproof("stop", "--reports", tmp_path, cwd=tmp_path)

    assert [which.returncode, over.returncode, nowhere.returncode] == [2, 2, 2]
    assert all(f"loadproof stop reports/{folder.path.name}" in which.stderr for folder in two)
    assert "no run goes on there" in over.stderr
    assert "no run goes on in" in nowhere.stderr
    assert not (two[1].path / NAME).exists()


def test_a_wish_that_nobody_takes_is_withdrawn(two):
    """It must not end a later run in this folder."""
    ask_stop(two[0].path, "", at_once=False)

    assert not is_taken(two[0].path, 0.2)
    assert not (two[0].path / NAME).exists()


def test_a_live_run_cannot_be_gone_on_with(two):
    """`--resume` takes a folder only when its master is dead and no newer one began it."""
    with pytest.raises(UsageError, match="its master is alive"):
        RunFolder.again(two[0].path)
    two[0].close()

    assert not goes_on(two[0].path)
    two[0].write_manifest(schema_version=99)
    with pytest.raises(UsageError, match="newer loadproof"):
        RunFolder.again(two[0].path)
    two[0].write_manifest(schema_version=1)
    again = RunFolder.again(two[0].path)
    assert goes_on(two[0].path)
    again.close()
