"""requests.csv: a row a series (region, scenario, method, name, outcome, phase) over the whole run."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from analyzer.escape import csv_cell
from analyzer.results_json import milliseconds

if TYPE_CHECKING:
    from analyzer.model import Report

COLUMNS: Final = (
    "region",
    "scenario",
    "method",
    "name",
    "outcome",
    "phase",
    "requests",
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "p99_9_ms",
    "max_ms",
    "bytes_received",
    "bytes_sent",
    "first_byte_p50_ms",
    "first_byte_p95_ms",
    "first_byte_p99_ms",
    "faults",
)


def render(report: Report) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in report.series:
        names = (row.region, row.scenario, row.method, row.name, row.outcome.value, row.phase)
        of, begun = row.latency, row.first_byte
        latencies = (of.mean_us, of.p50_us, of.p90_us, of.p95_us, of.p99_us, of.p99_9_us, of.max_us)
        writer.writerow(
            [
                *(csv_cell(name) for name in names),
                row.requests,
                *(milliseconds(latency) for latency in latencies),
                row.bytes_received,
                row.bytes_sent,
                *(milliseconds(first) for first in (begun.p50_us, begun.p95_us, begun.p99_us)),
                csv_cell(" ".join(row.faults)),
            ]
        )
    return text.getvalue().encode()
