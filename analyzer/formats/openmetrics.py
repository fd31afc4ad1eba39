"""A run as OpenMetrics text with timestamps, for `promtool tsdb create-blocks-from openmetrics`.

OpenMetrics 1.0: counters end in `_total` and only grow, every sample has its own second's end as timestamp, and
the samples of one series stand together in order of time. Quantiles are those of each second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.escape import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from analyzer.model import Report, Second
    from analyzer.rows import MetricRow

_LABELS: Final = ("region", "scenario", "method", "name", "outcome", "phase")
_QUANTILES: Final = (("0.5", "p50_us"), ("0.95", "p95_us"), ("0.99", "p99_us"))
_GAUGES: Final[tuple[tuple[str, str, Callable[[Second], float | None]], ...]] = (
    ("loadproof_users", "Active users.", lambda row: row.users),
    ("loadproof_users_planned", "Users of the plan.", lambda row: row.users_planned),
    ("loadproof_requests_in_flight", "Requests begun and not ended.", lambda row: row.in_flight),
)


def lines(report: Report, began_s: float) -> Iterator[bytes]:
    """The text in pieces; `began_s` is the run's second 0 in seconds since the epoch."""
    series = _by_series(report.metric_rows)
    run = f'run="{_escaped(report.run)}"'
    yield b"# TYPE loadproof_request_duration_seconds summary\n"
    yield b"# UNIT loadproof_request_duration_seconds seconds\n"
    yield b"# HELP loadproof_request_duration_seconds Requests that ended, and how long they took.\n"
    for labels, rows in series:
        yield "".join(_summary(f"{run},{labels}", rows, began_s)).encode()
    yield b"# TYPE loadproof_received_bytes counter\n# UNIT loadproof_received_bytes bytes\n"
    yield b"# HELP loadproof_received_bytes Bytes of answers.\n"
    for labels, rows in series:
        total, text = 0, []
        for row in rows:
            total += row.bytes_received
            text.append(
                f"loadproof_received_bytes_total{{{run},{labels}}} {total} {_at(began_s, row.second)}\n"
            )
        yield "".join(text).encode()
    for name, what, value_of in _GAUGES:
        yield f"# TYPE {name} gauge\n# HELP {name} {what}\n".encode()
        for second in report.timeline:
            value = value_of(second)
            if value is not None:
                yield f"{name}{{{run}}} {value:.9g} {_at(began_s, second.second)}\n".encode()
    yield b"# TYPE loadproof_resource gauge\n"
    yield b"# HELP loadproof_resource Highest sample of a second; processors and memory as shares.\n"
    for line in report.resource_lines:
        labels = f'{run},resource="{_escaped(line.name)}"'
        for at, reading in line.points:
            yield f"loadproof_resource{{{labels}}} {reading:.9g} {_at(began_s, at)}\n".encode()
    yield b"# EOF\n"


def _by_series(rows: Iterable[MetricRow]) -> list[tuple[str, list[MetricRow]]]:
    found: dict[str, list[MetricRow]] = {}
    for row in rows:
        labels = ",".join(f'{label}="{_escaped(str(getattr(row, label)))}"' for label in _LABELS)
        found.setdefault(labels, []).append(row)
    return sorted(found.items())


def _summary(labels: str, rows: Iterable[MetricRow], began_s: float) -> Iterator[str]:
    name = "loadproof_request_duration_seconds"
    # A series at a time, as a parser of text wants them: all of one, then all of the next.
    kept = list(rows)
    for quantile, field in _QUANTILES:
        for row in kept:
            value = getattr(row, field) / 1_000_000
            yield f'{name}{{{labels},quantile="{quantile}"}} {value:.9g} {_at(began_s, row.second)}\n'
    count = 0
    for row in kept:
        count += row.requests
        yield f"{name}_count{{{labels}}} {count} {_at(began_s, row.second)}\n"
    total_us = 0.0
    for row in kept:
        total_us += row.mean_us * row.requests
        yield f"{name}_sum{{{labels}}} {total_us / 1_000_000:.9g} {_at(began_s, row.second)}\n"


def _at(began_s: float, second: int) -> str:
    return f"{began_s + second + 1:.3f}"


def _escaped(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')
