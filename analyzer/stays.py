"""When each worker was there: from it joined until it left, with the stretches in which it was away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from analyzer.chart_style import GREEN, ORANGE, RED
from analyzer.escape import shown
from analyzer.layers import background, end_s, foreground, framed, time_axis

if TYPE_CHECKING:
    from analyzer.layers import Size, Spec
    from analyzer.model import Report

MOST: Final = 40
"""Workers that the chart has a bar for; above that only the table speaks of them."""
_COLOURS: Final = {"there": GREEN, "away": ORANGE, "lost": RED}


class Stay(NamedTuple):
    worker: str
    from_s: float
    to_s: float
    state: str
    """`there`, `away` (its load could move, and it might come back) or `lost` (it ended without a FIN)."""


def stays(report: Report) -> tuple[Stay, ...]:
    """By worker and time; what is not known of an epoch's ends is taken from the run's."""
    end = float(end_s(report))
    found: list[Stay] = []
    for epoch in report.epochs:
        begin = max(0.0, (epoch.joined_us or 0) / 1_000_000)
        # Of a torn epoch nothing is known behind its last interval.
        last = end if epoch.complete else begin + epoch.intervals
        to = min(end, last if epoch.left_us is None else epoch.left_us / 1_000_000)
        if epoch.intervals == 0 or to <= begin:
            continue
        at = begin
        for away, back in _absences(report, epoch.worker, begin, to):
            found += [Stay(epoch.worker, at, away, "there"), Stay(epoch.worker, away, back, "away")]
            at = back
        found.append(Stay(epoch.worker, at, to, "there"))
        if not epoch.complete and to < end:
            found.append(Stay(epoch.worker, to, min(end, to + end / 60), "lost"))
    return tuple(stay for stay in found if stay.to_s > stay.from_s)


def _absences(report: Report, worker: str, begin: float, to: float) -> list[tuple[float, float]]:
    spans = [
        (
            max(begin, away.from_us / 1_000_000),
            to if away.until_us is None else min(to, away.until_us / 1_000_000),
        )
        for away in report.absences
        if away.who == worker
    ]
    return sorted((away, back) for away, back in spans if away < back)


def worker_stays(report: Report, size: Size) -> Spec:
    """A bar a worker."""
    end = end_s(report)
    found = stays(report)
    names = list(dict.fromkeys(stay.worker for stay in found))[:MOST]
    width = 16 if size.narrow else 26
    cut = {name: shown(name, width) for name in names}
    # Two long names may look alike once they are cut; a number keeps their bars apart.
    texts = {
        name: text if list(cut.values()).count(text) == 1 else f"{number}. {text}"
        for number, (name, text) in enumerate(cut.items(), start=1)
    }
    values = [
        {"worker": texts[stay.worker], "from": stay.from_s, "to": stay.to_s, "state": stay.state}
        for stay in found
        if stay.worker in texts
    ]
    states = [state for state in _COLOURS if any(value["state"] == state for value in values)]
    bars: Spec = {
        "name": "time_stays",
        "data": {"values": values},
        "mark": {"type": "bar", "height": {"band": 0.6}, "opacity": 0.85},
        "encoding": {
            "x": time_axis(size, end, "from"),
            "x2": {"field": "to"},
            "y": {
                "field": "worker",
                "type": "nominal",
                "title": None,
                "sort": list(texts.values()),
                "axis": {"labelLimit": 180, "grid": False, "ticks": False},
            },
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": states, "range": [_COLOURS[state] for state in states]},
                "legend": {"title": None, "symbolType": "square"},
            },
        },
    }
    subtitle = "who was there when" + (
        f", the first {MOST}" if len({stay.worker for stay in found}) > MOST else ""
    )
    layers = [*background(report, end), bars, *foreground(report, size, end, names=False)]
    spec = framed(size, "Workers", subtitle, layers)
    return {**spec, "height": 22 * max(1, len(texts)) + 24}
