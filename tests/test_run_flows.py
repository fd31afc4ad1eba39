"""docs/flows.md, run as a user types it: a plan without a line of Python, from validation to its verdict."""

import re
import shutil
from pathlib import Path

import pytest
from commands import loadproof, manifest, processes_of, results, run_folder
from planning import read, write

from loadproof.measure.journal import Journal
from loadproof.plan.reader import Overrides

PAGE = (Path(__file__).parent.parent / "docs" / "flows.md").read_text(encoding="utf-8")
[PLAN, PART] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
[ROWS] = re.findall(r"^```csv\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CHECKS = {
    "policy_stored",
    "capture(policy)",
    "capture(digest)",
    "POST /policies/:policy/decisions",
    "GET /policies/:policy",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows")
    (folder / "policies.yaml").write_text(PLAN)
    (folder / "roles.csv").write_text(ROWS)
    done = loadproof("run", "./policies.yaml", "--duration", "22s", cwd=folder)
    return done, folder


@pytest.fixture(scope="module")
def folder(ran):
    return run_folder(ran[1])


def test_the_plan_of_the_page_passes(ran):
    """Every rule of it holds against the reference target."""
    done, _ = ran

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  Authors write policies" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_all_books_agree(folder):
    """Journals, accounting and the target's own count say the same number, no request failed."""
    accounting = results(folder)["accounting"]
    started = sum(
        interval.started for path in (folder / "journals").iterdir() for interval in Journal(path).intervals()
    )

    assert started > 100
    assert accounting["started"] == accounting["ok"] == started
    assert accounting["target_counted"] == started
    assert sum(manifest(folder)["target_counts"].values()) == started


def test_names_are_templates_and_checks_are_counted(folder):
    """No captured value is in a name; every check of the flow ran and passed; both flows have their share."""
    found = results(folder)

    assert set(found["by_name"]) == {
        "POST /policies",
        "POST /policies/:policy/decisions",
        "GET /policies/:policy",
        "GET /policies",
        "GET /policies/0",
    }
    assert set(found["checks"]) == CHECKS
    assert all(check["passed"] > 0 and check["failed"] == 0 for check in found["checks"].values())
    assert set(found["by_scenario"]) == {"Author", "Reader"}


def test_the_folder_is_judged_where_the_rows_are_not(folder, ran, tmp_path):
    """A copy of the run's folder gives the same verdict without the plan's other files."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    rows = ran[1] / "roles.csv"
    rows.rename(ran[1] / "kept")
    try:
        done = loadproof("report", copy, cwd=tmp_path)
    finally:
        (ran[1] / "kept").rename(rows)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  Authors write policies" in done.stdout


def test_nothing_is_left_running(folder):
    """When the command has ended, so have its workers and the embedded target."""
    assert processes_of(folder) == []


def test_a_smoke_run_plays_every_flow(ran):
    """One pass each, every exchange printed."""
    done = loadproof(
        *("run", "./policies.yaml", "--smoke", "--no-analysis", "--reports", "smoke"), cwd=ran[1]
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("Author", "POST /policies -> 201", "GET /policies/:policy -> 200", "Reader"):
        assert line in done.stdout
    assert done.stdout.count("decisions -> 200") == 3


def test_the_other_example_is_an_overlay(tmp_path):
    """A WebSocket's flow can be laid over the plan."""
    (tmp_path / "roles.csv").write_text(ROWS)
    overlay = write(tmp_path, PART, "part.yaml")
    flows = read(tmp_path, PLAN, Overrides(config_file=overlay)).flows

    assert [flow.name for flow in flows] == ["Author", "Reader", "Watcher"]


GOVERNED = PLAN.replace("load:", "suite: governance\nload:")


@pytest.mark.parametrize(
    ("plan", "rows", "words"),
    [
        (
            PLAN.replace("users: 4", "users: 5"),
            ROWS,
            ["plan.yaml:6:3", "4 rows", "5 users"],
        ),
        (PLAN, ROWS + "x\n", ["plan.yaml:6:3", "roles.csv:6", "1 cells"]),
        (PLAN.replace("check(policy_stored)", "check(policy_sorted)"), ROWS, ["policy_stored"]),
        (PLAN.replace("{scenario=Author}", "{scenario=Auther}"), ROWS, ["did you mean 'Author'"]),
        (PLAN.replace("rules:", "scenarios: {Auhtor: 1}\nrules:"), ROWS, ["did you mean 'Author'"]),
        (
            PLAN.replace("    weight: 3", "    weight: 0").replace("    wait: 200ms", "    weight: 0"),
            ROWS,
            ["weight 0"],
        ),
        (GOVERNED.replace("  Reader:", "  MultiTenantUser:"), ROWS, ["a user class MultiTenantUser already"]),
    ],
)
def test_what_does_not_fit_is_told_before_the_run(tmp_path, plan, rows, words):
    """Rows, rules, scenarios and names are held against the flows, with the place in the plan."""
    (tmp_path / "plan.yaml").write_text(plan)
    (tmp_path / "roles.csv").write_text(rows)
    done = loadproof("validate", "./plan.yaml", cwd=tmp_path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_flows_beside_a_suite_are_explained(tmp_path):
    """`validate` names both, and every scenario with its share and checks."""
    (tmp_path / "plan.yaml").write_text(GOVERNED)
    (tmp_path / "roles.csv").write_text(ROWS)
    done = loadproof("validate", "./plan.yaml", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "suite governance and 2 flows against embedded" in done.stdout
    assert "MultiTenantUser" in done.stdout
    assert "Author; checks: policy_stored, capture(policy), capture(digest), " in done.stdout
