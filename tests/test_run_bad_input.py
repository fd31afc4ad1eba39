"""Bad input as a new user would type it: exit 2 within seconds, the place, the remedy, never a traceback."""

import os
import random
import socket
from pathlib import Path

import pytest
from commands import VISITOR, loadproof
from unreachable import closed_port

GOOD = """\
name: small
suite: governance
load:
  - {phase: steady, duration: 10s, users: 5}
rules:
  - p95 <= 2s
"""


def refused(done, *words):
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    assert "Traceback" not in output
    for word in words:
        assert word in output, output


@pytest.mark.parametrize(
    ("line", "better", "words"),
    [
        ("rules:", "ruels:", ["plan.yaml:5:1", "ruels", "did you mean", "rules"]),
        ("duration: 10s", "duration: 10 parsecs", ["plan.yaml:4:", "parsecs", "such as"]),
        ("duration: 10s", "duration: 10", ["plan.yaml:4:", "unit"]),
        ("duration: 10s", "duration: -10s", ["plan.yaml:4:"]),
        ("suite: governance", "suite: governance\nsuite: governance", ["plan.yaml:3:1", "suite"]),
        ("suite: governance", "suite: goverance", ["plan.yaml:2:8", "goverance"]),
        (
            "rules:",
            "scenarios: {PolicyGovernor: 1}\nrules:",
            ["plan.yaml:5:13", "PolicyGovernor", "did you mean"],
        ),
        ("rules:", "scenarios: {PolicyGovernanceUser: 0}\nrules:", ["plan.yaml:5:", "0"]),
        ("rules:", "regions: [{name: east, workers: 0}]\nrules:", ["plan.yaml:5:", "workers"]),
        ("rules:", "regions: [{name: east, max_users: 4}]\nrules:", ["max_users"]),
        ("p95 <= 2s", "p95 <= 2 parsecs", ["plan.yaml:6:"]),
        ("p95 <= 2s", "p59x <= 2s", ["plan.yaml:6:5", "p59x"]),
        ("p95 <= 2s", "p95{regoin=east} <= 2s", ["plan.yaml:6:", "regoin", "did you mean"]),
        ("p95 <= 2s", "p95{region=eest} <= 2s", ["plan.yaml:6:", "eest"]),
        (
            "rules:\n  - p95 <= 2s",
            "faults: [{kind: pause, name: standstill, at: 1s, for: 1s}]\nrules:\n  - p95{fault=standstil} <= 2s",
            ["plan.yaml:7:", "the plan has no fault 'standstil'", "did you mean 'standstill'?"],
        ),
        (
            "p95 <= 2s",
            "recovery_time <= 1m",
            ["plan.yaml:6:", "recovery_time is of a fault, and the plan has none"],
        ),
        (
            "rules:",
            "faults: [{kind: pause, name: none, at: 1s, for: 1s}]\nrules:",
            ["plan.yaml:5:30", "a fault cannot be called `none`"],
        ),
        ("p95 <= 2s", "check(hash) >= 100%", ["plan.yaml:6:", "hash", "hash_consistency"]),
        ("p95 <= 2s", "resource(target.cpuu) <= 80%", ["plan.yaml:6:", "did you mean 'target.cpu'?"]),
        (
            "- p95 <= 2s",
            "- {rule: p95 <= baseline + 10%, abort: true}",
            ["plan.yaml:6:12", "an abort rule needs a limit of its own"],
        ),
        ("p95 <= 2s", "promql(up) >= 1", ["plan.yaml:6:", "needs a Prometheus to ask", "--prometheus URL"]),
        ("p95 <= 2s", "promql(sum(up) >= 1", ["plan.yaml:6:11", "is never closed"]),
        ("p95 <= 2s", "capacity >= 3", ["plan.yaml:6:5", "searches for no capacity", "search: {}"]),
    ],
)
def test_a_mistake_in_a_plan_is_shown_with_its_place(tmp_path, line, better, words):
    """File, line and column, the line itself, and what to do about it."""
    assert line in GOOD
    (tmp_path / "plan.yaml").write_text(GOOD.replace(line, better, 1))

    refused(loadproof("run", "./plan.yaml", cwd=tmp_path), *words)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("capacity >= 6", ["plan.yaml:6:5", "tries no load above 5 users"]),
        ("capacity >= 3/s", ["plan.yaml:6:5", "the load of this plan is users"]),
        ("rate >= 3/s", ["plan.yaml:6:5", "rate neither limits the load", "another phase"]),
        ("capacity >= 3", ["plan.yaml:7:9", "no rule says what a load must not break"]),
        ("{rule: p95 <= 2s, abort: true}", ["plan.yaml:7:9", "no rule says what a load must not break"]),
    ],
)
def test_a_rule_that_a_search_leaves_nothing_to_say_is_shown(tmp_path, rule, words):
    """No limit of a plan goes unjudged in silence."""
    (tmp_path / "plan.yaml").write_text(
        f"{GOOD.replace('p95 <= 2s', rule).replace('10s', '60s')}search: {{hold: 2s}}\n"
    )

    refused(loadproof("validate", "./plan.yaml", cwd=tmp_path), *words)


