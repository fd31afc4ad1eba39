"""One chart as layers of a Vega-Lite spec: phases as bands, lines over them, limits across all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analyzer.axes import CLOCK, log_ticks, time_ticks, y_scale
from analyzer.chart_style import CONFIG, FAINT, INK, PAPER
from analyzer.escape import shown
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.model import Report, Second
    from loadproof.plan.model import Phase

Spec = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Width and height of the plotting area in pixels, and how many points a line may have there."""

    width: int
    height: int
    points: int

    @property
    def narrow(self) -> bool:
        return self.width < 500


def layered(
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
    end = end_s(report)
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
        "axis": {"values": time_ticks(end, 4 if size.narrow else 9), "labelExpr": CLOCK, "grid": False},
    }
    scale = y_scale(values, lines, logarithmic)
    ticks = {"values": log_ticks(*scale["domain"])} if logarithmic else {"tickCount": 5}
    axis = {**ticks, "minExtent": 42, "labelExpr": "format(datum.value, ',.12~g')"}
    y = {"field": "v", "type": "quantitative", "title": y_title, "scale": scale, "axis": axis}
    layers: list[Spec] = _bands(report.plan.load, size, end)
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
        "config": CONFIG,
    }


def end_s(report: Report) -> int:
    planned = -(-report.plan.duration_us // SECOND_US)
    whole = whole_seconds(report.timeline)
    return max(planned, whole[-1].second + 1 if whole else 0, 1)


def whole_seconds(timeline: Sequence[Second]) -> Sequence[Second]:
    """Without a last second that is less than half there: it would read as a collapse."""
    sliver = len(timeline) > 1 and 0 < timeline[-1].covered_us < SECOND_US // 2
    return timeline[:-1] if sliver else timeline


def _bands(load: Sequence[Phase], size: Size, end: int) -> list[Spec]:
    """Every second phase shaded, and each phase's name where it fits."""
    shades, names = [], []
    start_us = 0
    for index, phase in enumerate(load):
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
