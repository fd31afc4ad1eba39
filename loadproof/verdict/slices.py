"""Latencies by time: a histogram for each slice of the run, of one selection of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.measure.histogram import Histogram
    from loadproof.verdict.selection import Selection
    from loadproof.verdict.tallies import RegionSeries

MOST: Final = 600
"""Slices of a run, of whole seconds: a run of up to ten minutes has one a second."""
WAITED: Final = frozenset({Outcome.OK, Outcome.TIMEOUT})


class Slices:
    """Of ok requests at their latency and of timeouts at what they had waited, or of the selection's own outcome."""

    def __init__(self, selection: Selection, duration_us: int) -> None:
        self._selection = selection
        self._outcomes = WAITED if selection.outcome is None else frozenset({selection.outcome})
        self._seconds = max(1, -(-duration_us // (MOST * 1_000_000)))
        self._histograms: dict[int, Histogram] = {}

    def add(self, key: RegionSeries, histogram: Histogram, second: int) -> None:
        """What one series had in a second; the histogram stays as it is."""
        if key.series.outcome not in self._outcomes or not self._selection.takes(key):
            return
        number = second // self._seconds
        if number not in self._histograms:
            self._histograms[number] = histogram.nothing()
        self._histograms[number] += histogram

    def items(self) -> Iterator[tuple[int, Histogram]]:
        """(middle of the slice in microseconds of run time, what ended in it), in order of time, without empty ones."""
        for number, histogram in sorted(self._histograms.items()):
            if histogram.count:
                yield round((number + 0.5) * self._seconds * 1_000_000), histogram
