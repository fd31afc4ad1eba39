"""A disk that fails under a journal: the run is INVALID and says whose, or it lost nothing."""

import resource

import psutil
import pytest
from commands import (
    VISITOR,
    loadproof,
    processes_of,
    results,
    run_folder,
    seconds_of_load,
    start,
    wait_until,
)
from echoing import echoing
from failing_disk import FOREVER, failing_disk

from loadproof.measure.journal import Journal

JOURNAL = "west-01-0.journal"
RUN = (
    *("run", "-f", "visitor.py", "-u", 4, "-t", "7s", "--stop-timeout", "1s", "--rule", "p95 <= 2s"),
    *("--set", "regions=[{name: east}, {name: west}]"),
)


@pytest.fixture
def here(tmp_path):
    (tmp_path / "visitor.py").write_text(VISITOR)
    return tmp_path


def run(here, *fault):
    with echoing() as url:
        done = loadproof(*RUN, "-H", url, cwd=here, **failing_disk(here, *fault))
    assert "Traceback" not in done.stdout + done.stderr
    return done, run_folder(here), results(run_folder(here))


def torn_text(found):
    [text] = [reason["text"] for reason in found["reasons"] if reason["code"] == "torn_epoch"]
    return text


@pytest.mark.parametrize(
    ("call", "number", "words"),
    [
        ("write", 1, "cannot be written: No space left on device"),
        pytest.param("write", 2, "cannot be written: No space left on device", marks=pytest.mark.long),
        pytest.param("write", 5, "cannot be written: No space left on device", marks=pytest.mark.long),
        ("write", "fin", "cannot be written: No space left on device"),
        ("fsync", 1, "could not be brought to disk: No space left on device"),
    ],
)
def test_a_worker_whose_journal_fails_is_named(here, call, number, words):
    """Its k-th write or first fsync fails: INVALID, with worker, file and cause; all that it wrote before is kept."""
    done, folder, found = run(here, "west-01", JOURNAL, call, number)

    assert done.returncode == 4, done.stdout + done.stderr
    assert torn_text(found).startswith("west-01 ")
    assert words in torn_text(found)
    assert JOURNAL in torn_text(found)
    for file in ("summary.md", "report.html", "junit.xml"):
        assert "No space left on device" in (folder / file).read_text(), file
    kept = Journal(folder / "journals" / JOURNAL)
    assert kept.state.damage is None or number in {1, 2}
    other = Journal(folder / "journals" / "east-01-0.journal").state
    assert other.complete
    started = other.fin.started + sum(interval.started for interval in kept.intervals())
    assert found["accounting"]["started"] == started


def test_a_worker_whose_last_fsync_fails_costs_nothing(here):
    """The master has the whole journal on its own disk by then."""
    done, folder, found = run(here, "west-01", JOURNAL, "fsync", 2, 9)

    assert done.returncode == 0, done.stdout + done.stderr
    assert found["verdict"] == "WARN"
    assert Journal(folder / "journals" / JOURNAL).state.complete


def test_a_record_that_the_master_cannot_write_is_sent_again(here):
    """A copy that fails once, in the middle of a run, ends as the worker's journal."""
    done, folder, found = run(here, "run", JOURNAL, "write", 4)

    assert done.returncode == 0, done.stdout + done.stderr
    assert Journal(folder / "journals" / JOURNAL).state.complete
    assert found["accounting"]["started"] == found["accounting"]["exchanges_answered"]


def test_a_copy_that_stays_unwritable_is_named(here):
    """The master's disk takes no more of one journal: INVALID with cause, and the worker's own journal is kept."""
    done, folder, found = run(here, "run", JOURNAL, "write", 4, FOREVER)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "west-01" in torn_text(found)
    assert "cannot be written: No space left on device" in torn_text(found)
    recovered = loadproof("recover", folder, cwd=here)
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr


def test_a_copy_that_was_not_brought_to_disk_is_not_believed(here):
    """The master's fsync of a finished copy fails: INVALID with worker and cause, though the file can be read."""
    done, folder, found = run(here, "run", JOURNAL, "fsync", 1)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "west-01" in torn_text(found)
    assert "could not be brought to disk" in torn_text(found)
    assert (folder / "worker-journals" / JOURNAL).is_file()


def test_a_disk_that_fills_under_a_worker_is_named(here):
    """A worker's file may not grow any more: INVALID with worker and cause, and every whole second is counted."""
    with echoing() as url:
        command = start(*RUN, "-H", url, cwd=here)
        wait_until(lambda: (here / "reports").is_dir() and any((here / "reports").iterdir()))
        folder = run_folder(here)
        wait_until(lambda: seconds_of_load(folder) >= 3)
        [worker] = [
            process for pid in processes_of(folder) if "west-01" in (process := psutil.Process(pid)).cmdline()
        ]
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        output, _ = command.communicate(timeout=240)

    assert command.returncode == 4, output
    assert "cannot be written: File too large" in torn_text(results(folder))
    assert Journal(folder / "journals" / JOURNAL).state.intervals >= 2
