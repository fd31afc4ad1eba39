"""What GitHub Actions shows of a run: annotations of the step, and the job's summary.

Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer import summary_md
from analyzer.escape import shown
from analyzer.wording import beyond_rules, in_trouble
from loadproof.verdict.result import RuleVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.model import Report

_MOST: Final = 10
"""Errors and warnings, each, that GitHub shows of one step."""
_SUMMARY_BYTES: Final = 1_000_000
"""A step's summary above 1 MiB is refused whole."""
_TEXT: Final = 600


def annotation_lines(report: Report) -> tuple[str, ...]:
    """A line for each broken rule and each reason beyond the rules: `::error::` or `::warning::`."""
    lines = list(_lines(report))
    errors = [line for line in lines if line.startswith("::error")]
    warnings = [line for line in lines if line.startswith("::warning")]
    return (*errors[:_MOST], *warnings[:_MOST])


def job_summary(report: Report) -> bytes:
    """summary.md, or as much of it as GitHub takes, cut between lines."""
    text = summary_md.render(report)
    if len(text) <= _SUMMARY_BYTES:
        return text
    cut = text.rindex(b"\n", 0, _SUMMARY_BYTES)
    return text[:cut] + b"\n\nThe rest stands in `summary.md` of the run folder.\n"


def _lines(report: Report) -> Iterator[str]:
    for reason in beyond_rules(report):
        yield _command(reason.verdict in {Verdict.FAIL, Verdict.INVALID}, reason.verdict.value, reason.text)
    for rule in in_trouble(report.rules):
        word = rule.verdict.value.replace("_", " ")
        yield _command(rule.verdict is not RuleVerdict.WARN, f"{word} {rule.rule}", rule.reason)


def _command(error: bool, title: str, text: str) -> str:
    head = _data(shown(title, 200)).replace(":", "%3A").replace(",", "%2C")
    return f"::{'error' if error else 'warning'} title={head}::{_data(shown(text, _TEXT))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
