"""One chart as layers of a Vega-Lite spec: phases and events as bands, lines over them, limits across all.

A layer whose name begins with `time_` moves with the time axis; the page's script zooms these and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer.axes import CLOCK, log_ticks, time_ticks, y_scale
from analyzer.chart_style import CONFIG, FAINT, INK, PAPER, RED, RUST
from analyzer.escape import shown
from analyzer.happenings import fault_spans, marks
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.model import Report, Second

Spec = dict[str, Any]
LINES: Final = "time_lines"
"""The layer whose data a chart's readout speaks of."""


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
        "legend": {"title": None, "columns": 2 if size.narrow else 0}
        | ({"symbolDash": {"expr": f"datum.value === '{dashed}' ? [3, 2] : []"}} if dashed else {}),
    }
    x = time_axis(size, end)
    scale = y_scale(values, lines, logarithmic)
    ticks = {"values": log_ticks(*scale["domain"])} if logarithmic else {"tickCount": 5}
    axis = {**ticks, "minExtent": 42, "labelExpr": "format(datum.value, ',.12~g')"}
    y = {"field": "v", "type": "quantitative", "title": y_title, "scale": scale, "axis": axis}
    layers: list[Spec] = background(report, end)
    if filled:
        layers.append(
            {
                "name": "time_area",
                "data": {"values": [value for value in values if value["series"] == filled]},
                "mark": {"type": "area", "opacity": 0.14, "color": colours[filled]},
                "encoding": {"x": x, "y": y},
            }
        )
    layers.append(
        {
            "name": LINES,
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
                "name": "time_dots",
                "data": {"values": lonely},
                "mark": {"type": "circle", "size": 22, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour},
            }
        )
    layers.extend([*foreground(report, size, end), *limit_layers(lines)])
    return framed(size, title, subtitle, layers)


def framed(size: Size, title: str, subtitle: str, layers: list[Spec]) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size.width,
        "height": size.height,
        "background": None,
        "padding": 8,
        "title": {
            "text": title,
            "subtitle": subtitle.split(", ") if size.narrow else subtitle,
            "anchor": "start",
            "frame": "group",
        },
        "layer": layers,
        "config": CONFIG,
    }


def time_axis(size: Size, end: int, field: str = "t") -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": "run time (h:mm:ss)" if end >= 3600 else "run time (m:ss)",
        "scale": {"domain": [0, end], "nice": False},
        "axis": {"values": time_ticks(end, 4 if size.narrow else 9), "labelExpr": CLOCK, "grid": False},
    }


