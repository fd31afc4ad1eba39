"""Panels as pictures: their series as SVG, in the colours and with the limits that the dashboard gives them."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import vl_convert

from analyzer.chart_style import BLUE, CONFIG, FAINT, FONT, GREEN, INK, ORANGE, RED, SKY

if TYPE_CHECKING:
    from collections.abc import Callable

PURPLE = "#7a3fb3"
COLOURS = {"green": GREEN, "orange": ORANGE, "red": RED, "purple": PURPLE, "blue": BLUE}
TURN = [BLUE, ORANGE, GREEN, PURPLE, SKY, "#8a6d3b", "#c2185b", "#607d8b"]
Found = list[tuple[str, list[dict[str, Any]]]]
"""The legends of a panel's queries and their series."""


def graph(panel: dict[str, Any], found: Found, width: int, height: int, begin_s: float) -> str:
    """Lines; what the dashboard puts on the right axis has one there."""
    right = [
        override["matcher"]["options"].strip("/")
        for override in panel["fieldConfig"]["overrides"]
        if any(one["value"] == "right" for one in override["properties"])
    ]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    points = [
        {"s": at - begin_s, "value": value, "series": named(legend, series["metric"])}
        for legend, many in found
        for series in many
        for at, value in series["values"]
    ]
    if panel["fieldConfig"]["defaults"]["custom"].get("thresholdsStyle", {}).get("mode") == "dashed":
        limit = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        points += [{**point, "value": limit, "series": "limit of the judge"} for point in points]
    is_log = panel["fieldConfig"]["defaults"]["custom"].get("scaleDistribution", {}).get("type") == "log"
    if is_log:
        points = [point for point in points if point["value"] > 0]
    names = sorted({point["series"] for point in points}, key=lambda name: (name.startswith("limit"), name))
    colours = [colour_of(panel, name, at) for at, name in enumerate(names)]
    columns = max(2, width // 175)
    on_right = {name for name in names if any(re.search(pattern, name) for pattern in right)}

    def layer(chosen: set[str], unit: str, side: str) -> dict[str, Any]:
        return {
            "data": {"values": [point for point in points if point["series"] in chosen]},
            "mark": {"type": "line", "strokeWidth": 1.4, "clip": True},
            "encoding": {
                "x": {
                    "field": "s",
                    "type": "quantitative",
                    "title": None,
                    "axis": {"labelExpr": "datum.value + ' s'", "tickCount": 6},
                },
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": None,
                    "scale": {"type": "log"}
                    if is_log
                    else {"zero": panel["fieldConfig"]["defaults"].get("min") == 0},
                    "axis": {
                        "labelExpr": written(unit),
                        "tickCount": 4,
                        "orient": side,
                        "grid": side == "left",
                    },
                },
                "color": {
                    "field": "series",
                    "scale": {"domain": names, "range": colours},
                    "legend": {
                        "orient": "bottom",
                        "title": None,
                        "columns": columns,
                        "labelLimit": width / columns - 30,
                        "symbolType": "stroke",
                    },
                },
                "strokeDash": {
                    "condition": {"test": "slice(datum.series, 0, 5) == 'limit'", "value": [6, 4]},
                    "value": [1, 2] if side == "right" else [1, 0],
                },
            },
        }

    layers = [layer(set(names) - on_right, unit, "left")]
    if on_right:
        layers.append(layer(on_right, "short", "right"))
    return chart({"layer": layers, "resolve": {"scale": {"y": "independent"}}}, width, height)


def states(panel: dict[str, Any], found: Found, width: int, height: int, begin_s: float) -> str:
    """A bar a series, in the colours of its mappings."""
    said = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    points = [
        {
            "s": at - begin_s,
            "end": at - begin_s + 5,
            "state": said[f"{value:.0f}"]["text"],
            "series": named(legend, series["metric"]),
        }
        for legend, many in found
        for series in many
        for at, value in series["values"]
    ]
    spec = {
        "data": {"values": points},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "s",
                "type": "quantitative",
                "title": None,
                "axis": {"labelExpr": "datum.value + ' s'"},
            },
            "x2": {"field": "end"},
            "y": {"field": "series", "type": "nominal", "title": None, "axis": {"labelLimit": 170}},
            "color": {
                "field": "state",
                "scale": {
                    "domain": [one["text"] for one in said.values()],
                    "range": [COLOURS.get(one["color"], one["color"]) for one in said.values()],
                },
                "legend": {"orient": "bottom", "title": None},
            },
        },
    }
    return chart(spec, width, height)


def heat(_: dict[str, Any], found: Found, width: int, height: int, begin_s: float) -> str:
    """Buckets over time; what is up to each bound, less what is up to the one before."""
    [(_, many)] = found
    by_bound = {float(series["metric"]["le"]): dict(series["values"]) for series in many}
    bounds = sorted(by_bound)
    points = []
    for before, bound in zip([None, *bounds], bounds, strict=False):
        for at, upto in by_bound[bound].items():
            less = by_bound[before].get(at, 0) if before is not None else 0
            if upto - less > 1e-6:
                points.append({"s": at - begin_s, "le": f"{bound:g} s", "rate": upto - less})
    spec = {
        "data": {"values": points},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "s",
                "type": "ordinal",
                "title": None,
                "axis": {
                    "labelExpr": "round(datum.value) % 10 < 5 ? round(datum.value) + ' s' : ''",
                    "labelAngle": 0,
                },
            },
            "y": {
                "field": "le",
                "type": "ordinal",
                "title": None,
                "sort": [f"{bound:g} s" for bound in reversed(bounds)],
            },
            "color": {
                "field": "rate",
                "type": "quantitative",
                "title": "a second",
                "legend": {"orient": "right"},
                "scale": {"scheme": "oranges"},
            },
        },
    }
    return chart(spec, width, height)


