"""Charts of the timeline: plain Vega-Lite specs, drawn to SVG and PNG without a browser or a network."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from analyzer.chart_style import BLUE, FAINT, GREEN, ORANGE, RED, SKY
from analyzer.escape import shown
from analyzer.heat_map import heat_map
from analyzer.layers import Size, Spec, end_s, layered, whole_seconds
from analyzer.stays import stays, worker_stays
from loadproof.units import format_duration, format_rate, format_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.model import Report, ResourceLine, Second
    from loadproof.verdict.result import RuleResult

LOG_SPREAD: Final = 30
"""A latency chart turns logarithmic when its largest value is this many times its smallest median."""
LIMIT_LINES: Final = 4
MOST_CHARTS: Final = 10
"""Of one report."""
FAR: Final = 20
"""A latency limit that is so many times the largest value is named and not drawn: it would press the lines flat."""

WIDE: Final = Size(980, 190, points=1_800)
"""Half an hour second by second: what zooming into a line can show."""
NARROW: Final = Size(285, 190, points=250)


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    spec: Callable[[Report, Size], Spec]
    height: int = WIDE.height

    def drawn(self, report: Report, size: Size) -> Spec:
        """The spec at the chart's own height."""
        return self.spec(report, replace(size, height=self.height))


def throughput(report: Report, size: Size) -> Spec:
    """Ok and failed requests a second, with the plan's rate limits."""
    step, seconds = _downsampled(report.timeline, size.points)
    values = [
        _point(row, name, _mean([getattr(second, name) for second in row if second.users is not None]))
        for row in seconds
        for name in ("ok", "failed")
    ]
    lines = [
        {"v": bound, "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_rate(bound)}"}
        for rule, bound in _limits(report.rules, {"rate", "peak_rate"})
    ]
    colours = {"ok": BLUE, "failed": RED}
    return layered(
        report,
        size,
        title="Throughput",
        subtitle=_note("requests that ended in each second", "mean", step),
        y_title="requests a second",
        values=values,
        colours=colours,
        lines=lines,
        filled="ok",
    )


