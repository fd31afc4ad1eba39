"""report.html: the whole report in one file that needs no network and no font.

It can be read and printed without its script, which sorts tables and zooms charts. The page's policy lets that
one script run, known by its hash, and nothing else: no name of a run could, even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from analyzer import charts, wording
from analyzer.chart import NARROW, WIDE
from analyzer.chart_style import DARK
from analyzer.escape import shown
from analyzer.fault_picture import fault_picture
from analyzer.layers import LINES, end_s
from analyzer.rule_bar import rule_bar
from analyzer.vega import to_svg
from loadproof.units import format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.generator import STREAK
from loadproof.verdict.result import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.chart import Chart
    from analyzer.layers import Spec
    from analyzer.model import Group, Report

_ROWS: Final = 200
"""Rows of one table that the page shows; the rest is counted and stands in results.json and the CSV files."""
_ENDPOINTS: Final = 1_000


@dataclass(frozen=True)
class Picture:
    """A chart drawn twice, with what its readout needs."""

    name: str
    title: str
    about: str
    wide: Markup
    narrow: Markup
    readings: dict[str, Any] | None = None


def render(report: Report) -> bytes:
    if not report.timeline:
        return page(report, [])
    drawn = []
    for chart in charts.charts_of(report):
        wide, narrow = chart.drawn(report, WIDE), chart.drawn(report, NARROW)
        drawn.append(
            Picture(
                chart.name,
                chart.title,
                f"{wide['title']['text']}: {_plain(wide['title']['subtitle'])}",
                Markup(to_svg(wide)),  # noqa: S704 vl-convert escapes its text
                Markup(to_svg(narrow)),  # noqa: S704 as above
                _readings(chart, wide, report),
            )
        )
    return page(report, drawn)


def page(report: Report, drawn: Sequence[Picture]) -> bytes:
    """The page around charts that are drawn already."""
    command = report.manifest.get("command")
    held = sum(rule.verdict is RuleVerdict.PASS for rule in report.rules)
    data = {
        "end": end_s(report),
        "phases": _phases(report),
        "charts": {one.name: one.readings for one in drawn if one.readings},
    }
    text = _template().render(
        report=report,
        drawn=drawn,
        data=_script_json(data),
        dark=DARK,
        held=held,
        means=wording.VERDICT_MEANS[report.verdict],
        reasons=wording.by_weight(report.reasons),
        troubled=wording.in_trouble(report.rules),
        endpoints=sorted(report.by_name, key=_slowest_first),
        command=" ".join(str(word) for word in command) if isinstance(command, list) else None,
    )
    return text.encode()


def _slowest_first(group: Group) -> tuple[bool, int, str]:
    of = group.totals.latency
    return (of is None, -of.p95_us if of else 0, group.name)


def _phases(report: Report) -> list[tuple[str, float, float]]:
    """(name, from, to) in seconds; those of a plan with very many are not worth a button each."""
    found, start = [], 0
    for phase in report.plan.load:
        found.append((shown(phase.name, 24), start / 1_000_000, (start + phase.duration_us) / 1_000_000))
        start += phase.duration_us
    return found if 1 < len(found) <= 12 else []


def _readings(chart: Chart, spec: Spec, report: Report) -> dict[str, Any] | None:
    """What a chart shows at each moment, as numbers; None where it shows nothing of that kind."""
    if chart.name == charts.HEAT_MAP.name:
        seen = report.latency_map
        [cells] = [layer for layer in spec["layer"] if layer.get("name") == "time_map"]
        return {
            "step": seen.step,
            "domain": cells["encoding"]["y"]["scale"]["domain"],
            "columns": {str(number): column for number, column in seen.columns},
        }
    lines = next((layer for layer in spec["layer"] if layer.get("name") == LINES), None)
    if lines is None:
        return None
    colour = lines["encoding"]["color"]["scale"]
    values = lines["data"]["values"]
    moments = sorted({value["t"] for value in values})
    places = {moment: place for place, moment in enumerate(moments)}
    series: dict[str, list[float | None]] = {name: [None] * len(moments) for name in colour["domain"]}
    for value in values:
        series[value["series"]][places[value["t"]]] = value["v"]
    return {
        "unit": chart.unit,
        "step": round(moments[1] - moments[0]) if len(moments) > 1 else 1,
        "t": moments,
        "series": series,
        "colours": dict(zip(colour["domain"], colour["range"], strict=True)),
    }


def _plain(subtitle: str | list[str]) -> str:
    return subtitle if isinstance(subtitle, str) else ", ".join(subtitle)


def _script_json(data: dict[str, Any]) -> Markup:
    """JSON for a script element, where `</script>` and `<!--` would be read even inside a string."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 see above


@cache
def _script() -> str:
    return files("analyzer").joinpath("templates/report.js").read_text(encoding="utf-8")


def _script_hash() -> str:
    return base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode("ascii")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analyzer"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": lambda text, limit=160: shown(str(text), limit),
        "count": format_count,
        "duration": format_duration,
        "ratio": format_ratio,
        "rate": format_rate,
        "bytes": format_bytes,
        "clock": wording.clock_text,
        "second": wording.second_text,
        "value": wording.value_text,
        "limit": wording.limit_text,
        "confidence": wording.confidence_text,
        "endpoint": lambda error: wording.endpoint_text(error.method, error.name),
        "resource": wording.resource_text,
        "growth": lambda row, growth: wording.growth_text(row.unit, growth),
        "ahead": wording.ahead_text,
        "counts": wording.count_rows,
        "books": wording.books_text,
        "lost": wording.lost_text,
        "bar": rule_bar,
        "fault_picture": fault_picture,
        "change": wording.change_text,
        "after": wording.after_text,
        "loads": wording.loads_text,
    }
    environment.globals |= {
        "most_rows": _ROWS,
        "most_endpoints": _ENDPOINTS,
        "lag_streak": STREAK,
        "script": Markup(_script()),  # noqa: S704 a file of ours
        "script_hash": _script_hash(),
    }
    return environment.get_template("report.html.j2")
