"""`loadproof report --wait`: the next run and no other, judged whatever tells the waiting to end."""

import json
import signal

import pytest
from commands import loadproof, start, wait_until
from made_runs import make_requests, make_run

from analyzer import awaited
from analyzer.awaited import NextRun
from loadproof.errors import ExitCode, NoRunError, RunFolderError

PAUSE_S = 0.001


def begin(runs, name, **facts):
    """A run folder as far as its master has written it at first, or with other facts of its manifest."""
    folder = runs / name
    folder.mkdir()
    told = {"run": name, "workers": [], "epochs": [], "closed": False, **facts}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def no_pause(monkeypatch):
    """Looks follow each other at once."""
    monkeypatch.setattr(awaited, "_LOOK_S", PAUSE_S)


def asking(*answers):
    """How often the end was asked for at each look; a callable does something before the answer, which is 0."""
    left = list(answers)

    def asked():
        answer = left.pop(0)
        return (answer(), 0)[1] if callable(answer) else answer

    return asked


def test_the_next_run_is_taken_when_it_is_closed(tmp_path, no_pause):
    """Runs that were there before are passed over, closed or open, and so is an open one until it is closed."""
    begin(tmp_path, "z-old", closed=True)
    begin(tmp_path, "a-open")
    waiting = NextRun(tmp_path)
    said = []

    found = waiting.wait(
        asking(
            (tmp_path / "run").mkdir,
            (tmp_path / "run").rmdir,
            lambda: begin(tmp_path, "run"),
            lambda: begin(tmp_path, "a-later"),
            lambda: (tmp_path / "run" / "manifest.json").write_text("{"),
            lambda: begin_again(tmp_path / "run", closed=True),
        ),
        said.append,
    )

    assert found == tmp_path / "run"
    assert said == [f"waiting for the next run in {tmp_path}", f"{tmp_path / 'run'} has begun"]


def begin_again(folder, **facts):
    told = {"run": folder.name, "workers": [], "epochs": [], **facts}
    (folder / "manifest.json").write_text(json.dumps(told))


def test_an_old_run_put_together_anew_is_not_the_next(tmp_path):
    """`recover` makes a new folder of a run that was begun long before."""
    waiting = NextRun(tmp_path)
    begin(tmp_path, "run-recovered", closed=True, recovered={"notes": []})

    assert waiting.find() is None


def test_without_a_run_the_end_of_the_waiting_is_invalid(tmp_path):
    """One line, and the exit code that says that nothing was proved."""
    begin(tmp_path, "old", closed=True)

    with pytest.raises(NoRunError, match="no run was begun in") as raised:
        NextRun(tmp_path).wait(lambda: 1, print)

    assert raised.value.exit_code == ExitCode.INVALID


def test_asked_to_end_it_waits_for_the_closing_of_a_run(tmp_path, no_pause):
    """A run whose master is ending gets its time."""
    waiting = NextRun(tmp_path)
    run = begin(tmp_path, "run")

    assert waiting.wait(asking(1, 1, lambda: begin_again(run, closed=True)), print) == run


def test_a_run_that_is_never_closed_is_judged_when_patience_is_over(tmp_path, no_pause, monkeypatch):
    """The waiting is bounded, and what is there is judged."""
    monkeypatch.setattr(awaited, "PATIENCE_S", 0.02)
    waiting = NextRun(tmp_path)
    run = begin(tmp_path, "run")
    said = []

    assert waiting.wait(lambda: 1, said.append) == run
    assert said[-1] == f"{run} is not closed: judging what is there"


def test_asked_twice_it_does_not_wait(tmp_path):
    """Whoever presses Ctrl-C again has no patience left."""
    waiting = NextRun(tmp_path)
    run = begin(tmp_path, "run")

    assert waiting.wait(lambda: 2, print) == run


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path):
    """Before any waiting, since nobody could begin a run in it."""
    with pytest.raises(RunFolderError, match="name the folder that the next run is written to"):
        NextRun(tmp_path / "reports")


def test_the_verb_judges_the_next_run_through_a_signal(tmp_path):
    """SIGTERM, as compose sends it when the workers have left, kills neither the waiting nor the verdict."""
    runs = tmp_path / "reports"
    runs.mkdir()
    make_run(runs / "old", make_requests(fail_from=15))
    waiting = start("report", "--wait", "reports", cwd=tmp_path)
    said = waiting.stdout.readline()
    assert said == "loadproof: waiting for the next run in reports\n"
    run = make_run(tmp_path / "new", make_requests())
    closed = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(closed.replace('"closed": true', '"closed": false'))
    run.rename(runs / "new")
    assert waiting.stdout.readline() == "loadproof: reports/new has begun\n"

    waiting.send_signal(signal.SIGTERM)
    assert "waiting up to 60 s until reports/new is closed" in waiting.stdout.readline()
    (runs / "new" / "manifest.json").write_text(closed)
    output, _ = waiting.communicate(timeout=60)

    assert waiting.returncode == 0, output
    assert "PASS" in output
    assert (runs / "new" / "report.html").is_file()
    assert not (runs / "old" / "report.html").exists()


def test_the_verb_says_that_no_run_came(tmp_path):
    """One clear line and exit code 4 for CI."""
    waiting = start("report", "--wait", ".", cwd=tmp_path)
    wait_until(lambda: "waiting" in waiting.stdout.readline())

    waiting.send_signal(signal.SIGINT)
    output, _ = waiting.communicate(timeout=30)

    assert waiting.returncode == 4
    assert output == "loadproof: no run was begun in .: there is nothing to judge\n"
    assert loadproof("report", "--wait", "nowhere", cwd=tmp_path).returncode == 2