def latency(report: Report, size: Size) -> Spec:
    """P50, P95 and P99 of the ok requests of each second, with the plan's latency limits."""
    step, seconds = _downsampled(report.timeline, size.points)
    values = [
        _point(row, name, _worst_ms([getattr(second, f"{name.lower()}_us") for second in row]))
        for row in seconds
        for name in ("P50", "P95", "P99")
    ]
    lines: list[dict[str, Any]] = [
        {"v": bound / 1_000, "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_duration(bound)}"}
        for rule, bound in _limits(report.rules, {"mean", "max"}, prefix="p")
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
        subtitle=_note("percentiles of each second", "worst", step)
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
    step, seconds = _downsampled(report.timeline, size.points)
    colours = {"failed": RED, "unfinished": ORANGE} | ({"dropped": SKY} if report.plan.open else {})
    fields = {"failed": "failed", "unfinished": "unfinished", "dropped": "starts_dropped"}
    values = [
        _point(row, name, _mean([getattr(one, fields[name]) for one in row if one.users is not None]))
        for row in seconds
        for name in colours
    ]
    return layered(
        report,
        size,
        title="Errors",
        subtitle=_note("what ended badly in each second", "mean", step),
        y_title="a second",
        values=values,
        colours=colours,
        filled="failed",
    )


def resources(report: Report, size: Size) -> Spec:
    """Processors and memory of target and generator, as shares of what they may use, with the plan's limits."""
    end = end_s(report)
    step = max(1, -(-end // size.points))
    values = []
    for line in _shares(report):
        grouped: dict[int, list[float]] = {}
        for second, value in line.points:
            grouped.setdefault(second // step, []).append(value)
        values += [
            {"t": (number + 0.5) * step, "series": line.name, "v": round(100 * max(found), 3)}
            for number, found in sorted(grouped.items())
        ]
    lines = [
        {"v": 100 * bound, "label": f"{shown(rule.statistic, 30)} {rule.operator} {format_ratio(bound)}"}
        for rule, bound in _limits(report.rules, {f"resource({name})" for name in _SHARES})
    ]
    return layered(
        report,
        size,
        title="Resources",
        subtitle=_note("share of what may be used", "highest", step),
        y_title="share (%)",
        values=values,
        colours=_SHARES,
        lines=lines,
    )


def users(report: Report, size: Size) -> Spec:
    """Active users against the plan."""
    step, seconds = _downsampled(report.timeline, size.points)
    values = [
        _point(row, name, _mean([getattr(second, field) for second in row]))
        for row in seconds
        for name, field in (("planned", "users_planned"), ("active", "users"))
    ]
    return layered(
        report,
        size,
        title="Users",
        subtitle=_note("active users against the plan", "mean", step),
        y_title="users",
        values=values,
        colours={"active": GREEN, "planned": FAINT},
        filled="planned",
        dashed="planned",
    )


def starts(report: Report, size: Size) -> Spec:
    """Intended starts of an open plan: those of the plan, those that a user took, and those dropped."""
    step, seconds = _downsampled(report.timeline, size.points)
    values = [
        _point(row, name, _mean([getattr(second, f"starts_{name}") for second in row]))
        for row in seconds
        for name in ("planned", "taken", "dropped")
    ]
    return layered(
        report,
        size,
        title="Starts",
        subtitle=_note("intended starts of tasks against the plan", "mean", step),
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
    step, seconds = _downsampled(report.timeline, size.points)
    colours = {"pacer_lag": BLUE, "receive_lag": ORANGE} | ({"user_wait": GREEN} if report.plan.open else {})
    values = [
        _point(row, name, _worst_ms([getattr(second, f"{name}_p99_us") for second in row]))
        for row in seconds
        for name in colours
    ]
    limit_us = report.generator.lag_limit_us
    return layered(
        report,
        size,
        title="The generator's own lag",
        subtitle=_note("P99 of each second over all workers", "worst", step) + ", logarithmic",
        y_title="lag (ms)",
        values=values,
        colours=colours,
        lines=[{"v": limit_us / 1_000, "label": f"lag <= {format_duration(limit_us)}"}],
        logarithmic=True,
    )


_SHARES: Final = {
    "target.cpu": ORANGE,
    "target.memory": RED,
    "generator.cpu": BLUE,
    "generator.memory": SKY,
}
CHARTS: Final = (
    Chart("throughput", "Throughput", throughput),
    Chart("latency", "Latency", latency, 230),
    Chart("users", "Users", users, 150),
)
HEAT_MAP: Final = Chart("heatmap", "Latency heat map", heat_map, 270)
ERRORS: Final = Chart("errors", "Errors", errors, 150)
RESOURCES: Final = Chart("resources", "Resources", resources)
WORKERS: Final = Chart("workers", "Workers", worker_stays)
STARTS: Final = Chart("starts", "Starts", starts)
LAG: Final = Chart("lag", "The generator's own lag", lag)


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
        (RESOURCES, bool(_shares(report))),
        (LAG, has_lag),
        (WORKERS, bool(stays(report))),
    )
    return tuple(chart for chart, shows in wanted if shows)


def _shares(report: Report) -> list[ResourceLine]:
    return [line for line in report.resource_lines if line.name in _SHARES and line.points]


def to_svg(spec: Spec) -> str:
    return _svg(json.dumps(spec))


def to_png(spec: Spec) -> bytes:
    """The same picture on white, two pixels for one."""
    import vl_convert  # noqa: PLC0415 40 MB of renderer: only a report with charts pays for it

    on_white = to_svg(spec).replace(">", '><rect width="100%" height="100%" fill="white"/>', 1)
    return bytes(vl_convert.svg_to_png(on_white, scale=2))


@lru_cache(maxsize=2 * MOST_CHARTS)
def _svg(spec: str) -> str:
    """Kept, as a page and its PNG charts are drawn from the same specs."""
    import vl_convert  # noqa: PLC0415 as above

    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.21", allowed_base_urls=[]))


def _limits(
    rules: Sequence[RuleResult], statistics: set[str], prefix: str = ""
) -> list[tuple[RuleResult, float]]:
    """The limits that hold for the whole chart: those of rules without a selector, each value once."""
    found: dict[tuple[str, float], tuple[RuleResult, float]] = {}
    for rule in rules:
        quantile = (
            bool(prefix) and rule.statistic.startswith(prefix) and rule.statistic[len(prefix) :][:1].isdigit()
        )
        if rule.selector or not (quantile or rule.statistic in statistics):
            continue
        bounds = rule.limit if isinstance(rule.limit, tuple) else (rule.limit,)
        for bound in bounds:
            if bound is not None:
                found.setdefault((rule.statistic, bound), (rule, bound))
    return list(found.values())[:LIMIT_LINES]


def _downsampled(timeline: Sequence[Second], points: int) -> tuple[int, list[Sequence[Second]]]:
    """Neighbouring seconds in groups of one size, at most `points` groups."""
    whole = whole_seconds(timeline)
    step = max(1, -(-len(whole) // points))
    return step, [whole[start : start + step] for start in range(0, len(whole), step)]


def _note(text: str, how: str, step: int) -> str:
    return text if step == 1 else f"{text}, the {how} of {step} seconds a point"


def _point(seconds: Sequence[Second], series: str, value: float | None) -> dict[str, Any]:
    """A point stands in the middle of the time that it speaks of."""
    return {"t": (seconds[0].second + seconds[-1].second + 1) / 2, "series": series, "v": value}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def _worst_ms(values: Sequence[int | None]) -> float | None:
    return max((value / 1_000 for value in values if value is not None), default=None)
