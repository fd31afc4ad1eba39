"""When a run's second 0 was, by the wall clock of its master."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.model import Report


def run_began(report: Report) -> datetime.datetime | None:
    """The first event that has both times tells it, else the manifest's start; None where neither does."""
    for event in report.events:
        found = _time(event.utc)
        if event.at_us is not None and found is not None:
            return found - datetime.timedelta(microseconds=event.at_us)
    return _time(report.manifest.get("started_utc"))


def iso(moment: datetime.datetime | None) -> str | None:
    """`2024-01-02T03:04:05.678Z`"""
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_length_us(report: Report) -> int:
    """How long it ran: as the manifest says, else as far as the timeline reaches."""
    length = report.manifest.get("run_length_us")
    if isinstance(length, int) and not isinstance(length, bool):
        return length
    return 1_000_000 * (report.timeline[-1].second + 1) if report.timeline else 0


def _time(text: object) -> datetime.datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
