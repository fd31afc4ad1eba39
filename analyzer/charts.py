"""Charts of the timeline: plain Vega-Lite specs, drawn to SVG and PNG without a browser or a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer.escape import shown
from loadproof.units import format_duration, format_rate
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.model import Report, Second
    from loadproof.verdict.result import RuleResult

Spec = dict[str, Any]

LOG_SPREAD: Final = 30
"""A latency chart turns logarithmic when its largest value is this many times its smallest median."""

INK: Final = "#2f3746"
FAINT: Final = "#667085"
GRID: Final = "#dfe3ea"
PAPER: Final = "#fffffe"
BLUE: Final = "#1f6fc4"
SKY: Final = "#5aa9e6"
ORANGE: Final = "#d9730d"
RED: Final = "#d13438"
GREEN: Final = "#2f8f5b"
"""Series colours keep apart under the common colour blindnesses."""
DARK: Final = {
    INK: "#e4e8f0",
    FAINT: "#98a2b3",
    GRID: "#343c4a",
    PAPER: "#171b22",
    BLUE: "#5b9df0",
    SKY: "#8fcaf5",
    ORANGE: "#f09a4a",
    RED: "#f0666a",
    GREEN: "#58bd85",
}
"""What the page's dark theme puts in each colour's place."""

_TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_LIMIT_LINES: Final = 4


@dataclass(frozen=True)
class Size:
    """Width and height of the plotting area in pixels, and how many points a line may have there."""

    width: int
    height: int
    points: int

    @property
    def narrow(self) -> bool:
        return self.width < 500


WIDE: Final = Size(925, 250, points=600)
NARROW: Final = Size(285, 210, points=250)


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    spec: Callable[[Report, Size], Spec]


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
    return _chart(
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
    lines = [
        {"v": bound / 1_000, "label": f"{shown(rule.statistic, 24)} {rule.operator} {format_duration(bound)}"}
        for rule, bound in _limits(report.rules, {"mean", "max"}, prefix="p")
    ]
    medians = [value["v"] for value in values if value["series"] == "P50" and value["v"]]
    largest = max([value["v"] for value in values if value["v"]] + [line["v"] for line in lines], default=0)
    logarithmic = bool(medians) and largest > LOG_SPREAD * min(medians)
    return _chart(
        report,
        size,
        title="Latency of ok requests",
        subtitle=_note("percentiles of each second", "worst", step)
        + (", logarithmic" if logarithmic else ""),
        y_title="latency (ms)",
        values=values,
        colours={"P50": SKY, "P95": BLUE, "P99": ORANGE},
        lines=lines,
        logarithmic=logarithmic,
    )


def users(report: Report, size: Size) -> Spec:
    """Active users against the plan."""
    step, seconds = _downsampled(report.timeline, size.points)
    values = [
        _point(row, name, _mean([getattr(second, field) for second in row]))
        for row in seconds
        for name, field in (("planned", "users_planned"), ("active", "users"))
    ]
    return _chart(
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


CHARTS: Final = (
    Chart("throughput", "Throughput", throughput),
    Chart("latency", "Latency", latency),
    Chart("users", "Users", users),
)


def to_svg(spec: Spec) -> str:
    import vl_convert  # noqa: PLC0415 40 MB of renderer: only a report with charts pays for it

    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.21", allowed_base_urls=[]))


def to_png(spec: Spec) -> bytes:
    import vl_convert  # noqa: PLC0415 as above

    return bytes(
        vl_convert.vegalite_to_png(
            {**spec, "background": "white"}, vl_version="5.21", scale=2, allowed_base_urls=[]
        )
    )


def _chart(
    report: Report,
    size: Size,
    *,
    title: str,
    subtitle: str,
    y_title: str,
    values: list[dict[str, Any]],
    colours: dict[str, str],
    lines: Sequence[dict[str, Any]] = (),
    filled: str | None = None,
    dashed: str | None = None,
    logarithmic: bool = False,
) -> Spec:
    """Phases as bands, one line a series, limits as dashed rules over the whole width.

    Every value is `{"t": seconds, "series": name, "v": number or None}`; None breaks the line.
    """
    end = _end_s(report)
    colour = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(colours), "range": list(colours.values())},
        "legend": {"title": None}
        | ({"symbolDash": {"expr": f"datum.value === '{dashed}' ? [3, 2] : []"}} if dashed else {}),
    }
    x = {
        "field": "t",
        "type": "quantitative",
        "title": "run time (h:mm:ss)" if end >= 3600 else "run time (m:ss)",
        "scale": {"domain": [0, end], "nice": False},
        "axis": {"values": _time_ticks(end, 4 if size.narrow else 9), "labelExpr": _CLOCK, "grid": False},
    }
    scale = _y_scale(values, lines, logarithmic)
    ticks = {"values": _log_ticks(*scale["domain"])} if logarithmic else {"tickCount": 5}
    axis = {**ticks, "minExtent": 42, "labelExpr": "format(datum.value, ',.12~g')"}
    y = {"field": "v", "type": "quantitative", "title": y_title, "scale": scale, "axis": axis}
    layers: list[Spec] = _bands(report, size, end)
    if filled:
        layers.append(
            {
                "data": {"values": [value for value in values if value["series"] == filled]},
                "mark": {"type": "area", "opacity": 0.14, "color": colours[filled]},
                "encoding": {"x": x, "y": y},
            }
        )
    layers.append(
        {
            "data": {"values": values},
            "mark": {"type": "line", "interpolate": "linear", "strokeWidth": 1.6, "strokeJoin": "round"},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour,
                "strokeDash": {
                    "condition": {"test": f"datum.series === '{dashed}'", "value": [5, 4]},
                    "value": [1, 0],
                },
            },
        }
    )
    lonely = _lonely(values)
    if lonely:
        layers.append(
            {
                "data": {"values": lonely},
                "mark": {"type": "circle", "size": 22, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour},
            }
        )
    layers.extend(_limit_layers(lines))
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size.width,
        "height": size.height,
        "background": None,
        "padding": 8,
        "title": {
            "text": title,
            "subtitle": subtitle.split(", ", 1) if size.narrow else subtitle,
            "anchor": "start",
            "frame": "group",
        },
        "layer": layers,
        "config": _CONFIG,
    }


_CLOCK: Final = (
    "(datum.value >= 3600"
    " ? floor(datum.value / 3600) + ':' + pad(floor(datum.value / 60) % 60, 2, '0', 'left')"
    " : floor(datum.value / 60)) + ':' + pad(datum.value % 60, 2, '0', 'left')"
)
_FONT: Final = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
_CONFIG: Final = {
    "font": _FONT,
    "view": {"stroke": GRID},
    "title": {
        "fontSize": 15,
        "fontWeight": 600,
        "color": INK,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
        "subtitlePadding": 4,
        "offset": 8,
    },
    "axis": {
        "labelColor": FAINT,
        "labelFontSize": 11,
        "titleColor": FAINT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "gridColor": GRID,
        "gridOpacity": 0.8,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelOverlap": True,
    },
    "legend": {
        "orient": "top",
        "labelColor": INK,
        "labelFontSize": 12,
        "symbolType": "stroke",
        "symbolStrokeWidth": 3,
    },
}


def _bands(report: Report, size: Size, end: int) -> list[Spec]:
    """Every second phase shaded, and each phase's name where it fits."""
    shades, names = [], []
    start_us = 0
    for index, phase in enumerate(report.plan.load):
        start, stop = start_us / 1_000_000, (start_us + phase.duration_us) / 1_000_000
        start_us += phase.duration_us
        if index % 2:
            shades.append({"from": start, "to": stop})
        room = int((stop - start) / end * size.width / 6.5) - 1
        label = f"{phase.name} (warm-up)" if phase.warmup and len(phase.name) + 10 <= room else phase.name
        if room >= 3:
            names.append({"t": start, "label": shown(label, room)})
    x = {"field": "from", "type": "quantitative", "scale": {"domain": [0, end], "nice": False}}
    layers: list[Spec] = []
    if shades:
        band = {"type": "rect", "color": FAINT, "opacity": 0.08}
        layers.append({"data": {"values": shades}, "mark": band, "encoding": {"x": x, "x2": {"field": "to"}}})
    if names:
        text = {
            "type": "text",
            "align": "left",
            "baseline": "top",
            "dx": 5,
            "dy": 5,
            "fontSize": 11,
            "color": FAINT,
        }
        encoding = {
            "x": {**x, "field": "t"},
            "y": {"value": 0},
            "text": {"field": "label", "type": "nominal"},
        }
        layers.append({"data": {"values": names}, "mark": text, "encoding": encoding})
    return layers