def figures(panel: dict[str, Any], found: Found, width: int, height: int, _: float) -> str:
    """The last value of each series, large."""
    defaults = panel["fieldConfig"]["defaults"]
    mappings = defaults.get("mappings") or [{"options": {}}]
    shown = []
    for legend, many in found:
        for series in many:
            at, value = max(series["values"])
            said = mappings[0]["options"].get(f"{value:.0f}")
            if panel["options"]["textMode"] == "name":
                shown.append((at, named(legend, series["metric"]), BLUE, ""))
            elif said:
                shown.append((at, said["text"], COLOURS.get(said["color"], said["color"]), ""))
            else:
                steps = [
                    one
                    for one in defaults["thresholds"]["steps"]
                    if one["value"] is None or value >= one["value"]
                ]
                colour = COLOURS.get(steps[-1]["color"], steps[-1]["color"])
                shown.append((at, readable(value, defaults["unit"]), colour, named(legend, series["metric"])))
    if panel["options"]["textMode"] == "name":
        # As Grafana does not: of several names it is the latest that counts.
        shown = [max(shown)]
    parts = []
    for at, (_, text, colour, name) in enumerate(shown):
        middle = width * (at + 0.5) / len(shown)
        size = 22 if len(text) < 9 else 15
        parts.append(label(middle, height / 2 + 8, text, size, colour, bold=True, anchor="middle"))
        if len(shown) > 1:
            parts.append(label(middle, height / 2 + 26, name, 11, FAINT, anchor="middle"))
    return "".join(parts)


def rows(panel: dict[str, Any], found: Found, width: int, height: int, _: float) -> str:
    """A table: the label that queries are joined by, and a column each query."""
    key = panel["transformations"][0]["options"]["byField"]
    columns = [
        {one["id"]: one["value"] for one in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    ]
    values = [{series["metric"].get(key, ""): series["values"][0][1] for series in many} for _, many in found]
    names = sorted(set().union(*values))
    lefts = [width * 0.38 + width * 0.62 * at / len(columns) for at in range(len(columns))]
    parts = [label(0, 14, key, 11, FAINT)]
    parts += [
        label(x, 14, one["displayName"].replace("${quantile:text}", "p95"), 11, FAINT)
        for x, one in zip(lefts, columns, strict=True)
    ]
    step = min(20.0, (height - 14) / max(1, len(names)))
    for at, name in enumerate(names, start=1):
        y = 14 + at * step
        parts.append(label(0, y, name, 12, INK))
        for x, column, its in zip(lefts, columns, values, strict=True):
            if name in its:
                said = (column.get("mappings") or [{"options": {}}])[0]["options"].get(f"{its[name]:.0f}")
                text = said["text"] if said else readable(its[name], column["unit"])
                colour = COLOURS.get(said["color"], said["color"]) if said else INK
                parts.append(label(x, y, text, 12, colour))
    return "".join(parts)


def chart(spec: dict[str, Any], width: int, height: int) -> str:
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "config": CONFIG,
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": None,
        **spec,
    }
    drawn: str = vl_convert.vegalite_to_svg(whole, vl_version="5.21", allowed_base_urls=[])
    return drawn[drawn.index("<svg") :]


def named(legend: str, labels: dict[str, str]) -> str:
    """A legend with the series' labels put in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def colour_of(panel: dict[str, Any], name: str, at: int) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        options = override["matcher"]["options"]
        matches = options == name or (options.startswith("/") and re.search(options.strip("/"), name))
        for one in override["properties"]:
            if matches and one["id"] == "color":
                said = one["value"]["fixedColor"]
                return str(COLOURS.get(said, said))
    return RED if name.startswith("limit") else TURN[at % len(TURN)]


def written(unit: str) -> str:
    """A Vega expression that writes an axis' values."""
    value = "datum.value"
    return {
        "s": f"{value} >= 1 || {value} == 0 ? format({value}, '~g') + ' s' : format({value} * 1000, '~g') + ' ms'",
        "percentunit": f"format({value} * 100, '~g') + ' %'",
        "bytes": f"format({value}, '~s') + 'B'",
        "Bps": f"format({value}, '~s') + 'B/s'",
        "reqps": f"format({value}, '~s') + '/s'",
        "ops": f"format({value}, '~s') + '/s'",
    }.get(unit, f"format({value}, '~s')")


def readable(value: float, unit: str) -> str:
    forms: dict[str, Callable[[float], str]] = {
        "s": lambda v: f"{v:.3g} s" if v >= 1 else f"{v * 1000:.3g} ms",
        "percentunit": lambda v: f"{v * 100:.0f} %" if v >= 10 else f"{v * 100:.3g} %",
        "reqps": lambda v: f"{v:.4g}/s",
        "dthms": lambda v: f"{v // 60:02.0f}:{v % 60:02.0f}",
    }
    return forms.get(unit, lambda v: f"{v:,.0f}" if v >= 1_000 else f"{v:.4g}")(value)


def label(
    x: float, y: float, text: str, size: int, colour: str, *, bold: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="{html.escape(FONT)}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight}>{html.escape(text)}</text>'
    )


DRAWN = {"stat": figures, "table": rows, "state-timeline": states, "heatmap": heat}
"""Type of a panel -> how it is drawn; all others are graphs."""
