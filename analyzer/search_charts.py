"""The curve of a search: latency and rate of every probe against its load, with the capacity and its interval."""

from __future__ import annotations

from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from analyzer.chart import Chart
from analyzer.chart_style import FAINT, GREEN, INK, RED
from analyzer.layers import framed
from loadproof.units import format_count
from loadproof.verdict.rule import Unit
from loadproof.verdict.search import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.layers import Size, Spec
    from analyzer.model import Report
    from loadproof.verdict.probes import Probed
    from loadproof.verdict.searched import Searched

_COLOURS: Final = {"held": GREEN, "broke": RED, "says nothing": FAINT}
_NAMES: Final = {Word.HELD: "held", Word.BROKE: "broke", Word.NOTHING: "says nothing"}


def search_charts(report: Report) -> tuple[Chart, ...]:
    """Those of a run that searched."""
    found = report.search
    if found is None or not found.probes:
        return ()
    wanted: tuple[tuple[str, str, str, Callable[[Probed], float | None]], ...] = (
        ("search-latency", "P95 against load", "P95 (ms)", _p95_ms),
        ("search-rate", "Ok rate against load", "ok requests a second", lambda probe: probe.rate_per_s),
        ("search-errors", "Errors against load", "errors (%)", _errors),
    )
    return tuple(
        Chart(
            name, title, partial(_against_load, found=found, title=title, y_title=y_title, value=value), 170
        )
        for name, title, y_title, value in wanted
        if name != "search-errors" or any(probe.error_ratio for probe in found.probes)
    )


def _p95_ms(probe: Probed) -> float | None:
    return None if probe.p95_us is None or not isfinite(probe.p95_us) else probe.p95_us / 1_000


def _errors(probe: Probed) -> float | None:
    return None if probe.error_ratio is None else 100 * probe.error_ratio


def _against_load(
    _report: Report,
    size: Size,
    *,
    found: Searched,
    title: str,
    y_title: str,
    value: Callable[[Probed], float | None],
) -> Spec:
    points: list[dict[str, Any]] = [
        {"load": load, "v": number, "ended": _NAMES[probe.word]}
        for probe, load in zip(found.probes, found.loads, strict=True)
        if (number := value(probe)) is not None
    ]
    most = max(found.loads) * 1.05
    scale = {"domain": [0, most], "nice": False}
    loads = "arrivals a second" if found.unit is Unit.RATE else "users"
    x: dict[str, Any] = {
        "field": "load",
        "type": "quantitative",
        "title": loads,
        "scale": scale,
        "axis": {"grid": False, "tickCount": 4 if size.narrow else 9},
    }
    y = {
        "field": "v",
        "type": "quantitative",
        "title": y_title,
        "scale": {"domain": [0, max((point["v"] for point in points), default=0) * 1.18 or 1], "nice": False},
        "axis": {"tickCount": 5, "minExtent": 42, "labelExpr": "format(datum.value, ',.12~g')"},
    }
    shown = [name for name in _COLOURS if any(point["ended"] == name for point in points)]
    colour = {
        "field": "ended",
        "type": "nominal",
        "scale": {"domain": shown, "range": [_COLOURS[name] for name in shown]},
        "legend": {"title": None, "symbolType": "circle"},
    }
    low, high = found.interval
    layers: list[Spec] = []
    if low is not None and high is not None:
        layers.append(
            {
                "data": {"values": [{"from": low, "to": min(high, most)}]},
                "mark": {"type": "rect", "color": FAINT, "opacity": 0.15},
                "encoding": {
                    "x": {"field": "from", "type": "quantitative", "scale": scale},
                    "x2": {"field": "to"},
                },
            }
        )
    if found.capacity is not None:
        layers.append(
            {
                "data": {"values": [{"load": found.capacity}]},
                "mark": {"type": "rule", "color": INK, "strokeDash": [5, 4], "strokeWidth": 1.2},
                "encoding": {"x": {"field": "load", "type": "quantitative", "scale": scale}},
            }
        )
    layers.append(
        {
            "data": {"values": points},
            "mark": {"type": "circle", "size": 44, "opacity": 0.75},
            "encoding": {"x": x, "y": y, "color": colour},
        }
    )
    named = "" if found.capacity is None else f", capacity {format_count(found.capacity)} dashed"
    between = ", 95 % interval shaded" if low is not None and high is not None else ""
    return framed(size, title, f"one point a probe{named}{between}", layers)
