"""What stands beside Azora's result file for people: benchmarks, compliance, patterns of failure and the trend."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from analyzer.escape import markdown_code, markdown_text
from analyzer.windows import fault_windows, stretch
from analyzer.wording import clock_text, endpoint_text
from loadproof.measure.interval import Outcome
from loadproof.units import format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.model import Report
    from analyzer.windows import FaultWindow

USERS: Final = 1_000
MEAN_US: Final = 500_000
SURVIVAL: Final = 0.95
MEMORY_BYTES: Final = 2_000_000_000
FUNCTIONALITY: Final = 0.8
PARTS: Final = 4
"""Stretches of equal length that the trend is told of."""
_MOST_ERRORS: Final = 10


@dataclass(frozen=True)
class Benchmark:
    metric: str
    target: str
    value: str
    met: bool | None
    """None without data."""

    @property
    def status(self) -> str:
        return f"{self.value}, {_word(self.met)}" if self.met is not None else _word(None)


def benchmarks(report: Report) -> tuple[Benchmark, ...]:
    """The four of the source system; survival is that of the requests which no fault touched."""
    users = max((row.users for row in report.timeline if row.users is not None), default=None)
    mean = None if report.totals.latency is None else report.totals.latency.mean_us
    survival = normal_survival(report)
    memory = max(
        (found.max for found in report.resources if found.name.endswith(".rss") and found.max is not None),
        default=None,
    )
    return (
        Benchmark(
            "Concurrent Users",
            format_count(USERS),
            format_count(users),
            None if users is None else users >= USERS,
        ),
        Benchmark(
            "Response Time",
            f"< {format_duration(MEAN_US)}",
            format_duration(mean),
            None if mean is None else mean < MEAN_US,
        ),
        Benchmark(
            "Survival Rate",
            f"> {format_ratio(SURVIVAL)}",
            format_ratio(survival),
            None if survival is None else survival > SURVIVAL,
        ),
        Benchmark(
            "Memory Usage",
            f"< {format_bytes(MEMORY_BYTES)}",
            format_bytes(memory),
            None if memory is None else memory < MEMORY_BYTES,
        ),
    )


def normal_survival(report: Report) -> float | None:
    """Share of ok requests of those in no fault's window; None where there was none."""
    rows = [row for row in report.series if not row.faults]
    total = sum(row.requests for row in rows)
    return sum(row.requests for row in rows if row.outcome is Outcome.OK) / total if total else None


def render(report: Report) -> bytes:
    title = markdown_text(report.title, 120) or markdown_code(report.name)
    parts = [
        f"# {title}: {report.verdict.value}",
        _benchmarks(report),
        _compliance(report),
        _failures(report),
        _trend(report),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def _benchmarks(report: Report) -> str:
    rows = [(one.metric, one.target, one.status) for one in benchmarks(report)]
    return f"## Benchmarks\n\n{_table(('Metric', 'Target', 'Current Status'), rows)}"


def _compliance(report: Report) -> str:
    windows = fault_windows(report)
    met = [one.met for one in benchmarks(report)]
    rules = [rule for rule in report.rules if not rule.optional]
    passed = sum(rule.verdict in {RuleVerdict.PASS, RuleVerdict.WARN} for rule in rules)
    executed = sum(check.passed + check.failed for check in report.checks)
    wrong = sum(check.failed for check in report.checks)
    rows = [
        (
            "Infrastructure independence under load",
            "; ".join(f"{markdown_code(one.name)} {format_ratio(one.during.success)}" for one in windows)
            or "nothing was broken",
            _all(_functional(one) for one in windows),
        ),
        (
            "Survival during failure",
            "; ".join(f"{markdown_code(one.name)} {_recovery(one)}" for one in windows)
            or "nothing was broken",
            _all(None if one.told is None else one.told.recovered for one in windows),
        ),
        ("Performance benchmarks", f"{met.count(True)} of {len(met)} met", _all(met)),
        (
            "Continuous validation",
            f"{passed} of {len(rules)} rules kept; {format_count(executed)} answers checked, {format_count(wrong)} of them wrong",
            _all([passed == len(rules), wrong == 0]) if rules else None,
        ),
    ]
    told = [(what, evidence, _word(kept)) for what, evidence, kept in rows]
    return f"## Compliance Verification\n\n{_table(('Requirement', 'Evidence', 'Status'), told)}"


def _functional(window: FaultWindow) -> bool | None:
    return None if window.during.success is None else window.during.success > FUNCTIONALITY


def _recovery(window: FaultWindow) -> str:
    if window.told is None or window.told.recovered is None:
        return "cannot be told"
    if window.recovery_s is None:
        return "did not recover"
    return f"recovered in {format_duration(window.recovery_s * 1_000_000)}"


def _failures(report: Report) -> str:
    lines = [f"- {markdown_text(hint, 300)}" for hint in report.hints]
    worst = sorted(report.errors, key=lambda error: -error.count)[:_MOST_ERRORS]
    rows = [
        (
            markdown_code(error.message, 80),
            markdown_code(endpoint_text(error.method, error.name), 80),
            format_count(error.count),
            clock_text(None if error.first_s is None else error.first_s * 1_000_000),
            clock_text(None if error.last_s is None else error.last_s * 1_000_000),
        )
        for error in worst
    ]
    if rows:
        lines += ["", _table(("Failure", "Endpoint", "Times", "First", "Last"), rows)]
    return "## Failure Patterns\n\n" + ("\n".join(lines).strip() or "Nothing failed.")


def _trend(report: Report) -> str:
    seconds = report.timeline
    size = -(-len(seconds) // PARTS)
    rows = []
    for start in range(0, len(seconds), size or 1):
        part = seconds[start : start + size]
        found = stretch(part)
        p95 = [row.p95_us for row in part if row.p95_us is not None]
        length_s = sum(row.covered_us for row in part) / 1_000_000
        rows.append(
            (
                f"{clock_text(part[0].second * 1_000_000)} to {clock_text((part[-1].second + 1) * 1_000_000)}",
                format_count(found.peak_users),
                format_rate(found.ok / length_s if length_s else None),
                format_duration(median(p95) if p95 else None),
                format_ratio(found.success),
            )
        )
    heads = ("Time", "Users", "Ok requests", "P95 of a second, median", "Ok")
    over = "Over several runs: `loadproof trend` on the folder of their reports."
    return f"## Performance Trend\n\n{_table(heads, rows)}\n\n{over}"


def _all(kept: Iterable[bool | None]) -> bool | None:
    found = list(kept)
    if not found or None in found:
        return False if False in found else None
    return all(found)


def _word(met: bool | None) -> str:
    return "NO DATA" if met is None else "met" if met else "NOT MET"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        yield f"| {' | '.join(heads)} |"
        yield f"|{' --- |' * len(heads)}"
        for row in rows:
            yield f"| {' | '.join(row)} |"

    return "\n".join(lines())
