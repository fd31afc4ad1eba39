"""Parts of a whole: the error ratio and the share of checks that passed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.measure.interval import Outcome
from loadproof.units import format_count, format_ratio
from loadproof.verdict.case import Case, Measured, no_data
from loadproof.verdict.clusters import design_effect
from loadproof.verdict.intervals import MIN_SECONDS, share_interval
from loadproof.verdict.latencies import calendar, few_seconds
from loadproof.verdict.tallies import COUNT, ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.verdict.rule import Bound, Rule
    from loadproof.verdict.selection import Requests, Selection

_NOT_OK: Final = (Outcome.FAILED, Outcome.TIMEOUT, Outcome.UNFINISHED)
SKIPPED: Final = Fraction(1, 100)
"""Largest share of checks that may be skipped without a doubt."""


def measure_error_ratio(rule: Rule, case: Case) -> Measured:
    """Failed, timed out, unfinished past the stop timeout or dropped, over all requests that ended or were dropped."""
    selection = case.selection(rule)
    requests = case.requests(selection)
    dropped = sum(requests.dropped.values())
    outlived = requests.outlived(_NOT_OK, case.evidence.stop_timeout_us)
    overdue = sum(outlived.values())
    due, errors = requests.ended + dropped + overdue, requests.errors + dropped + overdue
    if due == 0:
        return case.nothing(rule)
    ended = {second: row[COUNT] for second, row in requests.rows(Outcome).items()}

    def stands(bound: Bound) -> bool:
        # Whether a start was dropped for the target's sake is open in a run that is INVALID.
        return not bound.holds(Fraction(errors - dropped - overdue, due + case.missing(ended, selection)))

    text = (
        f"error ratio is {format_ratio(errors / due)}: {format_count(errors)} of {format_count(due)} requests"
    )
    if dropped:
        text += f", with {format_count(dropped)} starts that were dropped"
    if overdue:
        text += f", with {format_count(overdue)} of a fault that outlived it by more than the stop timeout"
    by_second = errors_by_second(requests)
    for second, count in outlived.items():
        failed, ended_or_dropped = by_second.get(second, (0, 0))
        by_second[second] = (failed + count, ended_or_dropped + count)
    errors_alone = {second: cell[0] for second, cell in by_second.items()}
    counts = {second: cell[1] for second, cell in by_second.items()}
    return _share(rule, text, errors, due, errors_alone, counts, stands)


def errors_by_second(requests: Requests) -> dict[int, tuple[int, int]]:
    """Second -> (errors, requests), with the starts that were dropped in both."""
    table = {second: (row[ERRORS], row[COUNT]) for second, row in requests.rows(Outcome).items()}
    for second, dropped in requests.dropped.items():
        errors, count = table.get(second, (0, 0))
        table[second] = (errors + dropped, count + dropped)
    return dict(sorted(table.items()))


def executed_checks(rule: Rule, case: Case, selection: Selection) -> dict[int, list[int]]:
    """Second -> [passed, failed, skipped] of the rule's check."""
    table: dict[int, list[int]] = {}
    for key, seconds in case.evidence.check_seconds.items():
        check = key.check
        if (
            check.check == rule.statistic.argument
            and selection.takes_users(key.region, check.scenario)
            and check.phase in selection.phases
        ):
            for second, row in seconds.items():
                have = table.get(second, [0, 0, 0])
                table[second] = [known + more for known, more in zip(have, row, strict=True)]
    return table


def measure_check(rule: Rule, case: Case) -> Measured:
    """Passed over executed."""
    selection = case.selection(rule)
    rows = executed_checks(rule, case, selection)
    passed = {second: row[0] for second, row in rows.items()}
    executed = {second: row[0] + row[1] for second, row in rows.items()}
    hits, n = sum(passed.values()), sum(executed.values())
    skipped = sum(row[2] for row in rows.values())
    if n == 0:
        if skipped:
            return no_data(f"all {format_count(skipped)} checks were skipped, because their requests failed")
        return no_data(f"{rule.statistic} was never executed")

    def stands(bound: Bound) -> bool:
        missing = case.missing(executed, selection)
        return not bound.holds(Fraction(hits + missing, n + missing))

    text = f"{rule.statistic} passed {format_count(hits)} of {format_count(n)} times"
    doubts: tuple[str, ...] = ()
    if skipped > SKIPPED * (n + skipped):
        share = format_ratio(skipped / (n + skipped))
        doubts = (f"{format_count(skipped)} more ({share}) were skipped, because their requests failed",)
    return _share(rule, text, hits, n, passed, executed, stands, doubts)


def _share(
    rule: Rule,
    text: str,
    hits: int,
    n: int,
    hits_by_second: dict[int, int],
    counts: dict[int, int],
    stands: Callable[[Bound], bool],
    doubts: tuple[str, ...] = (),
) -> Measured:
    """A share of events with its interval; a census shows the interval and is not judged on it."""
    seconds = sum(1 for count in counts.values() if count)
    confidence: tuple[float, float] | None = None
    if rule.is_census:
        confidence = share_interval(hits, n, Fraction(1))
    elif seconds < MIN_SECONDS:
        doubts = (*doubts, few_seconds(seconds))
    else:
        confidence = share_interval(hits, n, design_effect(*calendar(hits_by_second, counts), hits))

    def is_close(bound: Bound) -> bool:
        if confidence is None or rule.is_census:
            return False
        return not bound.holds(Fraction(confidence[1] if bound.operator.caps else confidence[0]))

    share = Fraction(hits, n)
    return Measured(
        text, float(share), n, lambda bound: bound.holds(share), stands, confidence, is_close, doubts
    )
