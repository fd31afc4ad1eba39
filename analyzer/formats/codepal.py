"""The five result files of CodePal's elasticity test, with the ten questions of its checklist answered."""

from __future__ import annotations

import csv
import datetime
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer import report_html
from analyzer.escape import csv_cell, markdown_code, markdown_text
from analyzer.results_json import latency_document, milliseconds, real, rule_document
from analyzer.run_clock import iso, run_began, run_length_us
from analyzer.windows import fault_windows, stretch
from analyzer.wording import limit_text, recovery_text, resource_text, value_text
from loadproof.units import ABSENT, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.model import Report
    from loadproof.verdict.result import RuleResult

PREFIX: Final = "elasticity-stress-test"
COLUMNS: Final = (
    *("timestamp", "second", "phase", "users_planned", "users", "requests_per_s", "ok_per_s", "errors_per_s"),
    *("p50_ms", "p95_ms", "p99_ms"),
)


@dataclass(frozen=True)
class Question:
    """One item of the checklist: what it asks, and the words in a rule's statistic that answer it."""

    text: str
    words: tuple[str, ...]


CHECKLIST: Final = (
    Question("P95 and P99 response times", ("p95", "p99")),
    Question("Autoscaling: does the rate follow the users?", ("rate", "scale", "ecs", "uptime")),
    Question("Recovery and error rates", ("error_ratio", "recovery", "retry", "stall")),
    Question(
        "Agent coordination: handoffs, deconfliction, adaptation",
        ("handoff", "deconfliction", "adaptation", "uplift"),
    ),
    Question("Observability: traces, dashboards", ("trace", "grafana", "datadog")),
    Question("Resource patterns", ("resource", "cpu", "memory", "rss")),
    Question("Alert response", ("alert",)),
    Question("Cache hit ratio", ("cache", "redis")),
    Question("Database: writes, replica lag", ("database", "replica", "db_", "postgres")),
    Question("Frontend: idle, DOM mutation", ("frontend", "idle", "dom", "vercel", "cloudflare")),
)


def files(report: Report) -> dict[str, bytes]:
    return {
        f"{PREFIX}-results.json": _json(results(report)),
        f"{PREFIX}-metrics.csv": time_series(report),
        f"{PREFIX}-summary.html": report_html.render(report),
        "summary.md": summary(report),
        "metrics-summary.json": _json(metrics_summary(report)),
    }


def results(report: Report) -> dict[str, Any]:
    """Timestamps, distributions, errors and custom metrics."""
    began = run_began(report)
    end = None if began is None else began + datetime.timedelta(microseconds=run_length_us(report))
    return {
        "timestamps": {
            "start": iso(began),
            "end": iso(end),
            "duration_s": real(run_length_us(report) / 1_000_000),
        },
        "verdict": report.verdict.value,
        "requests": {
            "total": report.books.started,
            "ok": report.books.ok,
            "failed": report.books.failed,
            "unfinished": report.books.unfinished,
        },
        "distributions": {
            "response_time_ms": latency_document(report.totals.latency),
            "by_endpoint": {group.name: latency_document(group.totals.latency) for group in report.by_name},
            "by_phase": {group.name: latency_document(group.totals.latency) for group in report.by_phase},
        },
        "errors": [
            {
                "scenario": error.scenario,
                "method": error.method,
                "name": error.name,
                "message": error.message,
                "count": error.count,
                "first_s": error.first_s,
                "last_s": error.last_s,
            }
            for error in report.errors
        ],
        "custom_metrics": {
            **{
                metric.name: {
                    "count": metric.count,
                    "mean": real(metric.mean),
                    "min": real(metric.min),
                    "max": real(metric.max),
                }
                for metric in report.metrics
            },
            **{
                check.name: {"passed": check.passed, "failed": check.failed, "ratio": real(check.ratio)}
                for check in report.checks
            },
        },
    }


