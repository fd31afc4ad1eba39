"""What a region's workers saw in a second, added up before anything else is made of it.

Most of a master's CPU goes into the buckets of its workers' histograms. Here each is added once, to few others;
what is made of a second afterwards has to do with regions, not with workers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.measure.merge import add_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.placement import Seat
    from loadproof.measure.interval import ErrorKey, Interval, Series, SeriesKey


@dataclass
class MergedSecond:
    """All that has come of one second from one region since it was last taken: late intervals make another."""

    series: dict[SeriesKey, Series] = field(default_factory=dict)
    errors: dict[ErrorKey, int] = field(default_factory=dict)
    pacer_lag: Histogram = field(default_factory=Histogram)
    receive_lag: Histogram = field(default_factory=Histogram)
    parts: list[tuple[Seat, Interval]] = field(default_factory=list)
    """The intervals without what is added up above, and without their exchanges, which nobody asks of a run that
    goes on."""

    def intervals(self) -> list[tuple[Seat, Interval]]:
        """The parts, one of which tells what was added up: for who does not ask which worker saw it."""
        # One that lies where no run has been would be left out, and with it all that it tells.
        at = min(range(len(self.parts)), key=lambda at: _end_us(self.parts[at][1]))
        seat, interval = self.parts[at]
        telling = replace(
            interval,
            series=self.series,
            errors=self.errors,
            pacer_lag=self.pacer_lag,
            receive_lag=self.receive_lag,
        )
        return [*self.parts[:at], (seat, telling), *self.parts[at + 1 :]]


def _end_us(interval: Interval) -> int:
    return interval.start_us + interval.length_us


class MergedSeconds:
    """Intervals that wait to be handed on; series that `same` gives one key for are added up to one."""

    def __init__(self, same: Callable[[SeriesKey], SeriesKey] = lambda key: key) -> None:
        self._same = same
        self._keys: dict[SeriesKey, SeriesKey] = {}
        self._waiting: dict[tuple[str, int], MergedSecond] = {}
        self.waiting = 0
        """Intervals since the last `take`."""

    def add(self, seat: Seat, interval: Interval) -> None:
        """The interval stays as it is."""
        place = (seat.region, interval.second)
        merged = self._waiting.get(place)
        if merged is None:
            merged = self._waiting[place] = MergedSecond()
        for key, series in interval.series.items():
            if (known := self._keys.get(key)) is None:
                known = self._keys[key] = self._same(key)
            add_into(merged.series, {known: series})
        add_into(merged.errors, interval.errors)
        merged.pacer_lag += interval.pacer_lag
        merged.receive_lag += interval.receive_lag
        rest = replace(
            interval, series={}, errors={}, exchanges={}, pacer_lag=Histogram(), receive_lag=Histogram()
        )
        merged.parts.append((seat, rest))
        self.waiting += 1

    def take(self) -> list[MergedSecond]:
        """What came since the last call, in order of arrival."""
        waiting, self._waiting = self._waiting, {}
        self.waiting = 0
        return list(waiting.values())
