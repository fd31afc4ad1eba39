"""What a command says where it cannot say or keep it all: pipes that close, disks that fill, displays that fail."""

import json
import os
import resource
import subprocess
import sys

import pytest
from commands import VISITOR, environment, loadproof, results, run_folder, seconds_of_load, start, wait_until
from echoing import echoing
from made_runs import make_requests, make_run

from distributed.run_folder import RunFolder, utc_now
from loadproof.errors import ExitCode, RunFolderError


@pytest.fixture
def judged(tmp_path):
    """A run folder that passes."""
    return make_run(tmp_path / "reports" / "made-up", make_requests())


def test_a_pipe_that_closes_is_no_success(judged, tmp_path):
    """`report --json` into a reader that is gone: nobody has read the result, so the exit code is no verdict's."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "loadproof", "report", judged, "--json"],
        cwd=tmp_path,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(writing)

    assert done.returncode == ExitCode.INTERNAL
    assert "Traceback" not in done.stderr
    assert results(judged)["verdict"] == "PASS"


def test_charts_that_cannot_be_written_take_no_verdict_away(judged, tmp_path):
    """A file in the place of the charts' folder: the verdict and its exit code stand, and a warning says why."""
    (tmp_path / "charts").write_text("a file")
    done = loadproof("report", judged, "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "PASS"
    assert "warning: there are no charts" in done.stderr
    assert (judged / "report.html").is_file()


def test_what_a_locustfile_prints_is_not_in_the_json(tmp_path):
    """Standard output is the results and nothing else, whatever is printed at import or in a listener."""
    (tmp_path / "loud.py").write_text(VISITOR + "\n\nprint('loud at import')\n")
    with echoing() as url:
        words = (
            "run",
            "-f",
            "loud.py",
            "--target",
            url,
            "--duration",
            "2s",
            "--json",
            "--rule",
            "count >= 1",
        )
        done = loadproof(*words, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "PASS"
    assert "loud at import" in done.stderr


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: folder.event(None, "note", "text"),
        lambda folder: folder.sample(0, "target.cpu", 0.5),
        lambda folder: folder.write_manifest(run="full"),
    ],
    ids=["event", "sample", "manifest"],
)
def test_a_full_disk_under_the_run_folder_is_said_with_its_place(write, tmp_path):
    """What the master cannot write is one message: where, why, and where the workers' own measurements are."""
    folder = RunFolder(tmp_path, "full", utc_now())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(RunFolderError, match="cannot be written: File too large") as raised:
            write(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        folder.close()

    assert str(folder.path) in str(raised.value)
    assert str(folder.worker_journals) in str(raised.value)
    assert not list(folder.path.glob("*.new"))


def test_a_disk_that_fills_under_the_master_ends_in_words(tmp_path):
    """A run whose master can write no more is never called good, and the command ends by itself."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    with echoing() as url:
        words = ("run", "-f", "visitor.py", "--target", url, "--duration", "6s", "--stop-timeout", "1s")
        command = start(*words, "--rule", "count >= 1", cwd=tmp_path)
        wait_until(lambda: (tmp_path / "reports").is_dir() and any((tmp_path / "reports").iterdir()))
        folder = run_folder(tmp_path)
        wait_until(lambda: seconds_of_load(folder) >= 2)
        resource.prlimit(command.pid, resource.RLIMIT_FSIZE, (0, 0))
        output, _ = command.communicate(timeout=90)

    assert command.returncode == ExitCode.USAGE, output
    assert "cannot be written: File too large; free space there" in output
    assert "Traceback" not in output


FAILING_DISPLAY = """
import sys
from loadproof.cli import main, panel

shown = []

def show(self, view):
    shown.append(view)
    if len(shown) == 3:
        raise {error}

panel.LivePanel.show = show
try:
    main()
finally:
    print("SHOWN", len(shown))
"""


@pytest.mark.parametrize(
    "error", [pytest.param("RuntimeError('no terminal')", marks=pytest.mark.long), "SystemExit(1)"]
)
def test_a_display_that_fails_does_not_end_a_run(error, tmp_path):
    """The display is asked no more, its failure stands in the log, and the verdict is the run's."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    with echoing() as url:
        words = ("run", "-f", "visitor.py", "--target", url, "--duration", "3s", "--rule", "count >= 1")
        done = subprocess.run(
            [sys.executable, "-c", FAILING_DISPLAY.format(error=error), *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert results(run_folder(tmp_path))["verdict"] == "PASS"
    assert done.stdout.splitlines()[-1] == "SHOWN 3"
    assert "the display failed" in (run_folder(tmp_path) / "run.log").read_text()
