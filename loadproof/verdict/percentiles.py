"""Percentile rules, p50 to p99.99, and max."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from loadproof.units import format_count
from loadproof.verdict.case import Case, Measured, shown
from loadproof.verdict.intervals import MIN_SECONDS, least_samples, quantile_ranks
from loadproof.verdict.latencies import Latencies, all_ended_by_us, few_seconds, left_out_reason
from loadproof.verdict.rule import Bound, Unit

if TYPE_CHECKING:
    from loadproof.verdict.rule import Rule


def measure_quantile(rule: Rule, case: Case) -> Measured:
    """p50 to p99.99, and max as the quantile 1."""
    quantile = rule.statistic.quantile
    assert quantile is not None
    selection = case.selection(rule)
    latencies = Latencies(case, selection, rule.limit)
    if latencies.total == 0:
        return case.nothing(rule)
    limit_us = rule.limit.counted_us
    most = latencies.counted(limit_us)[1]
    if most.n == 0:
        return all_ended_by_us(latencies)
    too_many_left_out = most.left_out > (1 - quantile) / 10 * (most.n + most.left_out)
    needed = 1
    has_interval = quantile < 1 and latencies.seconds_with_samples >= MIN_SECONDS
    if quantile < 1:
        # Whether a limit is proven is a matter of the share beyond it, and so is whether there are samples
        # enough: a target whose slowest second is far below the limit has shown what was asked. How far the
        # value itself may be off is a matter of its own surroundings, where requests come in clusters more.
        at_limit = latencies.effect_at(limit_us) if has_interval else Fraction(1)
        needed = ceil(least_samples(quantile) * at_limit)
    doubts: tuple[str, ...] = ()
    if latencies.seconds_with_samples < MIN_SECONDS:
        doubts = (few_seconds(latencies.seconds_with_samples),)

    def holds(bound: Bound) -> bool | None:
        ends = latencies.counted(bound.counted_us)
        spared = ends[0].left_out if too_many_left_out else 0
        kept = {end.kept(quantile, bound, spared) for end in ends}
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        missing = case.missing(latencies.completed, selection)
        ends = [end.forgiven(latencies.without_request) for end in latencies.counted(bound.counted_us)]
        return not any(end.kept(quantile, bound, missing) for end in ends)

    def is_close(bound: Bound) -> bool:
        if not has_interval:
            return False
        low, high = latencies.counted(bound.counted_us)
        ranks = quantile_ranks(quantile, high.n, latencies.effect_at(bound.counted_us))
        if ranks is None or bound.operator.caps:
            return ranks is None or high.over > high.n - ranks[1]
        return low.n - low.over >= ranks[0]

    why = None
    if too_many_left_out:
        why = left_out_reason(rule, most, (1 - quantile) / 10)
    elif most.n < needed:
        alike = ", as slow ones came together" if needed > least_samples(quantile) else ""
        why = f"only {format_count(most.n)} of {format_count(needed)} samples that {rule.statistic} needs{alike}"
    value = latencies.value_at(ceil(quantile * most.n))
    confidence = None
    if has_interval:
        effect = max(latencies.effect_near(quantile), at_limit)
        ranks = quantile_ranks(quantile, most.n, effect) or quantile_ranks(quantile, most.n, at_limit)
        if ranks is not None:
            confidence = (latencies.value_at(ranks[0]) if ranks[0] else 0.0, latencies.value_at(ranks[1]))
    # A bucket's upper end must never be shown on the wrong side of a limit that exact counts decided.
    held = holds(rule.limit)
    if held is rule.limit.operator.caps:
        value = min(value, limit_us)
        if confidence is not None and held and not is_close(rule.limit):
            confidence = (min(confidence[0], limit_us), min(confidence[1], limit_us))
    beyond = most.over if rule.limit.operator.caps else most.n - most.over
    text = (
        f"{rule.statistic} is {shown(Unit.DURATION, value)}, with {format_count(beyond)} of "
        f"{format_count(most.n)} requests beyond the limit"
    )
    text += latencies.without_request_text
    if most.left_out:
        text += f" and {format_count(most.left_out)} left out that we ended ourselves"
    return Measured(
        text,
        value,
        most.n,
        holds,
        stands,
        confidence,
        is_close,
        doubts,
        no_data=why,
        too_few=why is not None and not too_many_left_out,
    )
