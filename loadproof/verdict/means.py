"""The mean latency."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.units import format_count
from loadproof.verdict.case import Case, Measured, shown
from loadproof.verdict.intervals import MIN_SECONDS, mean_interval
from loadproof.verdict.latencies import Latencies, all_ended_by_us, few_seconds, left_out_reason, squares
from loadproof.verdict.rule import Bound, Unit

if TYPE_CHECKING:
    from loadproof.verdict.rule import Rule

LEFT_OUT: Final = Fraction(1, 100)
"""Largest share of left-out requests under a mean, which has no q to derive it from."""


def measure_mean(rule: Rule, case: Case) -> Measured:
    """The mean latency of every request due.

    A request without an answer counts with its age, at least with the limit, and a dropped start as if it had been
    given up at the stop timeout; that bounds the mean from below.
    From above it is bounded as if each had taken the whole run. One that met a fault and was answered counts, where no
    fault is asked for, with the time that it took after it: that is known to the second.
    """
    selection = case.selection(rule)
    latencies = Latencies(case, selection, rule.limit)
    if latencies.total == 0:
        return case.nothing(rule)
    most = latencies.counted(rule.limit.counted_us)[1]
    if most.n == 0:
        return all_ended_by_us(latencies)
    run_us = max(case.timeline.planned_us, case.evidence.end_us)

    def ends(bound: Bound) -> tuple[int, int, int]:
        """(n, least sum, largest sum) of the latencies."""
        us = bound.counted_us
        high = latencies.counted(us)[1]
        unanswered = high.n - latencies.answered.count
        old = unanswered - latencies.timeouts.count - latencies.without_request
        slower = us + 1
        ages = max(latencies.timeouts.total, latencies.timeouts.count * slower)
        ages += max(latencies.unfinished.total - high.left_out * us, old * slower)
        ages += latencies.dropped_count * latencies.dropped_us(us) + latencies.outlived_count * slower
        return (
            high.n,
            latencies.answered.total + ages,
            latencies.answered.total
            + max(
                ages,
                (unanswered - latencies.outlived_count) * run_us + latencies.outlived_most_us(run_us),
            ),
        )

    def holds(bound: Bound) -> bool | None:
        n, least, largest = ends(bound)
        kept = {bound.holds(Fraction(total, n)) for total in (least, largest)}
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        n, least, _ = ends(bound)
        fast = least - latencies.dropped_count * latencies.dropped_us(bound.counted_us)
        fast -= latencies.outlived_count * (bound.counted_us + 1)
        return not bound.holds(Fraction(fast, n + case.missing(latencies.completed, selection)))

    n, least, _ = ends(rule.limit)
    value = least / n
    confidence = None
    doubts: tuple[str, ...] = ()
    if latencies.seconds_with_samples < MIN_SECONDS:
        doubts = (few_seconds(latencies.seconds_with_samples),)
    elif latencies.answered.count:
        spread = squares(latencies.answered)
        low, high = mean_interval(
            latencies.answered.total, spread, latencies.answered.count, latencies.mean_effect()
        )
        shift = value - latencies.answered.total / latencies.answered.count
        confidence = (max(0.0, low + shift), high + shift)

    def is_close(bound: Bound) -> bool:
        if confidence is None:
            return False
        return not bound.holds(Fraction(confidence[1] if bound.operator.caps else confidence[0]))

    why = None
    if most.left_out > LEFT_OUT * (most.n + most.left_out):
        why = left_out_reason(rule, most, LEFT_OUT)
    text = f"mean is {shown(Unit.DURATION, value)} over {format_count(n)} requests"
    unanswered = n - latencies.answered.count
    if unanswered:
        text += f", {format_count(unanswered)} of which had no answer and count with their age at least"
    return Measured(
        text,
        value,
        n,
        holds,
        stands,
        confidence,
        is_close,
        doubts,
        no_data=why,
        unclear="it depends on how long the requests without an answer would have taken",
    )
