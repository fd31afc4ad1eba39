"""The kinds of files of ACGS's load-test suite: HTML, CSV raw data, JSON analysis, Markdown summary, PNG charts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analyzer import charts, metrics_csv, report_html, summary_md
from analyzer.chart import WIDE
from analyzer.results_json import milliseconds, real, rule_document
from analyzer.run_clock import iso, run_began, run_length_us
from analyzer.vega import to_png

if TYPE_CHECKING:
    from analyzer.model import Report


def files(report: Report) -> dict[str, bytes]:
    text = json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False)
    pictures = charts.charts_of(report) if report.timeline else ()
    return {
        "reports/load_test_report.html": report_html.render(report),
        "reports/load_test_raw_data.csv": metrics_csv.render(report),
        "reports/load_test_analysis.json": f"{text}\n".encode("ascii"),
        "reports/load_test_summary.md": summary_md.render(report),
        **{f"charts/{chart.name}.png": to_png(chart.drawn(report, WIDE)) for chart in pictures},
    }


def document(report: Report) -> dict[str, Any]:
    """Percentiles, throughput, errors, compliance, resources, and how each threshold was kept."""
    totals, of = report.totals, report.totals.latency
    return {
        "test_name": report.name,
        "timestamp": iso(run_began(report)),
        "duration_seconds": real(run_length_us(report) / 1_000_000),
        "users": report.plan.max_users,
        "total_requests": totals.requests,
        "response_time_ms": None
        if of is None
        else {
            "average": milliseconds(of.mean_us),
            "p50": milliseconds(of.p50_us),
            "p90": milliseconds(of.p90_us),
            "p95": milliseconds(of.p95_us),
            "p99": milliseconds(of.p99_us),
            "max": milliseconds(of.max_us),
        },
        "throughput_rps": {"average": real(totals.rate_per_s), "peak": real(totals.peak_rate_per_s)},
        "error_rate": real(totals.error_ratio),
        "constitutional_compliance": {
            check.name: {"passed": check.passed, "failed": check.failed, "score": real(check.ratio)}
            for check in report.checks
        },
        "resource_utilization": {
            resource.name: {"average": real(resource.mean), "max": real(resource.max)}
            for resource in report.resources
        },
        "threshold_evaluation": [rule_document(rule) for rule in report.rules],
        "overall": report.verdict.value,
    }
