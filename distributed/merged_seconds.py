"""What a region's workers saw in a second, added up before anything else is made of it.

Most of a master's CPU goes into the buckets of its workers' histograms. Here each is added once; whatever shows,
judges or counts them afterwards has to do with regions, not with workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loadproof.measure.merge import add_into

if TYPE_CHECKING:
    from distributed.placement import Seat
    from loadproof.measure.interval import ErrorKey, Interval, Series, SeriesKey


@dataclass
class MergedSecond:
    """All that has come of one second from one region since it was last taken: late intervals make another."""

    region: str
    second: int
    series: dict[SeriesKey, Series] = field(default_factory=dict)
    errors: dict[ErrorKey, int] = field(default_factory=dict)
    parts: list[tuple[Seat, Interval]] = field(default_factory=list)
    """The intervals without their series."""


class MergedSeconds:
    """Intervals that wait to be handed on, merged."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], MergedSecond] = {}

    def add(self, seat: Seat, interval: Interval) -> None:
        place = (seat.region, interval.second)
        merged = self._waiting.get(place)
        if merged is None:
            merged = self._waiting[place] = MergedSecond(*place)
        add_into(merged.series, interval.series)
        add_into(merged.errors, interval.errors)
        merged.parts.append((seat, replace(interval, series={})))

    def take(self) -> list[MergedSecond]:
        """What came since the last call, in order of arrival."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())
