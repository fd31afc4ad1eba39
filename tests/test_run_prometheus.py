"""External metrics, as a user sees them: a real Prometheus scrapes the target while a run goes on."""

import json
from urllib.parse import urlsplit

import pytest
from commands import loadproof, results, run_folder, seconds_of_load, start, wait_until
from prometheus import made_up_prometheus, prometheus, vector
from serving import serving

TOKEN = "t0ken-of-a-prometheus"
PLAN = """\
name: asked
suite: governance
load:
  - {{phase: steady, duration: {seconds}s, users: 10}}
rules:
  - error_ratio <= 1%
{rules}
stop_timeout: 10s
seed: 7
"""
CARELESS = """\
import os

from locust import FastHttpUser, constant, task


class Careless(FastHttpUser):
    wait_time = constant(0.5)

    @task
    def tell(self):
        self.client.get("/gateway/health")
        print("the environment:", dict(os.environ), flush=True)
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serving("--port", "0", folder=tmp_path_factory.mktemp("target")) as served:
        yield served


def written(folder, *rules, seconds=8, more=""):
    """A plan file with these rules; one that starts with ? is optional."""
    lines = [
        json.dumps({"rule": rule[1:], "optional": True} if rule.startswith("?") else rule) for rule in rules
    ]
    text = PLAN.format(seconds=seconds, rules="\n".join(f"  - {line}" for line in lines))
    (folder / "asked.yaml").write_text(text + more)
    return "./asked.yaml"


def test_rules_on_a_systems_metrics_are_judged(tmp_path, target):
    """PASS, WARN, FAIL and NO DATA where each is known beforehand, from samples that one query a second left; the
    folder gives the same report when Prometheus is gone."""
    rules = {
        'promql(up{job="target"}) >= 1': "PASS",
        'promql(max(up{job="target"})) >= 1 for 3s': "PASS",
        'promql(up{job="target"} * 0.25) <= 250ms': "PASS",
        'promql(up{job="target"}) >= 1, goal >= 2': "WARN",
        "resource(db.memory) <= 100GB": "PASS",
        "resource(target.open_files) <= 100000 for 2s": "PASS",
        "resource(generator.open_files) <= 100000": "PASS",
        "promql(up) >= 2": "FAIL",
        "promql(sum(target_requests_total)) <= 5 over 3s": "FAIL",
        "?promql(nothing_of_that_name) >= 1": "NO_DATA",
        "?promql(sum(up) * 0 / 0) >= 1": "NO_DATA",
    }
    more = (
        "prometheus: {url: http://127.0.0.1:1, resources: {db.memory: sum(target_resident_memory_bytes)}}\n"
    )
    with prometheus(tmp_path, urlsplit(target.url).netloc) as real:
        done = loadproof(
            *("run", written(tmp_path, *rules, more=more), "--target", target.url, "--prometheus", real.url),
            cwd=tmp_path,
        )
    folder = run_folder(tmp_path)
    found = results(folder)
    judged = {one["rule"]: one for one in found["rules"]}

    assert done.returncode == 3, done.stdout + done.stderr
    assert {text: judged[text.removeprefix("?")]["verdict"] for text in rules} == rules
    assert "it gives no series" in judged["promql(nothing_of_that_name) >= 1"]["reason"]
    assert "its value is NaN" in judged["promql(sum(up) * 0 / 0) >= 1"]["reason"]
    assert judged["resource(db.memory) <= 100GB"]["value"] > 10_000_000
    assert judged['promql(up{job="target"} * 0.25) <= 250ms']["value"] == 250
    asked = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    times = [one["at_us"] for one in asked if one["name"] == 'promql(up{job="target"})']
    assert len(times) >= 5
    before = (folder / "results.json").read_bytes()
    assert loadproof("report", folder, cwd=tmp_path).returncode == 3
    assert (folder / "results.json").read_bytes() == before


def test_a_prometheus_that_stops_half_way_leaves_no_data(tmp_path, target):
    """The rule has no data and the run is INVALID, with the times between which nothing was known."""
    rule = "promql(sum(up)) >= 1"
    with prometheus(tmp_path, urlsplit(target.url).netloc) as real:
        words = ("run", written(tmp_path, rule, seconds=20), "--target", target.url)
        process = start(*words, "--prometheus", real.url, cwd=tmp_path)
        wait_until(lambda: list(tmp_path.glob("reports/*/samples.jsonl")))
        wait_until(lambda: seconds_of_load(run_folder(tmp_path)) >= 6)
        # One that ends in order may still answer, and something else than the others.
        real.process.kill()
        real.process.wait(30)
        said, _ = process.communicate(timeout=240)
    found = results(run_folder(tmp_path))
    judged = {one["rule"]: one for one in found["rules"]}[rule]

    assert process.returncode == 4, said
    assert found["verdict"] == "INVALID"
    assert judged["verdict"] == "NO_DATA"
    reason = judged["reason"]
    assert "had no value during the run from" in reason
    begin, end = reason.partition("from ")[2].partition(" (")[0].split(" to ")
    assert (4 <= int(begin.removesuffix("s")) <= 13, end) == (True, "20s"), reason
    assert "Prometheus does not answer: Connection refused" in reason
    assert any(reason in one["text"] for one in found["reasons"] if one["verdict"] == "INVALID")
    assert "NO DATA" in said
    assert "Traceback" not in said + (run_folder(tmp_path) / "run.log").read_text()


def test_a_question_that_cannot_be_answered_is_refused_before_the_load(tmp_path, target):
    """Nobody there, no PromQL, several series, no number: exit 2 with what to do, and no run folder."""
    refused = {
        "promql(sum(up) >= 1": (2, "is never closed"),
        "promql(sum by up) >= 1": (2, "Prometheus cannot read it"),
        "promql(target_requests_total[5s]) >= 1": (2, "it gives a range of values, not a number"),
        "promql(up or vector(2)) >= 1": (2, "it gives 2 series, and a rule needs one number"),
    }
    with prometheus(tmp_path, urlsplit(target.url).netloc) as real:
        for rule, (code, text) in refused.items():
            words = ("run", written(tmp_path, rule), "--target", target.url, "--prometheus", real.url)
            done = loadproof(*words, cwd=tmp_path)
            assert (done.returncode, text in done.stderr) == (code, True), done.stdout + done.stderr
    words = ("run", written(tmp_path, "promql(up) >= 1"), "--target", target.url)
    gone = loadproof(*words, "--prometheus", real.url, cwd=tmp_path)
    none = loadproof(*words, cwd=tmp_path)

    assert (gone.returncode, none.returncode) == (2, 2)
    assert "does not answer: Connection refused; start it, or name another with --prometheus" in gone.stderr
    assert "promql(...) needs a Prometheus to ask" in none.stderr
    assert not list(tmp_path.glob("reports/*"))


def test_a_token_is_sent_and_never_written(tmp_path, target):
    """The plan names the variable; the token goes with every question and stands in no file and no output, though
    the users' code prints its whole environment."""
    rule = "promql(up) >= 1"

    def answer(expression):
        return vector("1")

    with made_up_prometheus(answer) as made_up:
        more = f"prometheus: {{url: '{made_up.url}', token: PROM_TOKEN}}\n"
        plan = written(tmp_path, rule, seconds=3, more=more)
        (tmp_path / "careless.py").write_text(CARELESS)
        text = (tmp_path / plan).read_text().replace("suite: governance", "locustfile: careless.py")
        (tmp_path / plan).write_text(text)
        unset = loadproof("run", plan, "--target", target.url, cwd=tmp_path)
        done = loadproof("run", plan, "--target", target.url, "-v", cwd=tmp_path, PROM_TOKEN=TOKEN)
        told = loadproof(
            *("run", plan, "--set", f"title={TOKEN}", "--target", target.url), cwd=tmp_path, PROM_TOKEN=TOKEN
        )
    folder = run_folder(tmp_path)

    assert unset.returncode == 2
    assert "`PROM_TOKEN` is not set" in unset.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the environment: {" in (folder / "run.log").read_text()
    assert len(made_up.asked) >= 3
    assert set(made_up.asked) == {("up", f"Bearer {TOKEN}")}
    assert TOKEN not in done.stdout + done.stderr + told.stdout + told.stderr
    assert told.returncode == 2
    for path in folder.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path
    assert "PROM_TOKEN" in (folder / "plan.yaml").read_text()


def test_a_token_that_is_not_taken_is_said(tmp_path, target):
    """401 before the load is a mistake of whoever started the run."""
    with made_up_prometheus(lambda _: (401, b"no\n")) as made_up:
        plan = written(tmp_path, "promql(up) >= 1")
        done = loadproof(
            *("run", plan, "--target", target.url, "--prometheus", made_up.url),
            cwd=tmp_path,
            LOADPROOF_PROMETHEUS_TOKEN=TOKEN,
        )

    assert done.returncode == 2
    assert "answered 401: it wants another token" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