def _limit_layers(lines: Sequence[dict[str, Any]]) -> list[Spec]:
    if not lines:
        return []
    data = {"values": list(lines)}
    y = {"field": "v", "type": "quantitative"}
    rule = {"type": "rule", "color": INK, "strokeDash": [7, 4], "strokeWidth": 1.2}
    text = {
        "type": "text",
        "align": "right",
        "baseline": "bottom",
        "dx": -5,
        "dy": -3,
        "fontSize": 11,
        "color": INK,
    }
    # Paper behind the letters keeps them readable where a line runs through them.
    halo = {**text, "stroke": PAPER, "strokeWidth": 4, "strokeJoin": "round"}
    label = {"x": {"value": "width"}, "y": y, "text": {"field": "label", "type": "nominal"}}
    return [
        {"data": data, "mark": rule, "encoding": {"y": y}},
        {"data": data, "mark": halo, "encoding": label},
        {"data": data, "mark": text, "encoding": label},
    ]


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
            found.setdefault((rule.statistic, bound), (rule, bound))
    return list(found.values())[:_LIMIT_LINES]


def _y_scale(
    values: list[dict[str, Any]], lines: Sequence[dict[str, Any]], logarithmic: bool
) -> dict[str, Any]:
    numbers = [value["v"] for value in values if value["v"] is not None] + [line["v"] for line in lines]
    largest = max(numbers, default=0)
    if logarithmic:
        # The band above keeps the phases' names clear of the lines.
        smallest = min(number for number in numbers if number > 0)
        return {"type": "log", "domain": [smallest / 1.3, largest * 2], "clamp": True, "nice": False}
    return {"domain": [0, largest * 1.18 or 1], "nice": False}


