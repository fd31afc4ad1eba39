"""Events of a run as charts show them: faults as stretches, guards, aborts, stops and lost workers as moments.

A fault's stretch lies between its events `fault_begins` and `fault_ends`, which name the fault in `who`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.model import Event, Report

SHOWN: Final = 200
"""Moments that a chart has lines for; the table of events has all."""
_LABELS: Final = {
    "guard": "guard",
    "guard_warn": "guard warns:",
    "abort": "abort rule",
    "fault_failed": "fault failed:",
    "worker_lost": "lost",
    "worker_away": "away",
    "worker_back": "back",
    "users_edited": "users edited by",
}


def fault_spans(events: Sequence[Event], end_s: int) -> list[tuple[float, float, str]]:
    """(from, to, name) in seconds of the run; one that never ended lasts to the run's end."""
    found: list[tuple[float, float, str]] = []
    begun: dict[str, float] = {}
    for event in sorted((event for event in events if event.at_us is not None), key=_at_us):
        name, at = event.who or event.text, _at_us(event) / 1_000_000
        if event.kind == "fault_begins":
            begun.setdefault(name, at)
        elif event.kind == "fault_ends" and name in begun:
            found.append((begun.pop(name), at, name))
    found += [(at, float(max(end_s, at)), name) for name, at in begun.items()]
    return sorted(found)


def marks(report: Report, end_s: int) -> list[tuple[float, str]]:
    """(second, label) of what a reader of a chart must know of, in order of time."""
    found = [
        (
            _at_us(event) / 1_000_000,
            f"{_LABELS[event.kind]} {event.who}" if event.who else _LABELS[event.kind],
        )
        for event in report.events
        if event.kind in _LABELS and event.at_us is not None
    ]
    if report.stop is not None and not any(event.kind == "abort" for event in report.events):
        found.append((report.stop.at_us / 1_000_000, f"stopped: {report.stop.by}"))
    return sorted((at, label) for at, label in found if 0 <= at <= end_s)[:SHOWN]


def _at_us(event: Event) -> int:
    return event.at_us or 0
