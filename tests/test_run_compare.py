"""`compare`, `trend`, `runs` and baselines of `run` and `report`, as a user types them."""

import json
import re
import shutil
from random import Random

import pytest
from commands import VISITOR, loadproof, manifest, results
from compared_runs import SLOW, change_manifest, made

from analyzer.report import analyse
from analyzer.results_json import render

PLAN = """\
name: visits
locustfile: visitor.py
load: [{phase: steady, duration: 3s, users: 5}]
rules:
  - count >= 1
  - {rule: error_ratio <= baseline + 1%, optional: true}
"""


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Runs of one build, one with a slower endpoint, one of another load, all as the master leaves them."""
    folder = tmp_path_factory.mktemp("made-up")
    made(folder / "first", 1)
    made(folder / "second", 2)
    made(folder / "slower", 3, slow=1.1)
    other = shutil.copytree(folder / "second", folder / "other")
    plan = other / "plan.yaml"
    plan.write_text(plan.read_text().replace("duration: 30s", "duration: 31s"))
    return folder


@pytest.mark.parametrize(
    ("run", "baseline", "code", "said"),
    [
        ("second", "first", 0, r"^same: none of \d+ differences is beyond noise and chance\n"),
        ("slower", "first", 3, rf"^worse: p50 of {SLOW} is [^\n]*\+\d+"),
        ("first", "slower", 0, rf"^better: p50 of {SLOW} is"),
    ],
)
def test_the_exit_code_is_the_word(made_up, run, baseline, code, said):
    """0 for the same and for better, 3 for worse; the first line names what it is about."""
    done = loadproof("compare", made_up / run, made_up / baseline, cwd=made_up)

    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(said, done.stdout)
    assert "WHERE" in done.stdout


def test_unlike_runs_are_bad_usage(made_up):
    """Exit 2 and what differs; with --unlike they are compared, and it is still said."""
    refused = loadproof("compare", made_up / "other", made_up / "first", cwd=made_up)
    told = loadproof("compare", made_up / "other", made_up / "first", "--unlike", cwd=made_up)

    assert refused.returncode == 2
    assert "made-up differs in its load" in refused.stderr
    assert "--unlike" in refused.stderr
    assert "differs in its load" in told.stdout


def test_what_cannot_be_told_is_no_success(tmp_path):
    """Two runs of one build whose latencies spread over a factor of ten: exit 4, and with --quiet one line."""
    for seed in (5, 6):
        made(tmp_path / str(seed), seed, spread=0.9)
    done = loadproof("compare", tmp_path / "5", tmp_path / "6", "--quiet", cwd=tmp_path)

    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.startswith("cannot tell: ")
    assert done.stdout.count("\n") == 1


def test_compare_prints_json_and_changes_nothing(made_up):
    """The JSON is the section of results.json, and neither folder has a new file."""
    before = sorted(path.name for name in ("slower", "first") for path in (made_up / name).iterdir())
    done = loadproof("compare", made_up / "slower", made_up / "first", "--json", cwd=made_up)
    after = sorted(path.name for name in ("slower", "first") for path in (made_up / name).iterdir())
    found = json.loads(done.stdout)

    assert before == after
    assert found["word"] == "worse"
    assert found["endpoints"][0]["name"] == SLOW
    assert found["endpoints"][0]["rows"][0]["change"] == pytest.approx(0.1, abs=0.02)


def test_a_report_shows_the_comparison(made_up, tmp_path):
    """`report --baseline` puts it into every report; the exit code stays the verdict's, by the rules alone."""
    run = shutil.copytree(made_up / "slower", tmp_path / "run")
    journals = {path: path.read_bytes() for path in (run / "journals").iterdir()}
    words = ("report", run, "--charts", tmp_path / "charts")
    done = loadproof(*words, "--baseline", made_up / "first", cwd=tmp_path)
    rule = "p50{name=/audit/chain} <= baseline + 5%"
    ruled = loadproof(*words, "--baseline", made_up / "first", "--rule", rule, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Beside the baseline: worse: p50 of {SLOW}" in done.stdout
    assert results(run)["comparison"]["word"] == "worse"
    assert "### Beside `made-up`: worse" in (run / "summary.md").read_text()
    assert ruled.returncode == 3, ruled.stdout + ruled.stderr
    assert f"FAIL     {rule}" in ruled.stdout
    assert {path: path.read_bytes() for path in (run / "journals").iterdir()} == journals


def test_a_run_may_name_its_baseline(tmp_path):
    """`latest:` is the newest run of that plan: its digest is kept, rules on it are judged, unlike ones refused at once."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    (tmp_path / "visits.yaml").write_text(PLAN)
    first = loadproof("run", "./visits.yaml", "-q", cwd=tmp_path)
    again = loadproof("run", "./visits.yaml", "--baseline", "latest:visits", cwd=tmp_path)
    unlike = loadproof("run", "./visits.yaml", "--users", "6", "--baseline", "latest:visits", cwd=tmp_path)
    words = ("--users", "6", "--baseline", "latest:visits", "--port", "0")
    unlike_cluster = loadproof("master", "./visits.yaml", *words, cwd=tmp_path)
    folders = sorted((tmp_path / "reports").iterdir())

    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(folders) == 2, "the unlike runs were refused before their folders were made"
    [rule] = [rule for rule in results(folders[1])["rules"] if "baseline" in rule["rule"]]
    assert (rule["verdict"], rule["limit"]) in {("WARN", 0.01), ("PASS", 0.01)}
    assert results(folders[1])["comparison"]["baselines"] == [manifest(folders[0])["run"]]
    for refused in (unlike, unlike_cluster):
        assert refused.returncode == 2
        assert "differs in its load" in refused.stderr


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Sixteen judged runs whose latencies rise by a tenth at the ninth, and one that was never judged."""
    folder = tmp_path_factory.mktemp("history")
    whole = made(folder / "whole", 1)
    found = json.loads(render(analyse(whole)))
    random = Random(5)
    for number in range(16):
        run = shutil.copytree(whole, folder / f"run-{number:02}")
        change_manifest(
            run, run=f"run-{number:02}", started_utc=f"2024-01-{number + 1:02}T00:00:00.000Z", verdict="PASS"
        )
        told = json.loads(json.dumps(found)) | {"run": f"run-{number:02}"}
        factor = (1.1 if number >= 8 else 1.0) * random.uniform(0.99, 1.01)
        latencies = told["by_name"][SLOW]["latency_ms"]
        latencies.update({name: value * factor for name, value in latencies.items()})
        (run / "results.json").write_text(json.dumps(told))
    shutil.rmtree(whole / "journals")
    change_manifest(whole, started_utc="2023-12-31T00:00:00.000Z")
    return folder


def test_a_trend_names_the_run_of_a_change(history):
    """The slower endpoint changed at the ninth run by a tenth, nothing else did; what was left out is said."""
    done = loadproof("trend", history, cwd=history)
    found = json.loads(loadproof("trend", history, "--json", cwd=history).stdout)
    changes = {
        (series["where"], series["what"]): [(one["run"], one["change"]) for one in series["changes"]]
        for series in found["series"]
        if series["changes"]
    }

    assert done.returncode == 0, done.stderr
    assert f"p50 of {SLOW} since run-08" in done.stdout
    assert set(changes) == {(SLOW, "p50"), (SLOW, "p95"), (SLOW, "p99")}
    for [(run, change)] in changes.values():
        assert run == "run-08"
        assert change == pytest.approx(0.1, abs=0.015)
    assert [run["run"] for run in found["runs"]] == [f"run-{number:02}" for number in range(16)]
    assert any("whole" in sentence for sentence in found["left_out"])


def test_a_trend_needs_runs(tmp_path):
    """An empty folder, or none: one line and exit 2."""
    for place in (tmp_path, tmp_path / "missing"):
        done = loadproof("trend", place, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_runs_are_listed(history):
    """A line a run with its verdict; what is no run folder is not listed."""
    (history / "notes").mkdir(exist_ok=True)
    done = loadproof("runs", "list", "--reports", history, cwd=history)
    told = json.loads(loadproof("runs", "list", "--reports", history, "--json", cwd=history).stdout)

    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        "whole",
        *(f"run-{number:02}" for number in range(16)),
    ]
    assert told[-1]["verdict"] == "PASS"
    assert told[0]["verdict"] is None
    assert all(one["bytes"] > 0 for one in told)


def test_pruning_takes_old_runs_and_nothing_else(made_up, tmp_path):
    """The newest of each plan stay, and so do runs that were never closed, links, and folders that are no run's."""
    place = tmp_path / "reports"
    for number in range(4):
        run = shutil.copytree(made_up / "first", place / f"run-{number}")
        change_manifest(run, name="a", started_utc=f"2024-01-0{number + 1}T00:00:00.000Z")
    change_manifest(place / "run-1", closed=False)
    shutil.copytree(made_up / "first", place / "other-plan")
    (place / "mine").mkdir()
    (place / "mine" / "plan.yaml").write_text("name: mine\n")
    (place / "elsewhere").symlink_to(made_up / "first")
    asked = ("runs", "prune", "--reports", place)
    nobody = loadproof(*asked, "--keep", "1", cwd=tmp_path)
    nothing = loadproof(*asked, cwd=tmp_path)
    young = loadproof(*asked, "--older-than", "36500d", "--yes", cwd=tmp_path)
    left_before = sorted(path.name for path in place.iterdir())
    done = loadproof(*asked, "--keep", "1", "--older-than", "1d", "--yes", cwd=tmp_path)

    assert (nobody.returncode, nothing.returncode) == (2, 2)
    assert "--yes" in nobody.stderr
    assert "nothing to remove" in young.stdout
    assert len(left_before) == 7
    assert done.returncode == 0, done.stderr
    assert "removed 2 run folders" in done.stdout
    assert sorted(path.name for path in place.iterdir()) == [
        "elsewhere",
        "mine",
        "other-plan",
        "run-1",
        "run-3",
    ]
    assert (made_up / "first" / "manifest.json").is_file()


def test_an_abort_rule_on_a_baseline_is_a_mistake(tmp_path):
    """It could never fire, so it is refused with its place in the plan."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    (tmp_path / "visits.yaml").write_text(PLAN.replace("optional: true", "abort: true"))
    done = loadproof("validate", "./visits.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert "visits.yaml:6:" in done.stderr
    assert "an abort rule needs a limit of its own" in done.stderr


def test_validate_tells_what_a_baseline_rule_needs(tmp_path):
    """The rule is shown with where its limit comes from."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    (tmp_path / "visits.yaml").write_text(PLAN)
    done = loadproof("validate", "./visits.yaml", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "baseline + 1%" in line]
    assert "without --baseline it has no data" in line
