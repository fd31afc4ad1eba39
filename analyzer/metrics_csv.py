"""metrics.csv: a row a second and series that had requests, for a spreadsheet or a notebook.

`second` counts from the run's start; a row is the second [second, second + 1) over the region's workers.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from analyzer.escape import csv_cell
from analyzer.results_json import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.model import Report

COLUMNS: Final = (
    "second",
    "region",
    "scenario",
    "method",
    "name",
    "outcome",
    "phase",
    "requests",
    "mean_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "bytes_received",
    "faults",
)
_FLUSH_CHARACTERS: Final = 1 << 20


def render(report: Report) -> bytes:
    return b"".join(chunks(report))


def chunks(report: Report) -> Iterator[bytes]:
    """The file in pieces of about a megabyte: the rows of a long run need not be in memory at once."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in report.metric_rows:
        names = (row.region, row.scenario, row.method, row.name, row.outcome, row.phase)
        latencies = (row.mean_us, row.p50_us, row.p95_us, row.p99_us, row.max_us)
        writer.writerow(
            [
                row.second,
                *(csv_cell(name) for name in names),
                row.requests,
                *(milliseconds(latency) for latency in latencies),
                row.bytes_received,
                csv_cell(row.faults),
            ]
        )
        if text.tell() > _FLUSH_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()
