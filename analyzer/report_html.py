"""report.html: the whole report in one file that needs no network, no script and no font."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from analyzer import charts, wording
from analyzer.chart_style import DARK
from analyzer.escape import shown
from loadproof.units import format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.generator import STREAK

if TYPE_CHECKING:
    from analyzer.model import Report

_ROWS: Final = 200
"""Rows of one table that the page shows; the rest is counted and stands in results.json and the CSV files."""


def render(report: Report) -> bytes:
    drawn = [
        {
            "name": chart.name,
            "title": chart.title,
            "wide": Markup(charts.to_svg(chart.spec(report, charts.WIDE))),  # noqa: S704 vl-convert escapes its text
            "narrow": Markup(charts.to_svg(chart.spec(report, charts.NARROW))),  # noqa: S704 as above
        }
        for chart in charts.charts_of(report)
        if report.timeline
    ]
    return page(report, drawn)


def page(report: Report, drawn: list[dict[str, Any]]) -> bytes:
    """The page around charts that are drawn already."""
    command = report.manifest.get("command")
    text = _template().render(
        report=report,
        drawn=drawn,
        dark=DARK,
        means=wording.VERDICT_MEANS[report.verdict],
        reasons=wording.by_weight(report.reasons),
        troubled=wording.in_trouble(report.rules),
        command=" ".join(str(word) for word in command) if isinstance(command, list) else None,
    )
    return text.encode()


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
        "value": wording.value_text,
        "limit": wording.limit_text,
        "confidence": wording.confidence_text,
        "endpoint": lambda error: wording.endpoint_text(error.method, error.name),
        "resource": wording.resource_text,
        "counts": wording.count_rows,
        "books": wording.books_text,
        "lost": wording.lost_text,
    }
    environment.globals |= {"most_rows": _ROWS, "lag_streak": STREAK}
    return environment.get_template("report.html.j2")
