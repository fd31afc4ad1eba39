"""Journals second by second: what all workers saw in one, with their series added up by region."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from loadproof.measure.bulk import DoubtError, add_up, unpack_all
from loadproof.measure.merge import add_into
from loadproof.verdict.tallies import RegionSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from loadproof.measure.codec import PackedInterval
    from loadproof.measure.interval import Ended, Interval, Series


_T = TypeVar("_T")


@dataclass(frozen=True)
class Source:
    """One journal that counts: who wrote it, and its intervals in order of time, to be read in one way."""

    worker: str
    region: str
    intervals: Iterable[Interval]
    packed: Iterable[PackedInterval] = ()
    """The same, yet to be unpacked."""


@dataclass(frozen=True)
class MergedSecond:
    second: int
    parts: list[tuple[Source, Interval, Ended]]
    series: dict[RegionSeries, Series]
    """Added up over the workers of a region."""
    apart: bool
    """The parts' own intervals have no series: all that there are stand in `series`."""


def one_by_one(sources: Iterable[Source]) -> Iterator[MergedSecond]:
    """Seconds in ascending order; of each journal only one interval more is in memory."""
    streams = [_numbered(one, one.intervals, lambda interval: interval.second) for one in sources]
    for second, seen in _by_second(streams):
        merged: dict[RegionSeries, Series] = {}
        for source, interval in seen:
            add_into(
                merged, {RegionSeries(source.region, key): series for key, series in interval.series.items()}
            )
        parts = [(source, interval, interval.ended()) for source, interval in seen]
        yield MergedSecond(second, parts, merged, apart=False)


def in_bulk(
    sources: Iterable[Source], limits_us: Sequence[int], takes: Callable[[Interval], bool]
) -> Iterator[MergedSecond]:
    """The same several times as fast; DoubtError where only reading one by one can tell what counts.

    `takes` tells of an interval whether all of it counts.
    """
    streams = [_numbered(one, one.packed, lambda packed: packed.interval.second) for one in sources]
    for second, seen in _by_second(streams):
        if not all(takes(packed.interval) for _, packed in seen):
            raise DoubtError
        numbers: dict[RegionSeries, int] = {}
        groups = [
            numbers.setdefault(RegionSeries(source.region, key), len(numbers))
            for source, packed in seen
            for key in packed.keys
        ]
        series = add_up([one for _, packed in seen for one in packed.series], groups, limits_us)
        lags = iter(unpack_all([lag for _, packed in seen for lag in packed.lags]))
        parts = []
        for source, packed in seen:
            interval = packed.interval
            interval.pacer_lag, interval.receive_lag, interval.user_wait = next(lags), next(lags), next(lags)
            parts.append((source, interval, packed.ended))
        yield MergedSecond(second, parts, dict(zip(numbers, series, strict=True)), apart=True)


def _numbered(
    source: Source, intervals: Iterable[_T], second_of: Callable[[_T], int]
) -> Iterator[tuple[int, Source, _T]]:
    for interval in intervals:
        yield second_of(interval), source, interval


def _by_second(
    streams: Sequence[Iterator[tuple[int, Source, _T]]],
) -> Iterator[tuple[int, list[tuple[Source, _T]]]]:
    # Of one second, `merge` keeps the order of the streams.
    merged = heapq.merge(*streams, key=itemgetter(0))
    for second, entries in groupby(merged, key=itemgetter(0)):
        yield second, [(source, interval) for _, source, interval in entries]