def end_s(report: Report) -> int:
    planned = -(-report.plan.duration_us // SECOND_US)
    whole = whole_seconds(report.timeline)
    return max(planned, whole[-1].second + 1 if whole else 0, 1)


def whole_seconds(timeline: Sequence[Second]) -> Sequence[Second]:
    """Without a last second that is less than half there: it would read as a collapse."""
    sliver = len(timeline) > 1 and 0 < timeline[-1].covered_us < SECOND_US // 2
    return timeline[:-1] if sliver else timeline


def background(report: Report, end: int) -> list[Spec]:
    """Every second phase shaded, and the stretches in which a fault was injected."""
    shades = []
    start_us = 0
    for index, phase in enumerate(report.plan.load):
        start, stop = start_us / 1_000_000, (start_us + phase.duration_us) / 1_000_000
        start_us += phase.duration_us
        if index % 2:
            shades.append({"from": start, "to": stop})
    faults = [{"from": begin, "to": min(to, end)} for begin, to, _ in fault_spans(report.events, end)]
    return _rects("time_bands", shades, end, FAINT, 0.08) + _rects("time_faults", faults, end, RED, 0.13)


def foreground(report: Report, size: Size, end: int, *, names: bool = True) -> list[Spec]:
    """The names of phases and faults where they fit, and a line for each guard, abort, stop and lost worker."""
    phases = []
    start_us = 0
    for phase in report.plan.load:
        start, length = start_us / 1_000_000, phase.duration_us / 1_000_000
        start_us += phase.duration_us
        room = int(length / end * size.width / 6.5) - 1
        label = f"{phase.name} (warm-up)" if phase.warmup and len(phase.name) + 10 <= room else phase.name
        if room >= 3:
            phases.append({"t": start, "label": shown(label, room)})
    faults = [
        {"t": begin, "label": shown(name, room)}
        for begin, to, name in fault_spans(report.events, end)
        if (room := int((to - begin) / end * size.width / 6.5) - 1) >= 3
    ]
    moments = [
        {"t": at, "label": shown(label, 14 if size.narrow else 40)} for at, label in marks(report, end)
    ]
    layers: list[Spec] = []
    if names:
        layers += _texts("time_names", phases, end, FAINT, 5) + _texts(
            "time_fault_names", _apart(faults, end, size), end, INK, 20
        )
    if moments:
        line = {"type": "rule", "color": RUST, "strokeWidth": 1.4, "strokeDash": [2, 2]}
        x = {"field": "t", "type": "quantitative", "scale": {"domain": [0, end], "nice": False}}
        layers.append(
            {"name": "time_moments", "data": {"values": moments}, "mark": line, "encoding": {"x": x}}
        )
        if names:
            shown_ones = _apart(moments, end, size)
            late = [one for one in shown_ones if _label_end_px(one, end, size) > size.width]
            early = [one for one in shown_ones if one not in late]
            layers += _texts("time_moment_names", early, end, RUST, 35)
            layers += _texts("time_late_moment_names", late, end, RUST, 35, left_of=True)
    return layers


def _apart(moments: list[dict[str, Any]], end: int, size: Size) -> list[dict[str, Any]]:
    """Those whose labels do not run into the one before; every moment keeps its line and its row of the events."""
    kept: list[dict[str, Any]] = []
    free_px = 0.0
    for moment in moments:
        if moment["t"] / end * size.width >= free_px:
            kept.append(moment)
            free_px = _label_end_px(moment, end, size)
    return kept


def _label_end_px(moment: dict[str, Any], end: int, size: Size) -> float:
    """Where a label of its length ends if it begins at its moment."""
    return float(moment["t"] / end * size.width + 6.5 * (len(moment["label"]) + 2))


def _rects(name: str, values: list[dict[str, Any]], end: int, colour: str, opacity: float) -> list[Spec]:
    if not values:
        return []
    x = {"field": "from", "type": "quantitative", "scale": {"domain": [0, end], "nice": False}}
    mark = {"type": "rect", "color": colour, "opacity": opacity}
    return [
        {
            "name": name,
            "data": {"values": values},
            "mark": mark,
            "encoding": {"x": x, "x2": {"field": "to"}},
        }
    ]


def _texts(
    name: str, values: list[dict[str, Any]], end: int, colour: str, down: int, *, left_of: bool = False
) -> list[Spec]:
    """Labels in one row, `down` pixels below the upper edge, beside their moments, on a halo of paper."""
    if not values:
        return []
    side = {"align": "right", "dx": -5} if left_of else {"align": "left", "dx": 5}
    place = {**side, "baseline": "top", "dy": down, "fontSize": 11}
    encoding = {
        "x": {"field": "t", "type": "quantitative", "scale": {"domain": [0, end], "nice": False}},
        "y": {"value": 0},
        "text": {"field": "label", "type": "nominal"},
    }
    halo = {"color": PAPER, "stroke": PAPER, "strokeWidth": 4, "strokeJoin": "round", "opacity": 0.7}
    data = {"values": values}
    return [
        {
            "name": f"{name}_halo",
            "data": data,
            "mark": {"type": "text", **place, **halo},
            "encoding": encoding,
        },
        {
            "name": name,
            "data": data,
            "mark": {"type": "text", **place, "color": colour},
            "encoding": encoding,
        },
    ]


def limit_layers(lines: Sequence[dict[str, Any]]) -> list[Spec]:
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
        {"name": "limits", "data": data, "mark": rule, "encoding": {"y": y}},
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
