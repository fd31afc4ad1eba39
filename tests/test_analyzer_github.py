"""What GitHub Actions is told: annotations that no name can forge, and the job's summary."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from made_runs import make_requests, make_run
from reporting import HOSTILE, REPORTS, failing, passing, warning

from analyzer import summary_md
from analyzer.github import annotation_lines, job_summary
from analyzer.model import Group
from loadproof.errors import ExitCode
from loadproof.verdict.result import Reason, Verdict


def test_broken_rules_are_errors_and_doubts_warnings():
    """A line for each broken rule and each reason beyond them; a run that passes says nothing."""
    assert annotation_lines(passing()) == ()
    assert [line.partition(" ")[0] for line in annotation_lines(failing())] == ["::error"] * 3
    assert annotation_lines(failing())[1].startswith("::error title=FAIL error_ratio <= 1%25::")
    assert annotation_lines(warning())[0].startswith(
        "::warning title=WARN p95 <= 250ms%2C goal < 60ms::71.5 ms is"
    )
    assert any("torn" in line or "has no end" in line for line in annotation_lines(REPORTS["invalid"]()))


def test_no_name_makes_a_command_of_its_own():
    """Whatever a name holds, each annotation is one line that begins with our command and has it once."""
    reasons = tuple(Reason(Verdict.FAIL, "rule", text) for text in HOSTILE)
    for line in annotation_lines(replace(REPORTS["hostile"](), reasons=reasons)):
        assert line.isprintable()
        assert line.startswith(("::error title=", "::warning title="))
        assert "::" not in line.split("::", 2)[1]


def test_annotations_are_few():
    """GitHub shows ten of a kind and a step, so no more are sent."""
    reasons = tuple(Reason(Verdict.INVALID, "torn_epoch", f"epoch {number}") for number in range(40))

    assert len(annotation_lines(replace(failing(), reasons=reasons))) == 10


def test_a_summary_that_github_would_refuse_is_cut():
    """Above a megabyte the rest is left to summary.md, and no line is cut in two."""
    many = tuple(Group("n" * 80 + str(number), passing().totals) for number in range(25))
    notes = tuple(f"note {number} " + "x" * 290 for number in range(5_000))
    cut = job_summary(replace(passing(), by_name=many, notes=notes)).decode()

    assert job_summary(passing()) == summary_md.render(passing())
    assert len(cut.encode()) < 1_048_576
    assert cut.splitlines()[-3].endswith("x" * 200)
    assert cut.endswith("stands in `summary.md` of the run folder.\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_job_gets_its_annotations_and_its_summary(tmp_path, as_json):
    """`loadproof report` in a job appends to the summary file, and keeps JSON on standard output alone."""
    run = make_run(tmp_path / "run", make_requests(fail_from=25))
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    command = [sys.executable, "-m", "loadproof", "report", str(run), "--charts", str(tmp_path / "charts")]
    done = subprocess.run(
        [*command, "--json"] if as_json else command,
        env=os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == ExitCode.FAIL
    assert (done.stderr if as_json else done.stdout).startswith("::error title=FAIL")
    assert done.stdout.startswith("{" if as_json else "::error")
    assert summary.read_text() == "before\n" + (run / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_costs_no_verdict(tmp_path):
    """Where the summary's file cannot be opened, a warning says so and the exit code stays."""
    run = make_run(tmp_path / "run", make_requests(fail_from=25))
    done = subprocess.run(
        [sys.executable, "-m", "loadproof", "report", str(run), "--charts", str(tmp_path / "charts"), "-q"],
        env=os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "file")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == ExitCode.FAIL
    assert "warning: no job summary" in done.stderr
