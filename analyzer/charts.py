"""Charts of the timeline: plain Vega-Lite specs, drawn to SVG and PNG without a browser or a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analyzer.chart import Chart
from analyzer.chart_style import BLUE, FAINT, GREEN, ORANGE, RED, SKY
from analyzer.escape import shown
from analyzer.heat_map import heat_map
from analyzer.layers import layered
from analyzer.resource_charts import resource_charts
from analyzer.search_charts import search_charts
from analyzer.series import downsampled, limits_of, mean, note, point, worst_ms
from analyzer.stays import stays, worker_stays
from loadproof.units import format_duration, format_rate

if TYPE_CHECKING:
    from analyzer.layers import Size, Spec
    from analyzer.model import Report

LOG_SPREAD: Final = 30
"""A latency chart turns logarithmic when its largest value is this many times its smallest median."""
FAR: Final = 20
"""A latency limit that is so many times the largest value is named and not drawn: it would press the lines flat."""


def throughput(report: Report, size: Size) -> Spec:
    """Ok and failed requests a second, with the plan's rate limits."""
    step, seconds = downsampled(report.timeline, size.points)
    values = [
        point(row, name, mean([getattr(second, name) for second in row if second.users is not None]))
        for row in seconds
        for name in ("ok", "failed")
    ]
    lines = [
        {"v": bound, "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_rate(bound)}"}
        for rule, bound in limits_of(report.rules, {"rate", "peak_rate"})
    ]
    colours = {"ok": BLUE, "failed": RED}
    return layered(
        report,
        size,
        title="Throughput",
        subtitle=note("requests that ended in each second", "mean", step),
        y_title="requests a second",
        values=values,
        colours=colours,
        lines=lines,
        filled="ok",
    )


def latency(report: Report, size: Size) -> Spec:
    """P50, P95 and P99 of the ok requests of each second, with the plan's latency limits."""
    step, seconds = downsampled(report.timeline, size.points)
    values = [
        point(row, name, worst_ms([getattr(second, f"{name.lower()}_us") for second in row]))
        for row in seconds
        for name in ("P50", "P95", "P99")
    ]
    lines: list[dict[str, Any]] = [
        {"v": bound / 1_000, "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_duration(bound)}"}
        for rule, bound in limits_of(report.rules, {"mean", "max"}, prefix="p")
    ]
    medians = [value["v"] for value in values if value["series"] == "P50" and value["v"]]
    highest = max([value["v"] for value in values if value["v"]], default=0)
    far = [line["label"] for line in lines if highest and line["v"] > FAR * highest]
    lines = [line for line in lines if line["label"] not in far]
    largest = max([highest, *(line["v"] for line in lines)])
    logarithmic = bool(medians) and largest > LOG_SPREAD * min(medians)
    return layered(
        report,
        size,
        title="Latency of ok requests",
        subtitle=note("percentiles of each second", "worst", step)
        + (", logarithmic" if logarithmic else "")
        + (f", far above: {', '.join(far)}" if far else ""),
        y_title="latency (ms)",
        values=values,
        colours={"P50": SKY, "P95": BLUE, "P99": ORANGE},
        lines=lines,
        logarithmic=logarithmic,
    )


def errors(report: Report, size: Size) -> Spec:
    """What ended badly in each second: failed, ended by us, and starts that were dropped."""
    step, seconds = downsampled(report.timeline, size.points)
    colours = {"failed": RED, "unfinished": ORANGE} | ({"dropped": SKY} if report.plan.open else {})
    fields = {"failed": "failed", "unfinished": "unfinished", "dropped": "starts_dropped"}
    values = [
        point(row, name, mean([getattr(one, fields[name]) for one in row if one.users is not None]))
        for row in seconds
        for name in colours
    ]
    return layered(
        report,
        size,
        title="Errors",
        subtitle=note("what ended badly in each second", "mean", step),
        y_title="a second",
        values=values,
        colours=colours,
        filled="failed",
    )


def users(report: Report, size: Size) -> Spec:
    """Active users against the plan."""
    step, seconds = downsampled(report.timeline, size.points)
    values = [
        point(row, name, mean([getattr(second, field) for second in row]))
        for row in seconds
        for name, field in (("planned", "users_planned"), ("active", "users"))
    ]
    return layered(
        report,
        size,
        title="Users",
        subtitle=note("active users against the plan", "mean", step),
        y_title="users",
        values=values,
        colours={"active": GREEN, "planned": FAINT},
        filled="planned",
        dashed="planned",
    )


def starts(report: Report, size: Size) -> Spec:
    """Intended starts of an open plan: those of the plan, those that a user took, and those dropped."""
    step, seconds = downsampled(report.timeline, size.points)
    values = [
        point(row, name, mean([getattr(second, f"starts_{name}") for second in row]))
        for row in seconds
        for name in ("planned", "taken", "dropped")
    ]
    return layered(
        report,
        size,
        title="Starts",
        subtitle=note("intended starts of tasks against the plan", "mean", step),
        y_title="starts a second",
        values=values,
        colours={"taken": GREEN, "dropped": RED, "planned": FAINT},
        filled="planned",
        dashed="planned",
    )


def lag(report: Report, size: Size) -> Spec:
    """P99 of the generator's lags, and of the waits for users of an open plan, with the limit of the verdict.

    Always logarithmic: a healthy lag is a small part of the limit. A wait of 0 lies at the bottom.
    """
    step, seconds = downsampled(report.timeline, size.points)
    colours = {"pacer_lag": BLUE, "receive_lag": ORANGE} | ({"user_wait": GREEN} if report.plan.open else {})
    values = [
        point(row, name, worst_ms([getattr(second, f"{name}_p99_us") for second in row]))
        for row in seconds
        for name in colours
    ]
    limit_us = report.generator.lag_limit_us
    return layered(
        report,
        size,
        title="The generator's own lag",
        subtitle=note("P99 of each second over all workers", "worst", step) + ", logarithmic",
        y_title="lag (ms)",
        values=values,
        colours=colours,
        lines=[{"v": limit_us / 1_000, "label": f"lag <= {format_duration(limit_us)}"}],
        logarithmic=True,
    )


HEAT_MAP: Final = Chart("heatmap", "Latency heat map", heat_map, 270)
CHARTS: Final = (
    Chart("throughput", "Throughput", throughput, unit="/s"),
    Chart("latency", "Latency", latency, 230),
    Chart("users", "Users", users, 150, " users"),
)
ERRORS: Final = Chart("errors", "Errors", errors, 150, "/s")
STARTS: Final = Chart("starts", "Starts", starts, unit="/s")
LAG: Final = Chart("lag", "The generator's own lag", lag)
WORKERS: Final = Chart("workers", "Workers", worker_stays)


def charts_of(report: Report) -> tuple[Chart, ...]:
    """The charts that a run has something to show for."""
    has_lag = any(
        lag_us is not None
        for second in report.timeline
        for lag_us in (second.pacer_lag_p99_us, second.receive_lag_p99_us, second.user_wait_p99_us)
    )
    bad = any(row.failed or row.unfinished or row.starts_dropped for row in report.timeline)
    wanted = (
        (HEAT_MAP, bool(report.latency_map.columns)),
        *((chart, True) for chart in CHARTS),
        (ERRORS, bad),
        (STARTS, report.plan.open),
        *((chart, True) for chart in resource_charts(report)),
        *((chart, True) for chart in search_charts(report)),
        (LAG, has_lag),
        (WORKERS, bool(stays(report))),
    )
    return tuple(chart for chart, shows in wanted if shows)
