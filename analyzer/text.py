"""The terminal's closing summary as lines of (style, text); who prints it decides what a style looks like."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.escape import shown
from analyzer.wording import VERDICT_MEANS, beyond_rules, in_trouble
from loadproof.units import format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from analyzer.model import Report

_WIDTH: Final = 240
_LINES: Final = 12
"""Reasons and rules shown before the rest is only counted; the report has them all."""


class Style(StrEnum):
    PASS = "pass"  # noqa: S105 a verdict, no password
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
    means = VERDICT_MEANS[report.verdict]
    found = [
        Line(_style(report.verdict.value), f"{report.verdict.value}  {shown(report.title, 80)}: {means}")
    ]
    # What a rule says stands once, in the rule's own line.
    reasons = beyond_rules(report)
    troubled = in_trouble(report.rules)
    found += _some([_labelled(reason.verdict.value, shown(reason.text, _WIDTH)) for reason in reasons])
    found += _some(
        [_labelled(rule.verdict.value, shown(f"{rule.rule}: {rule.reason}", _WIDTH)) for rule in troubled]
    )
    if report.advice:
        found.append(Line(Style.PLAIN, f"  Do first: {shown(report.advice[0], _WIDTH)}"))
    if report.comparison is not None:
        found.append(Line(Style.PLAIN, f"  Beside the baseline: {shown(report.comparison.text, 2 * _WIDTH)}"))
        found += [
            Line(Style.FAINT, f"    {shown(text, _WIDTH)}") for text in report.comparison.unlike[:_LINES]
        ]
    found += [Line(Style.PLAIN, f"  Hint: {shown(hint, 2 * _WIDTH)}") for hint in report.hints]
    found += _totals(report)
    if report_file is not None:
        found.append(Line(Style.PLAIN, f"  Report: {shown(str(report_file), 1_000)}"))
    return found


def _labelled(word: str, text: str) -> Line:
    return Line(_style(word), f"  {word.replace('_', ' '):<7}  {text}")


def _style(word: str) -> Style:
    return Style.INVALID if word == RuleVerdict.NO_DATA else Style(word.lower())


def _some(found: list[Line]) -> list[Line]:
    rest = len(found) - _LINES
    return found[:_LINES] + ([Line(Style.FAINT, f"  and {rest} more in the report")] if rest > 0 else [])


def _totals(report: Report) -> Iterator[Line]:
    totals = report.totals
    held = sum(rule.verdict.value == "PASS" for rule in report.rules)
    rates = f"{format_rate(totals.rate_per_s)} ok, {format_ratio(totals.error_ratio)} errors"
    counted = f"{format_count(totals.requests)} requests, {rates}"
    yield Line(Style.FAINT, f"  {counted}; {held} of {len(report.rules)} rules pass")
    if totals.latency is not None:
        of = totals.latency
        quantiles = (("P50", of.p50_us), ("P95", of.p95_us), ("P99", of.p99_us), ("max", of.max_us))
        yield Line(
            Style.FAINT, "  " + "  ".join(f"{name} {format_duration(value)}" for name, value in quantiles)
        )
