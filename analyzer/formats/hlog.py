"""HdrHistogram's interval log: a line a second and outcome, tagged with the outcome, in microseconds.

Format 1.3 as HistogramLogWriter of HdrHistogram 2.1 writes it: start and length in seconds, the interval's
largest value in milliseconds, and the compressed histogram. Lines are put together here, as the writer of the
Python port knows no tags and writes start times that readers do not parse.
"""

from __future__ import annotations

import heapq
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from hdrh.histogram import HdrHistogram

from analyzer.escape import visible
from loadproof.measure.histogram import Histogram, lowest_equivalent

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Iterator, Sequence

    from loadproof.measure.interval import Interval, Outcome

_HIGHEST_US: Final = 7 * 86_400_000_000
"""A week: beyond what a request can take in a run that anyone has patience for."""


def lines(
    journals: Sequence[Iterable[Interval]], run: str, began: datetime.datetime | None
) -> Iterator[bytes]:
    """The log of all journals together; times count from the run's second 0, which the head names if it is known."""
    start = began.timestamp() if began is not None else 0.0
    yield f"#[loadproof run {visible(run)}]\n".encode()
    yield b"#[Histogram log format version 1.3]\n"
    yield f"#[StartTime: {start:.3f} (seconds since epoch), {_text(began)}]\n".encode()
    yield f"#[BaseTime: {start:.3f} (seconds since epoch)]\n".encode()
    yield b"#[MaxValueDivisor: 1000.0]\n"
    yield b'"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    # One for all: a histogram of this width takes half a megabyte.
    encoder = HdrHistogram(1, _HIGHEST_US, 3)
    for second, intervals in groupby(
        heapq.merge(*journals, key=attrgetter("second")), key=attrgetter("second")
    ):
        merged: dict[Outcome, Histogram] = {}
        length_us = 0
        for interval in intervals:
            length_us = max(length_us, interval.length_us)
            for key, series in interval.series.items():
                total = merged.setdefault(key.outcome, Histogram())
                total += series.histogram
        for outcome, histogram in sorted(merged.items()):
            if histogram.max is not None:
                times = f"{second:.3f},{length_us / 1_000_000:.3f},{histogram.max / 1_000:.3f}"
                yield f"Tag={outcome.value},{times},".encode() + _encoded(encoder, histogram) + b"\n"


def _encoded(encoder: HdrHistogram, histogram: Histogram) -> bytes:
    """Our buckets are HdrHistogram's own, so each count lands in the very same one."""
    encoder.reset()
    for index, count in sorted(histogram.counts.items()):
        encoder.record_value(min(lowest_equivalent(index), _HIGHEST_US), count)
    return bytes(encoder.encode())


def _text(began: datetime.datetime | None) -> str:
    return "unknown" if began is None else began.strftime("%a %b %d %H:%M:%S UTC %Y")
