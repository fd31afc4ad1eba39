"""Resources over time: shares of target and generator in one chart, and a chart each for what rules ask of others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from analyzer.chart import Chart
from analyzer.chart_style import BLUE, ORANGE, RED, SKY
from analyzer.escape import shown
from analyzer.layers import end_s, layered
from analyzer.series import limits_of, note
from analyzer.wording import value_text
from loadproof.units import format_ratio

if TYPE_CHECKING:
    from analyzer.layers import Size, Spec
    from analyzer.model import Report, ResourceLine
    from loadproof.verdict.result import RuleResult

MOST_ASKED: Final = 8
"""Charts of single resources: enough for a page to be read, and the table has them all."""
_SHARES: Final = {
    "target.cpu": ORANGE,
    "target.memory": RED,
    "generator.cpu": BLUE,
    "generator.memory": SKY,
}
_PRETTY: Final = {"us": (1e-3, " ms"), "ratio": (100, " %"), "bytes": (1e-6, " MB"), "per_s": (1, "/s")}
"""By a rule's unit: what its numbers are multiplied with to be written, and what stands behind them."""


def resource_charts(report: Report) -> tuple[Chart, ...]:
    """Those that the run has samples for."""
    known = {line.name: line for line in report.resource_lines if line.points}
    found = [Chart("resources", "Resources", shares, unit=" %")] if known.keys() & _SHARES.keys() else []
    asked: dict[str, list[RuleResult]] = {}
    for rule in report.rules:
        name = _asked_of(rule)
        if name in known and name not in _SHARES:
            asked.setdefault(name, []).append(rule)
    for number, (name, rules) in enumerate(list(asked.items())[:MOST_ASKED], start=1):
        scale, unit = _PRETTY.get(rules[0].unit, (1, ""))
        draw = partial(_asked, line=known[name], rules=rules, scale=scale, unit=unit)
        found.append(Chart(f"asked-{number}", shown(name, 80), draw, height=140, unit=unit))
    return tuple(found)


def shares(report: Report, size: Size) -> Spec:
    """Processors and memory of target and generator, as shares of what they may use, with the plan's limits."""
    step = _step(report, size)
    values = [
        value
        for line in report.resource_lines
        if line.name in _SHARES
        for value in _values(line, line.name, step, 100)
    ]
    lines = [
        {"v": 100 * bound, "label": f"{shown(rule.statistic, 30)} {rule.operator} {format_ratio(bound)}"}
        for rule, bound in limits_of(report.rules, {f"resource({name})" for name in _SHARES})
    ]
    return layered(
        report,
        size,
        title="Resources",
        subtitle=note("share of what may be used", "highest", step),
        y_title="share (%)",
        values=values,
        colours=_SHARES,
        lines=lines,
    )


def _asked(
    report: Report, size: Size, *, line: ResourceLine, rules: list[RuleResult], scale: float, unit: str
) -> Spec:
    step = _step(report, size)
    lines = [
        {"v": scale * bound, "label": f"{rule.operator} {value_text(rule.unit, bound)}"}
        for rule, bound in limits_of(rules, {rule.statistic for rule in rules if rule.per is None})
    ]
    return layered(
        report,
        size,
        title=shown(line.name, 36 if size.narrow else 100),
        subtitle=note("as it was sampled", "highest", step),
        y_title=unit.strip() or "value",
        values=_values(line, "value", step, scale),
        colours={"value": BLUE},
        lines=lines,
    )


def _asked_of(rule: RuleResult) -> str:
    """The name of the samples that a rule is judged on; empty for a rule on requests."""
    kind, _, rest = rule.statistic.partition("(")
    name = rest.removesuffix(")")
    return {"resource": name, "growth": name, "promql": rule.statistic}.get(kind, "")


def _step(report: Report, size: Size) -> int:
    return max(1, -(-end_s(report) // size.points))


def _values(line: ResourceLine, series: str, step: int, scale: float) -> list[dict[str, Any]]:
    """The highest of each `step` seconds; a stretch without a sample breaks the line."""
    highest: dict[int, float] = {}
    for second, value in line.points:
        number = second // step
        highest[number] = max(highest.get(number, value), value)
    found: list[dict[str, Any]] = []
    for number in range(min(highest), max(highest) + 1):
        value_ = highest.get(number)
        found.append(
            {
                "t": (number + 0.5) * step,
                "series": series,
                "v": None if value_ is None else round(scale * value_, 4),
            }
        )
    return found
