"""The terminal's closing summary as lines of (style, text); the command line decides what a style looks like."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from analyzer.escape import shown
from analyzer.model import Report
from analyzer.wording import VERDICT_MEANS, by_weight, in_trouble, limit_text, value_text
from loadproof.units import format_count, format_duration, format_rate, format_ratio

_WIDTH: Final = 160
_LINES: Final = 12
"""Reasons and rules shown before the rest is only counted; the report has them all."""


class Style(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INVALID = "invalid"
    PLAIN = "plain"
    FAINT = "faint"


class Line(NamedTuple):
    style: Style
    text: str


def render(report: Report) -> bytes:
    """The lines without their styles, for a log or a pipe."""
    return "".join(f"{line.text}\n" for line in lines(report)).encode()


def lines(report: Report, report_file: Path | None = None) -> list[Line]:
    """The verdict's word first, then why, the rules in trouble, the totals, and where the report is."""
    verdict = Style(report.verdict.value.lower())
    found = [Line(verdict, f"{report.verdict.value}  {shown(report.title, 80)}: {VERDICT_MEANS[report.verdict]}")]
    reasons = by_weight(report.reasons)
    for reason in reasons[:_LINES]:
        found.append(Line(Style(reason.verdict.value.lower()), f"  {reason.verdict.value:<7} {shown(reason.text, _WIDTH)}"))
    found += _rest(len(reasons), "reasons")
    if report.advice and report.verdict.value != "PASS":
        found.append(Line(Style.PLAIN, f"  Do first: {shown(report.advice[0], _WIDTH)}"))
    troubled = in_trouble(report.rules)
    for rule in troubled[:_LINES]:
        style = Style.INVALID if rule.verdict.value == "NO_DATA" else Style(rule.verdict.value.lower())
        value, limit = value_text(rule.unit, rule.value), limit_text(rule)
        found.append(
            Line(style, f"  {rule.verdict.value:<7} {shown(rule.rule, 90)}: {value} against {shown(rule.operator, 4)} {limit}")
        )
    found += _rest(len(troubled), "rules")
    found += _totals(report)
    if report_file is not None:
        found.append(Line(Style.PLAIN, f"  Report: {shown(str(report_file), 1_000)}"))
    return found


def _totals(report: Report) -> Iterator[Line]:
    totals = report.totals
    held = sum(rule.verdict.value == "PASS" for rule in report.rules)
    counted = f"{format_count(totals.requests)} requests, {format_rate(totals.rate_per_s)} ok, {format_ratio(totals.error_ratio)} errors"
    yield Line(Style.FAINT, f"  {counted}; {held} of {len(report.rules)} rules pass")
    if totals.latency is not None:
        of = totals.latency
        quantiles = (("P50", of.p50_us), ("P95", of.p95_us), ("P99", of.p99_us), ("max", of.max_us))
        yield Line(Style.FAINT, "  " + "  ".join(f"{name} {format_duration(value)}" for name, value in quantiles))


def _rest(count: int, noun: str) -> list[Line]:
    return [Line(Style.FAINT, f"  and {count - _LINES} more {noun} in the report")] if count > _LINES else []