def test_all_mistakes_are_shown_at_once(tmp_path):
    """Plan, scenario and rule mistakes of one file come in one answer."""
    text = GOOD.replace("p95 <= 2s", "p95 <= ").replace("rules:", "scenarios: {Nobody: 1}\nrules:")
    (tmp_path / "plan.yaml").write_text(text)

    refused(loadproof("validate", "./plan.yaml", cwd=tmp_path), "Nobody", "plan.yaml:7:")


def test_files_that_are_no_plans(tmp_path):
    """A folder, an empty file, binary noise, 50 MB and a missing file each get a sentence."""
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "noise.yaml").write_bytes(random.Random(7).randbytes(4_096))
    (tmp_path / "large.yaml").write_bytes(b"name: x\n" * 6_250_000)
    for name in ("folder", "empty", "noise", "large", "missing"):
        refused(loadproof("run", f"./{name}.yaml", cwd=tmp_path), f"{name}.yaml")


def test_an_unknown_plan_name_gets_a_suggestion(tmp_path):
    """`loadproof run enterprize` asks whether enterprise was meant."""
    refused(loadproof("run", "enterprize", cwd=tmp_path), "enterprise")


def test_an_unreachable_target_is_told_before_any_load(tmp_path):
    """Nothing listens there: exit 2, the URL, and no run folder is left."""
    port = closed_port()
    (tmp_path / "plan.yaml").write_text(GOOD)
    done = loadproof("run", "./plan.yaml", "--target", f"http://127.0.0.1:{port}", cwd=tmp_path)

    refused(done, f"http://127.0.0.1:{port}", "does not answer")
    assert list((tmp_path / "reports").iterdir()) == []


def test_a_busy_port_is_told(tmp_path):
    """`loadproof target --port` on a port in use: exit 2 and the port."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]

        refused(loadproof("target", "--port", port, cwd=tmp_path), str(port))


def test_an_unwritable_report_folder_is_told_before_any_load(tmp_path):
    """A file in the folder's place (root may write anywhere else): exit 2 and the path."""
    (tmp_path / "plan.yaml").write_text(GOOD)
    (tmp_path / "reports").write_text("a file")

    refused(loadproof("run", "./plan.yaml", cwd=tmp_path), "reports")


def test_a_read_only_report_folder_is_told(tmp_path):
    """A place where not even root may write: exit 2 and the path."""
    (tmp_path / "plan.yaml").write_text(GOOD)

    refused(loadproof("run", "./plan.yaml", "--reports", "/proc", cwd=tmp_path), "/proc", "--reports")


