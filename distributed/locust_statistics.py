"""Keeps Locust's own statistics right: filled from intervals on the master, and by nothing else.

They hold no more after an hour than after a minute.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from locust import stats as locust_stats

from loadproof.measure.histogram import bucket_index, highest_equivalent
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import ErrorKey, Interval, Series, SeriesKey

SECONDS: Final = 20
"""Locust's current rates look 12 seconds back; it would keep a number a second for the whole run."""
DISTINCT_ERRORS: Final = 1_000
OTHER: Final = "other errors"
"""The text under which an endpoint's further errors are counted: a target may invent a new one each time."""


def fold(statistics: Any, interval: Interval) -> None:
    """Add one interval to Locust's RequestStats; unfinished requests are none of Locust's."""
    now = time.time()
    _remember_total(statistics.total, int(now) - 1)
    for key, series in interval.series.items():
        # A series of no request tells Locust nothing; none of ours has one, and a worker's bytes may.
        if key.outcome is not Outcome.UNFINISHED and series.histogram.count:
            response_times = _response_times(series.histogram)
            for entry in (statistics.entries[key.name, key.method], statistics.total):
                _add(entry, key, series, response_times, now)
    for error, occurrences in interval.errors.items():
        known = _known(statistics.errors, error, now)
        known.occurrences += occurrences
        known.last_seen = now


def _remember_total(total: Any, second: int) -> None:
    """Keep what its current percentiles are the difference to: the total as it was at the end of a second."""
    if total.use_response_times_cache and second not in (total.response_times_cache or ()):
        total._cache_response_times(second)  # noqa: SLF001 what Locust does for each request that it logs


def _add(entry: Any, key: SeriesKey, series: Series, response_times: dict[int, int], now: float) -> None:
    histogram = series.histogram
    assert histogram.min is not None
    assert histogram.max is not None
    entry.num_requests += histogram.count
    _count(entry.num_reqs_per_sec, int(now), histogram.count)
    if key.outcome is not Outcome.OK:
        entry.num_failures += histogram.count
        _count(entry.num_fail_per_sec, int(now), histogram.count)
    entry.total_response_time += histogram.total / 1_000
    entry.total_content_length += series.bytes_received
    least, most = histogram.min / 1_000, histogram.max / 1_000
    entry.min_response_time = (
        least if entry.min_response_time is None else min(entry.min_response_time, least)
    )
    entry.max_response_time = max(entry.max_response_time, most)
    entry.last_request_timestamp = now
    for rounded, count in response_times.items():
        entry.response_times[rounded] += count


def _count(by_second: dict[int, int], second: int, count: int) -> None:
    """Add to a second, and let go of the oldest: by arrival, for the wall clock may be put back."""
    by_second[second] += count
    if len(by_second) > SECONDS:
        del by_second[next(iter(by_second))]


class _Rounded(dict[int, int]):
    """Bucket -> the milliseconds that Locust counts its values under.

    Taken from Locust when first needed: a locustfile may put a rounding of its own there while it is imported.
    """

    def __missing__(self, index: int) -> int:
        rounded: int = locust_stats.bucket_response_time(highest_equivalent(index) / 1_000)
        self[index] = rounded
        return rounded


_ROUNDED: Final = _Rounded()


def _response_times(histogram: Histogram) -> dict[int, int]:
    """The histogram as Locust keeps one, of milliseconds."""
    assert histogram.max is not None
    response_times: dict[int, int] = {}
    for index, count in histogram.counts.items():
        rounded = _ROUNDED[index]
        response_times[rounded] = response_times.get(rounded, 0) + count
    last = bucket_index(histogram.max)
    exact = locust_stats.bucket_response_time(histogram.max / 1_000)
    if exact != _ROUNDED[last]:
        # The values of the last bucket are known to be no higher than the exact maximum.
        response_times[_ROUNDED[last]] -= histogram.counts[last]
        response_times[exact] = response_times.get(exact, 0) + histogram.counts[last]
        if not response_times[_ROUNDED[last]]:
            del response_times[_ROUNDED[last]]
    return response_times


def _known(errors: dict[str, Any], error: ErrorKey, now: float) -> Any:
    """Locust's record of this error, or of its endpoint's other ones when there are too many."""
    message = error.message
    identity = locust_stats.StatsError.create_key(error.method, error.name, message)
    if identity not in errors and len(errors) >= DISTINCT_ERRORS:
        message = OTHER
        identity = locust_stats.StatsError.create_key(error.method, error.name, message)
    known = errors.get(identity)
    if known is None:
        known = errors[identity] = locust_stats.StatsError(error.method, error.name, message)
        known.first_seen = now
    return known
