"""A run that a real Prometheus watches, as a user sees it: its numbers, its rules, and every panel of the dashboards."""

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import loadproof, results, run_folder, start
from panelling import answer, queries
from ports import free_port
from prometheus import Real, watching
from serving import serving

RULES = Path(__file__).parent.parent / "monitoring" / "rules"
PLAN = """\
name: watched
suite: governance
target: {target}
load:
  - {{phase: rise, duration: 3s, arrivals: 10..40/s, users: 40}}
  - {{phase: steady, duration: 25s, arrivals: 40/s, users: 40}}
regions:
  - {{name: eu-west-1, workers: 1}}
  - {{name: us-east-1, workers: 1}}
rules:
  - p95 <= 2s, goal < 1s
  - rate >= 10/s
  - error_ratio <= 1%
  - check(compliance) >= 95%
faults: [{{kind: command, at: 8s, for: 3s, command: 'true', revert: 'true'}}]
guards: {{users: {{warn: 10, stop: 1000}}}}
seed: 7
"""
BEFORE_AND_AFTER_S = 300
COUNT = "loadproof_request_duration_seconds_count"
BUCKET = "loadproof_request_duration_seconds_bucket"
UNTOLD = "loadproof_worker_throttled_seconds_total"
"""Not every kernel tells of quotas."""


@dataclass
class Watched:
    """A run that is over, and the Prometheus that has seen it to its end."""

    real: Real
    results: dict[str, Any]
    address: str

    def last(self, metric: str, by: str = "sum") -> float | None:
        return self.real.value(f"{by}(last_over_time({metric}[{BEFORE_AND_AFTER_S}s]))")

    def times(self) -> tuple[str, float, float]:
        """The run's name as its metrics have it, and when it was scraped first and last."""
        query = f"loadproof_run_info[{BEFORE_AND_AFTER_S}s]"
        [series] = self.real.asked("query", query=query)["result"]
        return series["metric"]["run"], series["values"][0][0], series["values"][-1][0]

    def last_s(self, metric: str) -> float:
        """When it was 1 for the last time."""
        [series] = self.real.asked("query", query=f"{metric}[{BEFORE_AND_AFTER_S}s]")["result"]
        return max(at for at, text in series["values"] if float(text) == 1)

    def bounds(self) -> list[float]:
        query = f'count by (le) (last_over_time({BUCKET}{{le!="+Inf"}}[{BEFORE_AND_AFTER_S}s]))'
        return sorted(float(one["metric"]["le"]) for one in self.real.asked("query", query=query)["result"])


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A target that fails now and then, loaded from two regions, both scraped; with recording rules and alerts."""
    folder = tmp_path_factory.mktemp("watched")
    address, own = f"127.0.0.1:{free_port()}", free_port()
    with serving("--port", "0", "--switch", "errors=0.03", folder=folder) as target:
        (folder / "watched.yaml").write_text(PLAN.format(target=target.url))
        process = start("run", "./watched.yaml", "--metrics", address, cwd=folder)
        jobs = {
            "loadproof": [address],
            "target": [target.url.removeprefix("http://")],
            "prometheus": [f"127.0.0.1:{own}"],
        }
        rules = [RULES / "recording.yml", RULES / "alerts.yml"]
        discovered = {"workers": f"http://{address}/workers?port=1"}
        try:
            with watching(folder, jobs, rules=rules, discovered=discovered, port=own) as real:
                process.communicate(timeout=120)
                yield Watched(real, results(run_folder(folder)), address)
        finally:
            process.kill()
            process.wait(30)


def test_prometheus_has_what_the_report_says(watched):
    """Scraped to the end: requests, checks and rules in Prometheus are those of `results.json`, to the request."""
    found, last = watched.results, watched.last
    totals, accounting = found["totals"], found["accounting"]
    checks = 'loadproof_checks_total{check="compliance",result="passed"}'

    assert last(f'{COUNT}{{outcome="ok"}}') == totals["requests"] - totals["failures"] == accounting["ok"]
    assert last(f'{COUNT}{{outcome="failed"}}') == accounting["failed"] > 0
    assert last("loadproof_requests_started_total") == accounting["started"]
    assert last("locust_requests_num_requests") == accounting["locust_counted"]
    assert last(checks) == found["checks"]["compliance"]["passed"]
    assert last("loadproof_intervals_total") >= accounting["intervals_present"]
    assert last("loadproof_intervals_missing") == 0
    assert last('loadproof_arrivals_total{fate="taken"}') > 1_000
    assert last('loadproof_arrivals_total{fate!="taken"}') == accounting["dropped_arrivals"]
    assert last("loadproof_worker_up") == accounting["workers_seen"] == 2
    assert last("loadproof_worker_memory_bytes", "min") > 1_000_000
    assert last('loadproof_guard{guard="users",level="warn"}') == 1
    assert last('loadproof_guard{guard="users",level="stop"}') == 0
    assert last('loadproof_run_state{state="ended"}') == 1
    for rule in found["rules"]:
        # The last look was some seconds before the end: what is nearly certain may be certain by then.
        states = "FAIL" if rule["verdict"] == "FAIL" else "PASS|WARN"
        selector = f'rule="{rule["rule"]}",state=~"{states}"'
        assert last(f"loadproof_rule_state{{{selector}}}") == 1, rule
    assert last('loadproof_rule_limit{rule="p95 <= 2s, goal < 1s"}') == 2
    assert found["verdict"] == "FAIL"
    assert last('loadproof_verdict_so_far{verdict="FAIL"}') == 1
    assert last("loadproof_verdict_so_far") == 1


def test_regions_add_up_in_prometheus(watched):
    """Counts by region are the report's, and quantiles over and by region lie in the bucket of the report's."""
    by_region = watched.results["by_region"]
    bounds = watched.bounds()

    assert len(by_region) == 2
    for selector, expected in [("", watched.results["totals"])] + [
        (f'region="{region}",', figures) for region, figures in by_region.items()
    ]:
        ok = f'{selector}outcome="ok"'
        assert watched.last(f"{COUNT}{{{ok}}}") == expected["requests"] - expected["failures"]
        for name, quantile in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
            said = watched.real.value(
                f"histogram_quantile({quantile}, sum by (le) "
                f"(last_over_time({BUCKET}{{{ok}}}[{BEFORE_AND_AFTER_S}s])))"
            )
            at = bisect_left(bounds, expected["latency_ms"][name] / 1_000)
            assert (bounds[at - 1] if at else 0) <= said <= bounds[at], (selector, name)


def test_rates_over_regions_are_the_reports(watched):
    """`rate()` of the steady seconds is the report's, and so is `histogram_quantile()` of rates, within a bucket."""
    end_s = watched.last_s('loadproof_phase{phase="steady"}')
    steady = watched.results["by_phase"]["steady"]
    bounds = watched.bounds()

    def asked(query):
        # A window of 15 s that lies within the 25 s of the steady phase.
        [series] = watched.real.asked("query", query=query, time=end_s - 2)["result"]
        return float(series["value"][1])

    def bucket(name):
        return bisect_left(bounds, steady["latency_ms"][name] / 1_000)

    assert asked(f'sum(rate({COUNT}{{outcome="ok"}}[15s]))') == pytest.approx(steady["rate_per_s"], rel=0.1)
    said = asked(f'histogram_quantile(0.9, sum by (le) (rate({BUCKET}{{outcome="ok"}}[15s])))')
    # What a tenth of 15 s exceeds, 6 % of the 25 s do at least and 46 % at most.
    assert bucket("p50") - 1 <= bisect_left(bounds, said) <= bucket("p95") + 1


