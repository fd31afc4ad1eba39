"""Classic histogram buckets, with bounds where the plan's limits and goals lie."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import highest_equivalent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import Series

LATENCIES_US: Final = (
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
)  # fmt: skip
LAGS_US: Final = (100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)
APART: Final = 1.05
"""A bound less than so far from a limit says nothing more. It must be above 1.001: our own buckets are that wide."""


class Bounds:
    """Upper bounds of buckets, ascending, in microseconds: all of `limits_us`, and those of `usual_us` apart from them."""

    def __init__(self, usual_us: Sequence[int], limits_us: Sequence[int]) -> None:
        apart = [
            usual
            for usual in usual_us
            if all(max(usual, limit) > APART * min(usual, limit) for limit in limits_us)
        ]
        self.us = tuple(sorted({*apart, *limits_us}))
        self.texts = (*(repr(us / 1_000_000) for us in self.us), "+Inf")
        """What `le` says, in seconds."""
        self.of_limits = tuple(self.us.index(limit) for limit in limits_us)
        """Where each limit lies in `us`."""
        self._positions: dict[int, int] = {}

    def sort_in(self, histogram: Histogram, counts: list[int]) -> None:
        """Add the values to the counts of buckets; one that shares a bucket of ours with a bound may lie above it."""
        positions = self._positions
        for index, n in histogram.counts.items():
            position = positions.get(index)
            if position is None:
                position = positions[index] = bisect_left(self.us, highest_equivalent(index))
            counts[position] += n


class Latencies:
    """What a series adds up to; counts up to a limit are exact."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds.texts)
        self._over = [0] * len(bounds.of_limits)
        self.count = 0
        self.total_us = 0

    def add(self, series: Series) -> None:
        self.count += series.histogram.count
        self.total_us += series.histogram.total
        self._bounds.sort_in(series.histogram, self._counts)
        for at, over in enumerate(series.over):
            self._over[at] += over

    def cumulative(self) -> list[int]:
        found = list(accumulate(self._counts))
        for position, over in zip(self._bounds.of_limits, self._over, strict=True):
            found[position] = self.count - over
        return found


class Lags:
    """A histogram that no limit of the plan is counted exactly in."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds.texts)
        self.total_us = 0

    def add(self, histogram: Histogram) -> None:
        self.total_us += histogram.total
        self._bounds.sort_in(histogram, self._counts)

    def cumulative(self) -> list[int]:
        return list(accumulate(self._counts))
