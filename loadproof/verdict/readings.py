"""Numbers that workers measured beside requests: metrics of scenarios, their own lag, waits for a user."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, inf
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.units import format_count, format_duration
from loadproof.verdict.case import Measured, exact, no_data, shown
from loadproof.verdict.evidence import LAG_QUANTILE
from loadproof.verdict.latencies import Counted
from loadproof.verdict.rule import Unit
from loadproof.verdict.tallies import Metric

if TYPE_CHECKING:
    from loadproof.verdict.case import Case
    from loadproof.verdict.rule import Bound, Rule


def measure_metric(rule: Rule, case: Case) -> Measured:
    """The mean of what scenarios recorded; for a census the worst single number."""
    selection = case.selection(rule)
    merged = Metric()
    for key, metric in case.evidence.metrics.items():
        if (
            key.metric.metric == rule.statistic.argument
            and selection.takes_users(key.region, key.metric.scenario)
            and key.metric.phase in selection.phases
        ):
            merged += metric
    if merged.broken:
        return no_data(f"{rule.statistic} was recorded with something that is not a finite number")
    if merged.min is None or merged.max is None:
        return no_data(f"{rule.statistic} was never recorded")
    value = merged.total / merged.count
    what = "is"
    if rule.is_census:
        value = Fraction(merged.max if rule.limit.operator.caps else merged.min)
        what = "is at worst"

    def stands(bound: Bound) -> bool:
        is_whole = not case.shortfall.has_absent_workers and not case.timeline.is_cut
        return (rule.is_census or is_whole) and not bound.holds(value)

    text = f"{rule.statistic} {what} {shown(rule.unit, value)} over {format_count(merged.count)} recorded numbers"
    return exact(value, text, merged.count, stands)


def measure_lag(rule: Rule, case: Case) -> Measured:
    """The P99 of the workers' own lag."""
    selection = case.selection(rule)
    column = 0 if rule.statistic.name == "pacer_lag" else 1
    merged = Histogram()
    for (region, phase), histograms in case.evidence.lags.items():
        if phase in selection.phases and selection.region in {None, region}:
            merged += histograms[column]
    value = merged.quantile(LAG_QUANTILE)
    if value is None:
        return no_data(f"{rule.statistic} was not measured")
    n = merged.count

    def holds(bound: Bound) -> bool | None:
        kept = {
            Counted(n, n - at_most, 0).kept(LAG_QUANTILE, bound)
            for at_most in merged.count_at_most(bound.counted_us)
        }
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        return holds(bound) is False and not case.shortfall.has_absent_workers

    text = f"P99 of {rule.statistic} is {format_duration(value)}"
    return Measured(text, value, n, holds, stands)


def measure_user_wait(rule: Rule, case: Case) -> Measured:
    """The P99 of how long the starts of an open plan waited for a user; who got none waited longer than any limit."""
    if not case.plan.open:
        return no_data(
            f"{rule.statistic} exists in the open model only, which has arrivals in place of users"
        )
    selection = case.selection(rule)
    merged = Histogram()
    for (region, phase), histogram in case.evidence.user_waits.items():
        if phase in selection.phases and selection.region in {None, region}:
            merged += histogram
    endless = sum(
        seconds.sums()[1]
        for key, seconds in case.evidence.arrivals.items()
        if selection.region in {None, key.region} and key.arrival.phase in selection.phases
    )
    n = merged.count + endless
    if n == 0:
        return no_data(f"{rule.statistic} was not measured")

    def holds(bound: Bound, endless: int = endless) -> bool | None:
        kept = {
            Counted(n, merged.count - at_most + endless, 0).kept(LAG_QUANTILE, bound)
            for at_most in merged.count_at_most(bound.counted_us)
        }
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        return holds(bound, 0) is False and not case.shortfall.has_absent_workers

    rank = ceil(LAG_QUANTILE * n)
    value = merged.quantile(Fraction(rank, merged.count)) if rank <= merged.count else inf
    text = f"P99 of {rule.statistic} is {shown(Unit.DURATION, value)}"
    if endless:
        text += f", where {format_count(endless)} starts found no user"
    return Measured(text, value, n, holds, stands)
