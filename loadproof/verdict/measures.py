"""Which function measures which statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.verdict.fault_windows import as_of_fault
from loadproof.verdict.growth import measure_growth
from loadproof.verdict.means import measure_mean
from loadproof.verdict.percentiles import measure_quantile
from loadproof.verdict.rates import measure_count, measure_peak_rate, measure_rate, measure_users
from loadproof.verdict.readings import measure_lag, measure_metric, measure_user_wait
from loadproof.verdict.recovery_rules import measure_recovery
from loadproof.verdict.rule import GROWTH, PROMQL, QUANTILE, RECOVERY, quantile_of
from loadproof.verdict.samples import measure_samples
from loadproof.verdict.searched import measure_capacity
from loadproof.verdict.shares import measure_check, measure_error_ratio
from loadproof.verdict.stall import measure_stall

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.verdict.case import Case, Measured
    from loadproof.verdict.rule import Rule


def measure(rule: Rule, case: Case) -> Measured:
    """The value of a rule without a window."""
    name = rule.statistic.name
    measured = _MEASURES[QUANTILE if quantile_of(name) is not None else name](rule, case)
    return (
        as_of_fault(rule, case, measured) if "fault" in rule.selector and name not in RECOVERY else measured
    )


_MEASURES: Final[dict[str, Callable[[Rule, Case], Measured]]] = {
    QUANTILE: measure_quantile,
    "max": measure_quantile,
    "mean": measure_mean,
    "rate": measure_rate,
    "peak_rate": measure_peak_rate,
    "error_ratio": measure_error_ratio,
    "count": measure_count,
    "users": measure_users,
    "stall": measure_stall,
    "pacer_lag": measure_lag,
    "receive_lag": measure_lag,
    "user_wait": measure_user_wait,
    "check": measure_check,
    "metric": measure_metric,
    "resource": measure_samples,
    GROWTH: measure_growth,
    PROMQL: measure_samples,
    **dict.fromkeys(RECOVERY, measure_recovery),
    "capacity": measure_capacity,
}
