"""A run that a real Prometheus watches, as a user sees it."""

import socket

import pytest
from commands import loadproof, results, run_folder, start
from prometheus import prometheus

PLAN = """\
name: watched
suite: governance
load:
  - {phase: steady, duration: 14s, users: 10}
rules:
  - error_ratio <= 1%
  - p95 <= 2s, goal < 1s
  - check(compliance) >= 95%
seed: 7
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_prometheus_has_what_the_report_says(tmp_path):
    """Scraped to the end: requests, checks and rules in Prometheus are those of `results.json`, to the request."""
    (tmp_path / "watched.yaml").write_text(PLAN)
    address = f"127.0.0.1:{free_port()}"
    process = start("run", "./watched.yaml", "--metrics", address, cwd=tmp_path)
    try:
        with prometheus(tmp_path, address) as real:
            process.communicate(timeout=120)
            found = results(run_folder(tmp_path))

            def last(metric, by="sum"):
                return real.value(f"{by}(last_over_time({metric}[5m]))")

            count = "loadproof_request_duration_seconds_count"
            totals = found["totals"]
            assert last(f'{count}{{outcome="ok"}}') == totals["requests"] - totals["failures"]
            assert last("loadproof_requests_started_total") == found["accounting"]["started"]
            assert last("locust_requests_num_requests") == found["accounting"]["locust_counted"]
            checks = 'loadproof_checks_total{check="compliance",result="passed"}'
            assert last(checks) == found["checks"]["compliance"]["passed"]
            assert last("loadproof_intervals_total") >= found["accounting"]["intervals_present"]
            assert last("loadproof_intervals_missing") == 0
            assert last('loadproof_run_state{state="ended"}') == 1
            assert last("loadproof_worker_up") == found["accounting"]["workers_seen"]
            assert last('loadproof_rule_limit{rule="p95 <= 2s, goal < 1s"}') == 2
            assert last('loadproof_rule_state{state=~"PASS|WARN"}') == len(found["rules"])
            quantile = real.value(
                "histogram_quantile(0.95, sum by (le)"
                '(last_over_time(loadproof_request_duration_seconds_bucket{outcome="ok"}[5m])))'
            )
            p95 = totals["latency_ms"]["p95"] / 1_000
            assert p95 / 2.5 <= quantile <= max(0.001, p95 * 2.5)
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metrics", "0.0.0.0:0"), "give a token, or 127.0.0.1"),
        (("--metrics", "nowhere"), "is not an address"),
    ],
)
def test_bad_addresses_are_bad_usage(tmp_path, words, said):
    """No load, no folder, exit code 2, and one line that says what to do."""
    (tmp_path / "watched.yaml").write_text(PLAN)
    done = loadproof("run", "./watched.yaml", *words, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("reports/*"))
