"""How the latencies of ok requests lay over time, in coarse buckets: what the heat map draws.

A bucket is a quarter of an octave in whole numbers, 4 of 4 to 5 µs and 41 of 1,280 to 1,536: fine enough to see
two modes, few enough to draw. Columns are of one length, so that memory does not grow with the run.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from analyzer.model import LatencyMap
from loadproof.measure.histogram import highest_equivalent

if TYPE_CHECKING:
    from loadproof.measure.histogram import Histogram

COLUMNS: Final = 180
"""At most so many for the planned length of a run: five pixels each of a wide chart."""


class HeatFold:
    """Adds up second by second."""

    def __init__(self, planned_seconds: int) -> None:
        self.step = max(1, -(-planned_seconds // COLUMNS))
        self._columns: dict[int, Histogram] = {}

    def add(self, second: int, ok: Histogram) -> None:
        """The ok requests that ended in one second."""
        if not ok.count:
            return
        column = self._columns.setdefault(max(0, second) // self.step, ok.nothing())
        column += ok

    def finish(self) -> LatencyMap:
        columns = tuple((number, _coarse(column)) for number, column in sorted(self._columns.items()))
        return LatencyMap(self.step, columns)


def _coarse(histogram: Histogram) -> tuple[tuple[int, int], ...]:
    counts: dict[int, int] = {}
    for index, count in histogram.counts.items():
        bucket = _coarse_bucket(index)
        counts[bucket] = counts.get(bucket, 0) + count
    return tuple(sorted(counts.items()))


@cache
def _coarse_bucket(index: int) -> int:
    return bucket_of(highest_equivalent(index))


def bucket_of(us: int) -> int:
    """The number of the bucket that holds so many microseconds; the lowest holds what is less, too."""
    value = max(us, 4)
    octave = value.bit_length() - 3
    return 4 * octave + (value >> octave) - 4


def bucket_from_us(bucket: int) -> int:
    """Where a bucket begins; it ends where the next one begins."""
    octave, quarter = divmod(bucket, 4)
    return (4 + quarter) << octave
