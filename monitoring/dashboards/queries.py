"""PromQL as the dashboards say it: of one run, over the chosen regions, scenarios and names."""

from __future__ import annotations

from typing import Final

RUN: Final = 'loadproof_run_info{run="$run"}'
CHOSEN: Final = 'region=~"$region",scenario=~"$scenario",name=~"$name"'
OF_REGION: Final = 'region=~"$region"'
REQUESTS: Final = "loadproof_request_duration_seconds"
PERCENTILES: Final = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p99.9": "0.999"}
"""As rules call them -> the quantile."""


def of_run(vector: str) -> str:
    """The series of a vector that the chosen run's master served: only `loadproof_run_info` says which run that is."""
    return f"{vector} and on (job, instance) {RUN}"


def per_second(counter: str, by: str = "") -> str:
    """How fast a counter of the run grows, added up over all labels but `by`."""
    return f"{_sum(by)}({of_run(f'rate({counter}[$__rate_interval])')})"


def now(gauge: str, by: str = "", fold: str = "sum") -> str:
    """A gauge of the run, folded over all labels but `by`."""
    return f"{_sum(by, fold)}({of_run(gauge)})"


def latest(vector: str) -> str:
    """The last value of each series in the dashboard's range, also where the run was over before its end."""
    info = f"last_over_time({RUN}[$__range])"
    return f"(last_over_time({vector}[$__range]) and on (job, instance) {info})"


def latency(quantile: str, by: str = "", selector: str = f'{CHOSEN},outcome="ok"') -> str:
    """A quantile of requests that ended just now, in seconds."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({quantile}, {per_second(f'{REQUESTS}_bucket{{{selector}}}', labels)})"


def limits(statistic: str, selector: str = '""') -> str:
    """Limits of the plan's rules on such a statistic (a regular expression), for those without a selector."""
    infos = f'loadproof_rule_info{{statistic=~"{statistic}",selector={selector}}}'
    return f"max by (rule) ({of_run('loadproof_rule_limit')} and on (job, instance, rule) {infos})"


def worst(gauge: str, label: str, values: dict[str, int], by: str = "") -> str:
    """The number of the state that a gauge of 0s and 1s is in; 0 where it is in none of these."""
    states = " or ".join(f'{gauge}{{{label}="{value}"}} * {number}' for value, number in values.items())
    return now(f"({states})", by, "max")


def recorded_mean(by: str) -> str:
    """The mean since the start of each number that scenarios record."""
    added, count = (
        now(f'loadproof_scenario_values_{what}{{scenario=~"$scenario"}}', by) for what in ("added", "total")
    )
    return f"{added} / {count}"


def _sum(by: str, fold: str = "sum") -> str:
    return f"{fold} by ({by}) " if by else fold
