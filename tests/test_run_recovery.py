"""A real run against a real server whose outage and slow heal are known: what is measured agrees with them."""

import json

import pytest
from ailing import ailing
from commands import loadproof, results, run_folder

VISITOR = """\
from loadproof.client.user import LoadUser
from locust import constant, task


class Visitor(LoadUser):
    wait_time = constant(0.05)

    @task
    def read(self):
        self.client.get("/")
"""
# By its one latency limit this run allows its generator to be late by a second: how quick the target is, it does not ask.
PLAN = """\
name: ailing
locustfile: visitor.py
target: {url}
load:
  - {{phase: steady, duration: 41s, users: 8}}
faults:
  - {{kind: switch, name: healed, at: 11s, for: 4s, set: {{ill: true}}}}
  - {{kind: switch, name: fatal, at: 31s, for: 3s, set: {{ill: true}}}}
rules:
  - detection_time{{fault=healed}} <= 5s
  - functionality{{fault=healed}} >= 30%
  - recovery_time{{fault=healed}} <= 8s
  - recovery_time{{fault=fatal}} <= 1m
  - p50{{fault=none}} <= 10s
  - error_ratio{{fault=none}} <= 90%
"""
ONSET_S, HEAL_S = 1.5, 4.5


def run_zero_ns(folder):
    """CLOCK_MONOTONIC at run time 0."""
    lines = (folder / "cluster.jsonl").read_text().splitlines()
    [zero] = {told["began"] for told in map(json.loads, lines) if "began" in told}
    return zero


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(what the server knows, results.json, run time 0 on its clock, the folder)."""
    folder = tmp_path_factory.mktemp("ailing")
    (folder / "visitor.py").write_text(VISITOR)
    with ailing(ONSET_S, HEAL_S) as server:
        (folder / "plan.yaml").write_text(PLAN.format(url=server.url))
        done = loadproof("run", "./plan.yaml", cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    run = run_folder(folder)
    return server, results(run), run_zero_ns(run), run


def told(found, name):
    return next(fault for fault in found["faults"] if fault["name"] == name)


def rule(found, text):
    return next(one for one in found["rules"] if one["rule"].startswith(text))


def test_detection_and_recovery_are_those_of_the_server(ran):
    """From the switch to the first refusal, and from its end to the answers as quick as ever: within a second."""
    server, found, zero, _ = ran
    fault = told(found, "healed")
    on, off = server.spells[0]
    refused = min(answered for _, answered, ok in server.log if not ok)

    assert abs(fault["detection_s"] - ((refused - zero) / 1e9 - 11)) < 1
    assert abs(fault["recovery_s"] - ((off - zero) / 1e9 + HEAL_S - 15)) < 1
    assert fault["recovered"] is True
    assert on < refused < off


def test_functionality_is_the_share_that_the_server_served(ran):
    """Of the requests that the server had in hand within the fault's window, within one in a hundred."""
    server, found, zero, _ = ran
    window = (zero + 11 * 10**9, zero + 15 * 10**9)
    inside = [ok for asked, answered, ok in server.log if asked < window[1] and answered >= window[0]]
    fault = told(found, "healed")

    assert fault["functionality"] == pytest.approx(sum(inside) / len(inside), abs=0.01)
    assert fault["functionality_by_scenario"] == {"Visitor": fault["functionality"]}
    assert fault["overshoot"] > 5, "answers took twelve times as long"


def test_a_server_that_never_heals_fails_the_run(ran):
    """It says that it had not recovered and in how many seconds, in the rule, the results and the page."""
    _, found, _, folder = ran
    broken = rule(found, "recovery_time{fault=fatal}")

    assert (found["verdict"], broken["verdict"], broken["value"]) == ("FAIL", "FAIL", None)
    assert "not recovered in 7 s after fatal was over" in broken["reason"]
    assert (told(found, "fatal")["recovered"], told(found, "fatal")["recovery_s"]) == (False, None)
    assert {
        rule(found, f"{name}{{fault=healed}}")["verdict"] for name in ("functionality", "recovery_time")
    } == {"PASS"}
    assert "never in 7 s" in (folder / "report.html").read_text()
    assert "never in 7 s" in (folder / "summary.md").read_text()