def test_a_host_that_is_not_this_machine_needs_permission(tmp_path):
    """Load at another host asks for --yes or an allow-list, before anything is sent there."""
    (tmp_path / "plan.yaml").write_text(GOOD)
    done = loadproof("run", "./plan.yaml", "--target", "http://target.invalid", cwd=tmp_path)

    refused(done, "target.invalid", "--yes", "allow_hosts")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x = 1\n", "no user class"),
        ("import nothing_of_this_name\n", "line 1"),
        ("def broken(:\n", "line 1"),
        ("raise SystemExit(3)\n", "SystemExit"),
    ],
)
def test_a_bad_locustfile_is_told_with_its_line(tmp_path, text, word):
    """No user class, an import that fails, a syntax error, an exit: one message each."""
    (tmp_path / "bad.py").write_text(text)

    refused(loadproof("run", "-f", "bad.py", cwd=tmp_path), "bad.py", word)


def test_flags_that_do_not_fit_are_told(tmp_path):
    """Neither plan nor locustfile, both, an unknown flag, a number that is none, a rule without a limit."""
    (tmp_path / "visitor.py").write_text(VISITOR)
    for words in (
        [],
        ["enterprise", "-f", "visitor.py"],
        ["enterprise", "--usres", "5"],
        ["enterprise", "--users", "many"],
        ["enterprise", "--users", "0"],
        ["enterprise", "--users", "4001"],
        ["enterprise", "--duration", "1s"],
        ["enterprise", "--region", "mars"],
        ["enterprise", "--env", "nowhere"],
        ["enterprise", "--set", "load.9.users=5"],
        ["-f", "visitor.py", "--rule", "p95"],
    ):
        done = loadproof("run", *words, cwd=tmp_path)
        output = done.stdout + done.stderr
        assert done.returncode == 2, (words, output)
        assert "Traceback" not in output, (words, output)


def test_a_report_of_no_run_folder_is_told(tmp_path):
    """An empty folder and a missing one: exit 2 and what is missing."""
    (tmp_path / "empty").mkdir()

    refused(loadproof("report", "empty", cwd=tmp_path), "empty")
    refused(loadproof("report", "nowhere", cwd=tmp_path), "nowhere")


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    """A full disk behind `>`, and a reader that has left: one line or none, and no OK."""
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(writing, "wb") as pipe:
        done = loadproof("validate", "enterprise", cwd=tmp_path, stdout=full)
        left = loadproof("validate", "enterprise", cwd=tmp_path, stdout=pipe)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left" in done.stderr
    assert (left.returncode, left.stderr) == (1, "")


@pytest.mark.parametrize("host", ["127.evil.invalid", "localhost.invalid", "10.0.0.1"])
def test_only_loopback_is_loopback(tmp_path, host):
    """A name that merely begins like a loopback address needs permission as any other."""
    (tmp_path / "plan.yaml").write_text(GOOD)

    refused(loadproof("run", "./plan.yaml", "--target", f"http://{host}:9", cwd=tmp_path), host, "--yes")


def test_a_scenario_that_cannot_be_made_is_no_pass(tmp_path):
    """A user class whose constructor raises makes the run INVALID, in a smoke run too."""
    (tmp_path / "two.py").write_text(
        VISITOR
        + "\n\nclass Broken(Visitor):\n    def __init__(self, environment):\n        raise RuntimeError('no token')\n"
    )
    plan = (
        "name: two\nlocustfile: two.py\nload:\n  - {phase: steady, duration: 6s, users: 20}\n"
        'scenarios: {Visitor: 95, Broken: 5}\nrules: ["count >= 10"]\n'
    )
    (tmp_path / "two.yaml").write_text(plan)
    for more in ((), ("--smoke",)):
        done = loadproof("run", "./two.yaml", *more, cwd=tmp_path)
        assert done.returncode in {3, 4}, done.stdout + done.stderr
        assert "Broken" in done.stdout
