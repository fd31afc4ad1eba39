"""A whole run as a user types it: the command's exit, the four counts, and every file of the run folder."""

import csv
import json
import xml.etree.ElementTree as ET

import pytest
from commands import loadproof, manifest, processes_of, results, run_folder

from loadproof.measure.interval import Outcome
from loadproof.measure.journal import Journal

PLAN = """\
name: small
title: A small governance run
suite: governance
load:
  - {phase: ramp, duration: 3s, users: 0..40, warmup: true}
  - {phase: steady, duration: 25s, users: 40}
regions:
  - {name: east, workers: 1, max_users: 20}
  - {name: west, workers: 1, max_users: 20}
rules:
  - p95 <= 2s, goal < 1s
  - error_ratio <= 1%
  - check(hash_consistency) >= 100%
  - check(decision) >= 100%
  - "rate >= 20/s"
seed: 7
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(PLAN)
    done = loadproof("run", "./small.yaml", cwd=folder)
    return done, folder


@pytest.fixture(scope="module")
def folder(ran):
    return run_folder(ran[1])


def test_a_good_run_passes_and_exits_with_0(ran):
    """The last words on the terminal are the verdict and the report's path."""
    done, _ = ran

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout
    assert "report.html" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_four_counts_agree_to_the_request(folder):
    """Journals, accounting, Locust's own total and the target's count say the same number."""
    in_journals = sum(
        series.histogram.count
        for path in (folder / "journals").glob("*.journal")
        for interval in Journal(path).intervals()
        for key, series in interval.series.items()
        if key.outcome is not Outcome.UNFINISHED
    )
    accounting = results(folder)["accounting"]
    counted = manifest(folder)["target_counts"]

    assert in_journals > 500
    assert accounting["started"] == in_journals
    assert accounting["ok"] + accounting["failed"] == in_journals
    assert accounting["locust_counted"] == in_journals
    assert accounting["target_counted"] == in_journals
    assert sum(counted.values()) == in_journals


def test_every_journal_ends_with_its_fin(folder):
    """Two workers, one epoch each, whole; and the workers' own files are gone once copied."""
    states = {path.name: Journal(path).state for path in (folder / "journals").iterdir()}

    assert sorted(states) == ["east-01-0.journal", "west-01-0.journal"]
    assert all(state.complete for state in states.values())
    assert not (folder / "worker-journals").exists()


def test_the_load_was_offered_as_planned(folder):
    """Active user time is the plan's within 1 %, and each region has its half."""
    spent = {"east": 0, "west": 0}
    for path in (folder / "journals").iterdir():
        journal = Journal(path)
        spent[journal.header.region] += sum(
            sum(interval.user_us.values()) for interval in journal.intervals()
        )
    planned = (40 * 25 + 20 * 3) * 1_000_000

    assert abs(sum(spent.values()) - planned) <= planned / 100
    assert abs(spent["east"] - spent["west"]) <= planned / 100


def test_every_file_of_the_run_folder_is_there_and_says_the_same(folder):
    """HTML, Markdown, JSON, CSV and JUnit agree on the verdict; charts are pictures."""
    found = results(folder)

    assert found["verdict"] == "PASS"
    assert found["schema_version"] == 1
    assert "PASS" in (folder / "summary.md").read_text().splitlines()[0]
    assert "PASS" in (folder / "report.html").read_text()
    suite = ET.parse(folder / "junit.xml").getroot()
    assert int(suite.get("failures", 0)) + int(suite.get("errors", 0)) == 0
    assert len(list(csv.DictReader((folder / "requests.csv").open()))) >= 5
    assert len(list(csv.DictReader((folder / "metrics.csv").open()))) > 50
    charts = folder.parent.parent / "charts" / folder.name
    assert len(list(charts.glob("*.png"))) >= 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in charts.iterdir())


def test_the_plan_in_the_folder_is_what_was_run(folder, ran):
    """The effective plan can be run again: `validate` takes it."""
    done = loadproof("validate", folder / "plan.yaml", cwd=ran[1])

    assert done.returncode == 0, done.stderr
    assert "steady: 40 users" in done.stdout


def test_a_report_again_says_the_same(folder, ran):
    """`report` on the folder gives the same bytes and the same exit code."""
    before = {name: (folder / name).read_bytes() for name in ("results.json", "summary.md", "junit.xml")}
    done = loadproof("report", folder, "--json", cwd=ran[1])

    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"] == "PASS"
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_rule_can_be_added_afterwards(folder, ran):
    """`report --rule` judges the same evidence by one more rule: a limit that the run does not keep is FAIL, exit 3."""
    done = loadproof("report", folder, "--rule", "count <= 1", "--charts", ran[1] / "again", cwd=ran[1])

    assert done.returncode == 3, done.stdout + done.stderr
    assert "count <= 1" in done.stdout


def test_nothing_is_left_running(folder):
    """When the command has ended, so have its workers and the embedded target."""
    assert processes_of(folder) == []
