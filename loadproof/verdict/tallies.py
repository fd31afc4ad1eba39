"""What is kept of a run: totals of each series, a few integers a second, and how each worker fared.

A series is told by (region, SeriesKey): the region stands in the journal's header, not in its intervals. Merge is
addition.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import ArrivalKey, CheckKey, MetricKey, MetricSummary, SeriesKey


class RegionSeries(NamedTuple):
    region: str
    series: SeriesKey


class RegionCheck(NamedTuple):
    region: str
    check: CheckKey


class RegionMetric(NamedTuple):
    region: str
    metric: MetricKey


class RegionArrivals(NamedTuple):
    region: str
    arrival: ArrivalKey


class Seconds:
    """A table of integers with a row a second, growing at both ends."""

    __slots__ = ("_cells", "first", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.first = 0
        self._cells = array("q")

    def add(self, second: int, row: Sequence[int]) -> None:
        if not self._cells:
            self.first = second
        elif second < self.first:
            self._cells = array("q", bytes(8 * self.width * (self.first - second))) + self._cells
            self.first = second
        missing = (second - self.first + 1) * self.width - len(self._cells)
        if missing > 0:
            self._cells.frombytes(bytes(8 * missing))
        at = (second - self.first) * self.width
        for column, value in enumerate(row):
            self._cells[at + column] += value

    def sums(self) -> list[int]:
        """Each column over all seconds."""
        return [sum(self._cells[column :: self.width]) for column in range(self.width)]

    def items(self) -> Iterator[tuple[int, array[int]]]:
        """(second, row) in order of time, without the rows that are all zero."""
        for index in range(len(self._cells) // self.width):
            row = self._cells[index * self.width : (index + 1) * self.width]
            if any(row):
                yield self.first + index, row


COUNT: Final = 0
TOTAL: Final = 1
ERRORS: Final = 2
OVER: Final = 3
"""Columns of `Evidence.seconds`: requests, sum of latencies, errors, then requests over each limit."""


@dataclass
class Tally:
    """One series over the whole run."""

    histogram: Histogram
    over: list[int]
    """Exactly how many took longer than each limit of the journal."""
    errors: int = 0
    """Failed, timed out, or unfinished past the stop timeout."""
    bytes_received: int = 0
    bytes_sent: int = 0
    first_byte: Histogram | None = None
    """As that of `Series`."""


@dataclass
class Metric:
    """Numbers that a scenario recorded, summed without rounding so that order cannot matter."""

    count: int = 0
    total: Fraction = Fraction(0)
    min: float | None = None
    max: float | None = None
    broken: int = 0
    """Summaries that held something other than a finite number."""

    def add(self, summary: MetricSummary) -> None:
        if not all(map(isfinite, (summary.total, summary.min, summary.max))):
            self.broken += 1
            return
        self.count += summary.count
        self.total += Fraction(summary.total)
        self.min = summary.min if self.min is None else min(self.min, summary.min)
        self.max = summary.max if self.max is None else max(self.max, summary.max)

    def __iadd__(self, other: Metric) -> Metric:  # noqa: PYI034 nobody derives from it
        self.count += other.count
        self.total += other.total
        self.broken += other.broken
        self.min = (
            other.min if self.min is None else self.min if other.min is None else min(self.min, other.min)
        )
        self.max = (
            other.max if self.max is None else self.max if other.max is None else max(self.max, other.max)
        )
        return self


@dataclass
class Due:
    """Starts by the earliest and by the latest second in which each can have been due.

    Intervals count a start when its user takes it or it is dropped, and tell how long users were waited for;
    so a start that waited was due within an interval's length, and one that was dropped at any time since.
    """

    earliest: dict[int, int] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)

    def add(self, earliest: int, latest: int, count: int) -> None:
        self.earliest[earliest] = self.earliest.get(earliest, 0) + count
        self.latest[latest] = self.latest.get(latest, 0) + count


@dataclass
class Flow:
    """What one region's workers had in hand in one second."""

    started: int = 0
    in_flight: int = 0
    oldest_start_us: int | None = None
    """Run time at which the oldest request in flight had begun."""
    first_done_us: int | None = None
    """First and last answer of the second; None when there was none."""
    last_done_us: int | None = None
    closed_us: int = 0
    """End of the latest interval of this second."""
    workers: int = 0

    def __iadd__(self, other: Flow) -> Flow:  # noqa: PYI034 nobody derives from it
        self.started += other.started
        self.in_flight += other.in_flight
        self.oldest_start_us = _least(self.oldest_start_us, other.oldest_start_us)
        self.first_done_us = _least(self.first_done_us, other.first_done_us)
        self.last_done_us = _most(self.last_done_us, other.last_done_us)
        self.closed_us = max(self.closed_us, other.closed_us)
        self.workers += other.workers
        return self


class WorkerSecond(NamedTuple):
    """How fit a worker was in one interval; a P99 is None where nothing was measured."""

    second: int
    start_us: int
    length_us: int
    pacer_lag_us: int | None
    receive_lag_us: int | None
    cpu_us: int
    throttled_us: int | None
    steal_us: int | None


@dataclass
class Worker:
    """One worker over all its epochs."""

    region: str
    started: int = 0
    ok: int = 0
    failed: int = 0
    """With timeouts."""
    unfinished: int = 0
    seconds: list[WorkerSecond] = field(default_factory=list)
    """In the order in which the intervals arrived."""

    @property
    def ended(self) -> int:
        return self.ok + self.failed + self.unfinished


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