def _log_ticks(smallest: float, largest: float) -> list[float]:
    """1, 2 and 5 of every decade in view; only the decades where that would crowd."""
    decades = range(math.floor(math.log10(smallest)), math.ceil(math.log10(largest)) + 1)
    ticks = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    seen = [tick for tick in ticks if smallest <= tick <= largest]
    return seen if len(seen) <= 9 else [tick for tick in seen if f"{tick:e}".startswith("1")]


def _time_ticks(end: int, wanted: int) -> list[int]:
    step = next((step for step in _TIME_STEPS if end / step <= wanted), 86400 * (1 + end // (86400 * wanted)))
    return list(range(0, end + 1, step))


def _end_s(report: Report) -> int:
    planned = -(-report.plan.duration_us // SECOND_US)
    whole = _whole(report.timeline)
    return max(planned, whole[-1].second + 1 if whole else 0, 1)


def _whole(timeline: Sequence[Second]) -> Sequence[Second]:
    """Without a last second that is less than half there: it would read as a collapse."""
    sliver = len(timeline) > 1 and 0 < timeline[-1].covered_us < SECOND_US // 2
    return timeline[:-1] if sliver else timeline


def _downsampled(timeline: Sequence[Second], points: int) -> tuple[int, list[Sequence[Second]]]:
    """Neighbouring seconds in groups of one size, at most `points` groups."""
    whole = _whole(timeline)
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


def _lonely(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Values without a neighbour in their own series: a line through one point is invisible."""
    found = []
    for name in dict.fromkeys(value["series"] for value in values):
        own = [value for value in values if value["series"] == name]
        for index, value in enumerate(own):
            beside = [own[near]["v"] for near in (index - 1, index + 1) if 0 <= near < len(own)]
            if value["v"] is not None and all(near is None for near in beside):
                found.append(value)
    return found
