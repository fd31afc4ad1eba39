"""The one place of the analyzer that writes files: each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from analyzer import charts, junit, metrics_csv, report_html, requests_csv, results_json, summary_md
from analyzer.chart import WIDE
from analyzer.vega import to_png
from analyzer.whole_file import put

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.drawing import Drawing
    from analyzer.layers import Spec
    from analyzer.model import Report

Renderer = Callable[["Report"], bytes | Iterable[bytes]]

FILES: Final[dict[str, Renderer]] = {
    "results.json": results_json.render,
    "summary.md": summary_md.render,
    "requests.csv": requests_csv.render,
    "metrics.csv": metrics_csv.chunks,
    "junit.xml": junit.render,
    "report.html": report_html.render,
}


def write(report: Report, folder: Path, charts_dir: Path | None) -> list[Path]:
    """Every report file into the run folder and the charts below `charts_dir`; returns what was written.

    None draws no PNG charts. RunFolderError, with the path and what to do, when a place cannot be written;
    what was there before stays then. Charts come last: a place that takes none has every other file.
    """
    written = [put(folder / name, render(report)) for name, render in FILES.items()]
    if report.manifest:
        # An unreadable manifest stays as it is: whoever repairs it needs the bytes.
        text = json.dumps(report.manifest, indent=1, ensure_ascii=False)
        written.append(put(folder / "manifest.json", f"{text}\n".encode()))
    if charts_dir is not None:
        written += write_charts(report, charts_dir / folder.name)
    return written


def write_charts(report: Report, place: Path, drawing: Drawing | None = None) -> list[Path]:
    """The PNG charts of a report, none where it has no timeline; RunFolderError as in `write`.

    With a drawing that has begun with `chart_specs`, they are its.
    """
    specs = chart_specs(report)
    pictures = map(to_png, specs.values()) if drawing is None else drawing.pictures()
    return [put(place / f"{name}.png", picture) for name, picture in zip(specs, pictures, strict=True)]


def chart_specs(report: Report) -> dict[str, Spec]:
    """The PNG charts by name, yet to be drawn."""
    if not report.timeline:
        return {}
    return {chart.name: chart.drawn(report, WIDE) for chart in charts.charts_of(report)}
