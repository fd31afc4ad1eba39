"""Pairs of real runs: of one build they are the same, and one endpoint that takes a tenth longer is worse by name."""

import json
import subprocess
import sys

import pytest
from commands import environment, loadproof
from ports import free_port

SLOWED = "GET /policies/:id"
PLAN = """\
name: pairs
suite: governance
load:
  - {phase: warm, duration: 2s, users: 100, warmup: true}
  - {phase: steady, duration: 30s, users: 100}
scenarios: {PolicyGovernanceUser: 1}
rules:
  - p95 <= 1s
  - error_ratio <= 1%
stop_timeout: 5s
"""


def run(folder, port, label, *switches):
    """One run against a target of its own at the same address, as a new build would be; its folder."""
    words = [word for switch in ("slow=200ms", *switches) for word in ("--switch", switch)]
    target = subprocess.Popen(
        [sys.executable, "-m", "target.server", "--port", str(port), *words],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        target.stdout.readline()
        where = ("--target", f"http://127.0.0.1:{port}", "--reports", folder / label)
        done = loadproof("run", folder / "pairs.yaml", *where, "-q", cwd=folder)
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        target.terminate()
        target.wait(timeout=60)
    [found] = (folder / label).iterdir()
    return found


def compared(folder, one, other):
    done = loadproof("compare", one, other, "--json", cwd=folder)
    assert done.returncode in {0, 3, 4}, done.stdout + done.stderr
    return json.loads(done.stdout)


def pairs(folder, count):
    """The comparisons of so many pairs of one build, and of so many with a slower endpoint; each run is in one of each."""
    (folder / "pairs.yaml").write_text(PLAN)
    port = free_port()
    same, slower = [], []
    before = run(folder, port, "build-0")
    for number in range(1, count + 1):
        slow = run(folder, port, f"slow-{number}", f"slow_one={SLOWED} 20ms")
        after = run(folder, port, f"build-{number}")
        slower.append(compared(folder, slow, before))
        same.append(compared(folder, after, before))
        before = after
    return same, slower


def told(comparisons):
    """The word of each, with the endpoints that bear it out, for a reader of a failure."""
    return [f"{found['word']}: {found['text']}" for found in comparisons]


def names_the_slow_one(found):
    worse = {one["name"] for one in found["endpoints"] if one["word"] == "worse"}
    return found["word"] == "worse" and SLOWED in worse


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_three_pairs(tmp_path):
    """No pair of one build is called worse or better; the slower endpoint is named in each of the others."""
    same, slower = pairs(tmp_path, 3)

    assert all(found["word"] in {"same", "cannot tell"} for found in same), told(same)
    assert sum(found["word"] == "same" for found in same) >= 2, told(same)
    assert sum(map(names_the_slow_one, slower)) >= 2, told(slower)


@pytest.mark.long
@pytest.mark.timeout(3_000)
def test_ten_pairs(tmp_path):
    """At most one false alarm in ten pairs of one build; the slower endpoint is named in nine of ten."""
    same, slower = pairs(tmp_path, 10)

    print(*told(same), *told(slower), sep="\n")
    assert sum(found["word"] in {"worse", "better"} for found in same) <= 1, told(same)
    assert sum(found["word"] == "same" for found in same) >= 9, told(same)
    assert sum(map(names_the_slow_one, slower)) >= 9, told(slower)
