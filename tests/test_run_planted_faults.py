"""Faults planted in the target flip the verdict: each run ends FAIL, exit 3, with the broken rule named."""

import json
import subprocess
import sys

import pytest
from commands import environment, loadproof, results, run_folder

PLAN = """\
name: planted
suite: governance
load:
  - {phase: steady, duration: 8s, users: 60}
rules:
  - p95 <= 2s
  - error_ratio <= 1%
  - check(compliance) >= 95%
  - check(hash_consistency) >= 100%
  - check(isolation) >= 100%
  - check(proof) >= 100%
  - check(audit_chain) >= 100%
stop_timeout: 10s
seed: 7
"""


@pytest.fixture
def serve():
    """Starts the reference target with switches, in a process of its own."""
    started = []

    def start(*switches):
        words = [word for switch in switches for word in ("--switch", switch)]
        process = subprocess.Popen(
            [sys.executable, "-m", "target.server", "--port", "0", *words],
            stdout=subprocess.PIPE,
            env=environment(),
        )
        started.append(process)
        return json.loads(process.stdout.readline())["url"]

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=60)


def run(tmp_path, url):
    (tmp_path / "planted.yaml").write_text(PLAN)
    done = loadproof("run", "./planted.yaml", "--target", url, cwd=tmp_path)
    assert "Traceback" not in done.stdout + done.stderr
    return done, results(run_folder(tmp_path))


@pytest.mark.parametrize(
    ("switch", "rule"),
    [
        ("slow=2500ms", "p95 <= 2s"),
        ("errors=0.02", "error_ratio <= 1%"),
        ("wrong_hash=1", "check(hash_consistency) >= 100%"),
        ("leaked_row=1", "check(isolation) >= 100%"),
        ("broken_link=1", "check(audit_chain) >= 100%"),
        pytest.param("bad_signature=1", "check(audit_chain) >= 100%", marks=pytest.mark.long),
        ("false_proof=1", "check(proof) >= 100%"),
        pytest.param("false_refutation=1", "check(proof) >= 100%", marks=pytest.mark.long),
    ],
)
def test_a_planted_fault_fails_the_run_by_its_rule(tmp_path, serve, switch, rule):
    """One lie among thousands of answers, or a limit broken, is FAIL: its rule is named and nothing else fails."""
    done, found = run(tmp_path, serve(switch))

    assert done.returncode == 3, done.stdout + done.stderr
    assert found["verdict"] == "FAIL"
    assert {judged["rule"] for judged in found["rules"] if judged["verdict"] == "FAIL"} - {
        # A slow target also stalls and, in eight seconds, cannot be told from one that hangs.
        judged["rule"]
        for judged in found["rules"]
        if judged["implied"]
    } == {rule}
    assert rule in done.stdout


def test_without_a_fault_every_check_holds(tmp_path, serve):
    """The same run against the honest target breaks no rule, and each check was made many times."""
    done, found = run(tmp_path, serve())

    assert done.returncode == 0, done.stdout + done.stderr
    assert found["verdict"] == "WARN", "eight seconds are too few for a confidence interval"
    for name in ("compliance", "hash_consistency", "isolation", "proof", "audit_chain"):
        assert found["checks"][name]["failed"] == 0
        assert found["checks"][name]["passed"] > 20
    shares = {name: totals["requests"] for name, totals in found["by_scenario"].items()}
    assert set(shares) == {
        "ConstitutionalVerificationUser",
        "MultiTenantUser",
        "PolicyGovernanceUser",
        "FormalVerificationUser",
        "IntegrityUser",
    }
