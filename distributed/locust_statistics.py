"""Keeps Locust's own statistics right: filled from intervals on the master, and by nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from locust import stats as locust_stats

from loadproof.measure.histogram import highest_equivalent
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from loadproof.measure.interval import Interval, Series, SeriesKey


def fold(statistics: Any, interval: Interval) -> None:
    """Add one interval to Locust's RequestStats; unfinished requests are none of Locust's."""
    second = int(time.time())
    for key, series in interval.series.items():
        if key.outcome is Outcome.UNFINISHED:
            continue
        for entry in (statistics.entries[key.name, key.method], statistics.total):
            _add(entry, key, series, second)
    for error, occurrences in interval.errors.items():
        identity = locust_stats.StatsError.create_key(error.method, error.name, error.message)
        known = statistics.errors.get(identity)
        if known is None:
            known = statistics.errors[identity] = locust_stats.StatsError(
                error.method, error.name, error.message
            )
            known.first_seen = time.time()
        known.occurrences += occurrences
        known.last_seen = time.time()


def _add(entry: Any, key: SeriesKey, series: Series, second: int) -> None:
    histogram = series.histogram
    if histogram.min is None or histogram.max is None:
        # A series of no request tells Locust nothing; none of ours has one, and a worker's bytes may.
        return
    entry.num_requests += histogram.count
    entry.num_reqs_per_sec[second] += histogram.count
    if key.outcome is not Outcome.OK:
        entry.num_failures += histogram.count
        entry.num_fail_per_sec[second] += histogram.count
    entry.total_response_time += histogram.total / 1_000
    entry.total_content_length += series.bytes_received
    least, most = histogram.min / 1_000, histogram.max / 1_000
    entry.min_response_time = (
        least if entry.min_response_time is None else min(entry.min_response_time, least)
    )
    entry.max_response_time = max(entry.max_response_time, most)
    entry.last_request_timestamp = time.time()
    for index, count in histogram.counts.items():
        milliseconds = min(highest_equivalent(index), histogram.max) / 1_000
        entry.response_times[locust_stats.bucket_response_time(milliseconds)] += count
