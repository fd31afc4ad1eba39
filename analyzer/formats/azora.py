"""The result files of Azora's stress tests: a JSON document with its keys, durations in milliseconds, and a summary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analyzer.formats import azora_summary
from analyzer.results_json import milliseconds, real
from analyzer.run_clock import iso, run_began, run_length_us
from analyzer.windows import fault_windows

if TYPE_CHECKING:
    from analyzer.model import Report


def files(report: Report) -> dict[str, bytes]:
    began = run_began(report)
    stamp = (
        "unknown-time"
        if began is None
        else began.strftime("%Y-%m-%dT%H-%M-%S-") + f"{began.microsecond // 1000:03}Z"
    )
    text = json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False)
    name = f"stress-tests/results/stress-test-{stamp}"
    return {f"{name}.json": f"{text}\n".encode("ascii"), f"{name}.md": azora_summary.render(report)}


def document(report: Report) -> dict[str, Any]:
    """Counts are those of the whole run, with warm-up; times those of ok requests in the judged phases."""
    books, of = report.books, report.totals.latency
    users = [row.users for row in report.timeline if row.users is not None]
    return {
        "timestamp": iso(run_began(report)),
        "testSuite": report.title,
        "duration": milliseconds(run_length_us(report)),
        "totalRequests": books.started,
        "successfulRequests": books.ok,
        "failedRequests": books.started - books.ok,
        "averageResponseTime": None if of is None else milliseconds(of.mean_us),
        "peakConcurrentUsers": round(max(users)) if users else None,
        "survivalRate": real(books.ok / books.started) if books.started else None,
        "resilienceResults": [
            {
                "scenario": window.name,
                "duration": milliseconds((window.to_s - window.from_s) * 1_000_000),
                "totalRequests": window.during.requests,
                "successfulRequests": window.during.ok,
                "functionality": real(window.during.success),
                "recoveryTime": None
                if window.recovery_s is None
                else milliseconds(window.recovery_s * 1_000_000),
            }
            for window in fault_windows(report)
        ],
        "resourceUsage": {
            resource.name: {
                "min": real(resource.min),
                "average": real(resource.mean),
                "max": real(resource.max),
            }
            for resource in report.resources
        },
    }