def time_series(report: Report) -> bytes:
    """A row a second; UTF-8 with a byte order mark, without which Excel takes it for the local code page."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    began = run_began(report)
    for row in report.timeline:
        at = None if began is None else began + datetime.timedelta(seconds=row.second)
        errors = row.failed + row.unfinished
        known = row.users is not None
        writer.writerow(
            [
                iso(at),
                row.second,
                None if row.phase is None else csv_cell(row.phase),
                real(row.users_planned),
                real(row.users),
                row.ok + errors if known else None,
                row.ok if known else None,
                errors if known else None,
                *(milliseconds(value) for value in (row.p50_us, row.p95_us, row.p99_us)),
            ]
        )
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def metrics_summary(report: Report) -> dict[str, Any]:
    """Each threshold with target and outcome, and the benchmarks of the run."""
    return {
        "verdict": report.verdict.value,
        "threshold_compliance": [rule_document(rule) for rule in report.rules],
        "thresholds_passed": sum(rule.verdict is RuleVerdict.PASS for rule in report.rules),
        "thresholds_total": len(report.rules),
        "benchmarks": {
            "requests_per_s": real(report.totals.rate_per_s),
            "peak_requests_per_s": real(report.totals.peak_rate_per_s),
            "error_ratio": real(report.totals.error_ratio),
            "response_time_ms": latency_document(report.totals.latency),
            "peak_users": report.plan.max_users,
        },
        "recovery": [
            {
                "fault": window.name,
                "from_s": real(window.from_s),
                "to_s": real(window.to_s),
                "ok_ratio": real(window.during.success),
                "recovery_s": real(window.recovery_s),
            }
            for window in fault_windows(report)
        ],
        "phases": {
            phase.name: {
                "requests": seen.requests,
                "ok_ratio": real(seen.success),
                "peak_users": real(seen.peak_users),
            }
            for phase in report.plan.load
            for seen in (stretch(row for row in report.timeline if row.phase == phase.name),)
        },
        "checklist": [{"question": question.text, "answer": answer} for question, answer in answers(report)],
    }


def summary(report: Report) -> bytes:
    """The configuration, how it was validated, and the checklist."""
    plan = report.plan
    lines = [
        f"# {report.verdict.value}: {markdown_text(report.title, 120)}",
        "",
        "## Configuration",
        "",
        "| setting | value |",
        "| --- | --- |",
        f"| plan | {markdown_code(plan.name, 80)} |",
        f"| target | {markdown_code(plan.target, 200)} |",
        f"| length | {format_duration(plan.duration_us)} |",
        f"| peak users | {format_count(plan.max_users)} |",
        f"| regions | {', '.join(markdown_code(region.name, 40) for region in plan.regions)} |",
        f"| scenarios | {', '.join(markdown_code(name, 60) for name in plan.scenarios or {}) or ABSENT} |",
        f"| seed | {plan.seed if plan.seed is not None else ABSENT} |",
        "",
        "| phase | length | users |",
        "| --- | ---: | ---: |",
        *(
            f"| {markdown_code(phase.name, 60)} | {format_duration(phase.duration_us)} | "
            f"{format_count(phase.users_from)} to {format_count(phase.users_to)} |"
            for phase in plan.load
        ),
        "",
        "## Validation",
        "",
        *(f"- **{reason.verdict.value}** {markdown_text(reason.text, 300)}" for reason in report.reasons),
        "",
        "| | rule | value | limit | target |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {rule.verdict.value} | {markdown_code(rule.rule, 90)} | {value_text(rule.unit, rule.value)} | "
            f"{markdown_text(rule.operator)} {limit_text(rule)} | "
            f"{markdown_text(rule.goal, 40) if rule.goal else ABSENT} |"
            for rule in report.rules
        ),
        "",
        "## Checklist",
        "",
        *(
            f"{number}. **{question.text}**: {markdown_text(answer, 900)}"
            for number, (question, answer) in enumerate(answers(report), start=1)
        ),
    ]
    return ("\n".join(lines) + "\n").encode()


def answers(report: Report) -> Iterator[tuple[Question, str]]:
    """Each question with what the run says to it; where nothing does, that is the answer."""
    for question in CHECKLIST:
        told = [
            _told(rule)
            for rule in report.rules
            if any(word in rule.statistic.lower() for word in question.words)
        ]
        told += _from_numbers(report, question)
        yield (
            question,
            "; ".join(told) if told else "no rule or measurement of this run speaks of it (NO DATA)",
        )


def _told(rule: RuleResult) -> str:
    return f"{rule.verdict.value.replace('_', ' ')} {rule.rule} (value {value_text(rule.unit, rule.value)})"


def _from_numbers(report: Report, question: Question) -> Iterator[str]:
    of = report.totals.latency
    if "p95" in question.words and of is not None:
        yield f"P95 {format_duration(of.p95_us)}, P99 {format_duration(of.p99_us)} over the judged phases"
    if "scale" in question.words:
        for group in report.by_phase:
            yield f"{group.name}: {format_rate(group.totals.rate_per_s)} ok"
    if "recovery" in question.words:
        yield f"{format_ratio(report.totals.error_ratio)} errors"
        for window in fault_windows(report):
            yield f"{window.name}: {format_ratio(window.during.success)} ok during it, {recovery_text(window.told)}"
    if "resource" in question.words:
        for resource in report.resources:
            yield f"{resource.name} at most {resource_text(resource.name, resource.max)}"


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")