def test_every_panel_has_data(watched):
    """Each query of each dashboard and annotation, with variables as Grafana puts them in: no error, and not empty."""
    run, begin_s, end_s = watched.times()
    empty = [
        str(asked)
        for asked in queries()
        if not answer(watched.real, asked, run, begin_s, end_s) and UNTOLD not in asked.expression
    ]

    assert empty == []


def test_the_alert_that_must_fire_fires(watched):
    """Of the committed rules, the broken limit's alert fired, and none that speaks of an unfit generator."""
    query = f'count by (alertname) (last_over_time(ALERTS{{alertstate="firing"}}[{BEFORE_AND_AFTER_S}s]))'
    fired = {one["metric"]["alertname"] for one in watched.real.asked("query", query=query)["result"]}

    assert "LoadproofLimitBroken" in fired
    assert not fired & {"LoadproofWorkerLost", "LoadproofNoData", "LoadproofRunStalled"}


def test_prometheus_discovers_the_workers_hosts(watched):
    """By `/workers`, each with its region and its name, at the port that was asked for."""
    targets = watched.real.asked("targets")["activeTargets"]
    found = {
        (target["labels"]["region"], target["labels"]["worker"], target["discoveredLabels"]["__address__"])
        for target in targets
        if target["scrapePool"] == "workers"
    }

    assert found == {(region, f"{region}-01", "127.0.0.1:1") for region in watched.results["by_region"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metrics", "0.0.0.0:0"), "give a token, or 127.0.0.1"),
        (("--metrics", "nowhere"), "is not an address"),
    ],
)
def test_bad_addresses_are_bad_usage(tmp_path, words, said):
    """No load, no folder, exit code 2, and one line that says what to do."""
    (tmp_path / "watched.yaml").write_text(PLAN.format(target="embedded"))
    done = loadproof("run", "./watched.yaml", *words, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("reports/*"))
