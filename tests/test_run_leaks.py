"""A target that leaks 50 bytes with every request is found out in 20,000 of them, and one that does not is left in peace."""

import json
import subprocess
import sys

import pytest
from commands import environment, loadproof, results, run_folder

PLAN = """\
name: leaks
load:
  - {phase: warm, duration: 10s, users: 40, arrivals: 800/s, warmup: true}
  - {phase: steady, duration: 25s, users: 40, arrivals: 800/s}
flows:
  Verifier:
    headers: {X-Constitutional-Hash: cdd01ef066bc6cf2}
    steps:
      - get: /constitution/verify
        params: {hash: cdd01ef066bc6cf2}
rules:
  - growth(target.rss) <= 20kB per 1000 requests
  - growth(target.objects) <= 200 per 1000 requests
"""
OBJECTS = "growth(target.objects) <= 200 per 1000 requests"
RSS = "growth(target.rss) <= 20KB per 1000 requests"


def leaking(folder, leak):
    """The results of a run of 20,000 requests to a target that leaks so many bytes with each."""
    target = subprocess.Popen(
        [sys.executable, "-m", "target.server", "--port", "0", "--switch", f"leak={leak}"],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        url = json.loads(target.stdout.readline())["url"]
        (folder / "leaks.yaml").write_text(PLAN)
        done = loadproof("run", "./leaks.yaml", "--target", url, cwd=folder)
    finally:
        target.terminate()
        target.wait(timeout=60)
    assert "Traceback" not in done.stdout + done.stderr
    return results(run_folder(folder))


def test_a_leak_of_50_bytes_is_found(tmp_path):
    """Both by the objects that the target tells of and by the memory that the kernel tells of, in rules and in the table."""
    found = leaking(tmp_path, 50)
    rules = {rule["rule"]: rule for rule in found["rules"]}
    rows = {row["name"]: row for row in found["drift"]}

    assert [rules[RSS]["verdict"], rules[OBJECTS]["verdict"]] == ["FAIL", "FAIL"]
    # An object of 50 bytes takes 64 of Python's, and 8 in the list that holds it.
    assert rules[RSS]["value"] == pytest.approx(72_000, rel=0.2)
    assert rules[OBJECTS]["value"] == pytest.approx(1_000, rel=0.1)
    assert (rules[RSS]["per"], rules[RSS]["unit"]) == ("1000 requests", "bytes")
    assert rows["target.objects"]["word"] == rows["target.rss"]["word"] == "grows"
    assert rows["target.rss"]["reaches"] == "all the memory that may be used"
    assert rows["target.open_files"]["word"] != "grows"
    assert {"generator.rss", "master.rss", "target.state", "target.threads", "p95"} <= rows.keys()


def innocent(folder):
    found = leaking(folder, 0)
    verdicts = {rule["rule"]: rule["verdict"] for rule in found["rules"]}
    words = {row["name"]: row["word"] for row in found["drift"]}

    assert verdicts[RSS] in {"PASS", "WARN"}
    assert verdicts[OBJECTS] != "FAIL"
    assert words["target.rss"] != "grows"
    assert words["target.objects"] != "grows"


@pytest.mark.long
@pytest.mark.parametrize("number", range(20))
def test_without_a_leak_nobody_is_accused(tmp_path, number):
    """Not once in 20 runs is a target that leaks nothing said to grow."""
    innocent(tmp_path)
