"""The pictures of docs/dashboards.md: each dashboard's panels, drawn by us from the answers to their own queries.

    PYTHONPATH=tests/support python bench/dashboard_pictures.py [--seconds 90] [--pictures docs/images]

A target that fails now and then is loaded by an open plan from two regions, and a Prometheus with the committed rules
watches both. Then every query of every committed dashboard is asked over the run, and drawn where the dashboard has its
panel. It is not Grafana: fonts, colours and legends are ours.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vl_convert
from panelling import Asked, answer, documents
from playwright.sync_api import sync_playwright
from prometheus import free_port, watching
from serving import serving

from analyzer.chart_style import BLUE, CONFIG, FAINT, FONT, GREEN, GRID, INK, ORANGE, PAPER, RED, SKY

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus import Real

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "monitoring" / "rules"
CELL, LINE, GAP, HEAD = 46, 20, 4, 50
"""Pixels of one of the grid's 24 columns and of one of its lines, between panels, and above them."""
PURPLE = "#7a3fb3"
QUALITY = 40
COLOURS = {"green": GREEN, "orange": ORANGE, "red": RED, "purple": PURPLE, "blue": BLUE}
TURN = [BLUE, ORANGE, GREEN, PURPLE, SKY, "#8a6d3b", "#c2185b", "#607d8b"]
PLAN = """\
name: watched
suite: governance
target: {target}
load:
  - {{phase: ramp, duration: {ramp}s, arrivals: 10..120/s, users: 80}}
  - {{phase: steady, duration: {steady}s, arrivals: 120/s, users: 80}}
  - {{phase: spike, duration: {ramp}s, arrivals: 250/s, users: 160}}
regions:
  - {{name: eu-west-1, workers: 1}}
  - {{name: us-east-1, workers: 1}}
rules:
  - p95 <= 50ms, goal < 20ms
  - p99 <= 200ms
  - rate >= 50/s
  - error_ratio <= 1%
  - check(compliance) >= 95%
  - check(hash_consistency) >= 100%
seed: 7
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        watch(Path(name), arguments.seconds, arguments.pictures)
    return 0


def watch(folder: Path, seconds: int, pictures: Path) -> None:
    """Run, and draw while the Prometheus is still there."""
    address, own = f"127.0.0.1:{free_port()}", free_port()
    with serving("--port", "0", "--switch", "errors=0.012", folder=folder) as target:
        plan = folder / "watched.yaml"
        plan.write_text(PLAN.format(target=target.url, ramp=seconds // 6, steady=seconds * 4 // 6))
        command = [sys.executable, "-m", "loadproof", "run", str(plan), "--metrics", address]
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        jobs = {
            "loadproof": [address],
            "target": [target.url.removeprefix("http://")],
            "prometheus": [f"127.0.0.1:{own}"],
        }
        try:
            rules = [RULES / "recording.yml", RULES / "alerts.yml"]
            with watching(folder, jobs, rules=rules, port=own) as real:
                run.wait(timeout=seconds + 120)
                for name, document in documents().items():
                    picture = pictures / f"dashboard-{name}.webp"
                    picture.write_bytes(as_webp(*drawn(real, name, document)))
                    print(picture, f"{picture.stat().st_size:,} bytes")
        finally:
            run.kill()
            run.wait(30)


def as_webp(svg: str, width: int, height: int) -> bytes:
    """A tenth of what it takes as PNG, and a third of the SVG."""
    with sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(f'<body style="margin: 0">{svg}</body>')
        session = page.context.new_cdp_session(page)
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
        browser.close()
    return base64.b64decode(shot["data"])


def drawn(real: Real, name: str, document: dict[str, Any]) -> tuple[str, int, int]:
    """A dashboard as SVG, and its width and height."""
    [told] = real.asked("query", query="loadproof_run_info[1h]")["result"]
    run, begin_s, end_s = told["metric"]["run"], told["values"][0][0], told["values"][-1][0]
    parts = []
    for panel in document["panels"]:
        box = panel["gridPos"]
        x, y = box["x"] * CELL + GAP, box["y"] * LINE + GAP + HEAD
        width, height = box["w"] * CELL - 2 * GAP, box["h"] * LINE - 2 * GAP
        kind = panel["type"]
        if kind == "row":
            parts.append(label(x, y + 16, panel["title"], 14, INK, bold=True))
            continue
        if kind == "text":
            words = panel["options"]["content"].replace("${folder}", run[:-5]).replace("`", "")
            parts.append(label(x, y + 20, words, 12, INK))
            continue
        found = [
            (
                target.get("legendFormat", ""),
                answer(
                    real,
                    Asked(
                        name,
                        panel["title"],
                        kind,
                        target["expr"],
                        "",
                        target.get("format") == "table",
                        target.get("instant", False),
                    ),
                    run,
                    begin_s,
                    end_s,
                ),
            )
            for target in panel["targets"]
        ]
        title = panel["title"].replace("${quantile:text}", "p95")
        parts += [
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="{GRID}" rx="3"/>',
            label(x + 8, y + 17, title, 12, INK, bold=True),
        ]
        inside = {"stat": figures, "table": rows, "state-timeline": states, "heatmap": heat}.get(kind, graph)
        body = inside(panel, found, width - 16, height - 30, begin_s)
        # Every chart numbers its own parts, and they are all in one picture here.
        own = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>p{panel['id']}-", body)
        parts.append(f'<g transform="translate({x + 8},{y + 26})">{own}</g>')
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    across, down = 24 * CELL, bottom * LINE + HEAD + GAP
    head = label(8, 24, document["title"], 18, INK, bold=True) + label(
        8, 42, f"{run}, drawn by bench/dashboard_pictures.py from the panels' queries: not Grafana", 11, FAINT
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{across}" '
        f'height="{down}" viewBox="0 0 {across} {down}"><rect width="{across}" height="{down}" fill="{PAPER}"/>'
        f"{head}{''.join(parts)}</svg>"
    )
    return svg, across, down


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
        "percentunit": lambda v: f"{v * 100:.3g} %",
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


if __name__ == "__main__":
    sys.exit(main())
