"""Abort rules as a user sees them: the run ends in order, and FAIL says which rule and when."""

import json

import pytest
from commands import loadproof, manifest, results, run_folder
from serving import serving

PLAN = """\
name: hopeless
suite: governance
load:
  - {phase: ramp, duration: 2s, users: 20, warmup: true}
  - {phase: steady, duration: 60s, users: 20}
regions: [{name: east}, {name: west}]
rules:
  - p95 <= 5s
  - {rule: "error_ratio <= 20% for 3s", abort: true, delay: 2s}
  - {rule: "resource(target.rss) <= 100GB", abort: true}
stop_timeout: 10s
seed: 7
"""
RULE = "error_ratio <= 20% for 3s"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hopeless")
    (folder / "plan.yaml").write_text(PLAN)
    with serving("--port", "0", "--switch", "errors=0.6", folder=tmp_path_factory.mktemp("target")) as served:
        words = ("run", "./plan.yaml", "--target", served.url)
        unjudged = loadproof(*words, "--reports", "unjudged", "--no-analysis", cwd=folder)
        done = loadproof(*words, cwd=folder)
    return folder, done, unjudged


def test_an_abort_needs_no_judge(ran):
    """Without analysis, too, it exits with 3, and says how the reports are made."""
    *_, unjudged = ran

    assert unjudged.returncode == 3, unjudged.stdout + unjudged.stderr
    assert "not judged: `loadproof report unjudged/hopeless-" in unjudged.stdout


def test_a_broken_abort_rule_ends_the_run_as_fail(ran):
    """Within seconds of the first full window after the delay, with exit 3 and the rule and time in the reason."""
    folder, done, _ = ran
    found = results(run_folder(folder))
    stop = manifest(run_folder(folder))["stop"]

    assert done.returncode == 3, done.stdout + done.stderr
    assert found["verdict"] == "FAIL"
    assert (stop["by"], stop["rule"]) == ("abort", RULE)
    assert 5_000_000 <= stop["at_us"] <= 15_000_000
    first = found["reasons"][0]
    assert (first["verdict"], first["code"]) == ("FAIL", "abort")
    assert first["text"].startswith(f"the abort rule {RULE} ended the run after ")
    assert first["text"] in done.stdout
    judged = {one["rule"]: one["verdict"] for one in found["rules"]}
    assert judged[RULE] == "FAIL"
    assert judged["resource(target.rss) <= 100GB"] != "FAIL"


def test_it_ends_in_order(ran):
    """Users drain, every journal is whole, the books close, and the event names the rule."""
    folder, *_ = ran
    events = [json.loads(line) for line in (run_folder(folder) / "events.jsonl").read_text().splitlines()]
    [event] = [event for event in events if event["kind"] == "abort"]
    found = results(run_folder(folder))

    assert event["who"] == RULE
    assert "errors were" in event["text"]
    assert {epoch["how"] for epoch in manifest(run_folder(folder))["epochs"]} == {"fin"}
    counted = found["accounting"]
    assert counted["started"] == counted["ok"] + counted["failed"] + counted["unfinished"]
    assert not {"torn_epoch", "books_open", "stopped", "load_not_offered"} & {
        reason["code"] for reason in found["reasons"]
    }


def test_the_folder_says_so_again(ran):
    """`report` on the folder gives the same bytes and the same exit status; so it does where the master died."""
    folder, *_ = ran
    place = run_folder(folder)
    before = (place / "results.json").read_bytes()
    again = loadproof("report", place, cwd=folder)
    after = (place / "results.json").read_bytes()
    told = manifest(place)
    (place / "manifest.json").write_text(json.dumps(told | {"closed": False, "stop": None}))
    died = loadproof("report", place, cwd=folder)

    assert (again.returncode, after) == (3, before)
    assert f"the abort rule {RULE} ended the run" in died.stdout
    assert died.returncode == 3
