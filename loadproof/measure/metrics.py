"""The one table of statistics: name, unit, good direction and meaning of what a rule can ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final


class Unit(StrEnum):
    """The base unit of a value inside; renderers choose the shown one."""

    MICROSECONDS = "us"
    RATIO = "ratio"
    PER_SECOND = "per_s"
    COUNT = "count"
    BYTES = "bytes"


@dataclass(frozen=True)
class Metric:
    name: str
    unit: Unit
    direction: int
    """+1: more is better, -1: less is better, 0: neither."""
    help: str
    argument: str | None = None
    """What stands in parentheses after the name, in a word; None where nothing does."""


_ALL: Final = (
    Metric("mean", Unit.MICROSECONDS, -1, "Mean latency of the requests due"),
    Metric("max", Unit.MICROSECONDS, -1, "Largest latency of the requests due"),
    Metric("rate", Unit.PER_SECOND, +1, "Ok requests per second of the judged phases"),
    Metric("peak_rate", Unit.PER_SECOND, +1, "Highest rate of ok requests over 10 s within a phase"),
    Metric(
        "error_ratio", Unit.RATIO, -1, "Share of the requests due that failed, did not finish or were dropped"
    ),
    Metric("count", Unit.COUNT, +1, "Requests that ended ok or failed"),
    Metric("users", Unit.COUNT, 0, "Active users"),
    Metric("stall", Unit.MICROSECONDS, -1, "Longest time with requests in flight and none completing"),
    Metric("pacer_lag", Unit.MICROSECONDS, -1, "How late the generator's own timers ran"),
    Metric("user_wait", Unit.MICROSECONDS, -1, "How long a start waited for a free user"),
    Metric(
        "receive_lag", Unit.MICROSECONDS, -1, "From the kernel's receipt of an answer until the user saw it"
    ),
    Metric("check", Unit.RATIO, +1, "Share of a check's executions that passed", "name"),
    Metric("metric", Unit.COUNT, 0, "Mean of the numbers that scenarios recorded under a name", "name"),
    Metric("resource", Unit.RATIO, -1, "Use of a resource, as a share or in bytes", "name"),
    Metric("promql", Unit.COUNT, 0, "Value of a PromQL expression, sampled during the run", "expression"),
)
METRICS: Final = {metric.name: metric for metric in _ALL}
"""Every statistic by its name, but for the family of percentiles, which `metric` knows."""
_PERCENTILE: Final = re.compile(r"p([5-9][0-9](?:\.[0-9]{1,2})?)")


def percentile(name: str) -> Fraction | None:
    """`p99.9` as 999/1000, for `p50` to `p99.99`; None for any other name."""
    match = _PERCENTILE.fullmatch(name)
    return Fraction(match[1]) / 100 if match else None


def find_metric(name: str, argument: str | None = None) -> Metric | None:
    """The entry of a statistic, None for a name that is none; `resource(target.memory)` is in bytes."""
    if percentile(name) is not None:
        return Metric(name, Unit.MICROSECONDS, -1, f"Latency that {name[1:]} % of the requests due kept")
    metric = METRICS.get(name)
    if metric is not None and name == "resource" and argument is not None and argument.endswith("memory"):
        return replace(metric, unit=Unit.BYTES)
    return metric
