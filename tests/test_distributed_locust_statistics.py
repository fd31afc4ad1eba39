"""Locust's statistics on the master: the same figures as Locust's, in memory that does not grow with the run."""

import random

import pytest
from locust import stats as locust_stats
from locust.stats import RequestStats
from measuring import series_of

from distributed import locust_statistics
from distributed.locust_statistics import DISTINCT_ERRORS, OTHER, SECONDS, fold
from loadproof.measure.interval import ErrorKey, Interval, Outcome, SeriesKey

OK = SeriesKey("Reader", "GET", "/policies/:id", Outcome.OK, "steady")
FAILED = OK._replace(outcome=Outcome.FAILED)


def one_second(number, latencies_us=(900, 1_500)):
    both = {key: series_of(list(latencies_us), []) for key in (OK, FAILED)}
    return Interval(number, number * 1_000_000, 1_000_000, series=both)


@pytest.fixture
def clock(monkeypatch):
    """The wall clock of Locust and of the fold, in a list of one."""
    now = [1_000_000.0]
    monkeypatch.setattr(locust_statistics.time, "time", lambda: now[0])
    return now


def test_an_hour_holds_no_more_seconds_than_a_minute(clock):
    """Requests and failures by second are kept for the last seconds only, and each is still counted."""
    statistics = RequestStats()
    for second in range(3_600):
        clock[0] += 1
        fold(statistics, one_second(second))

    for entry in (statistics.total, *statistics.entries.values()):
        assert len(entry.num_reqs_per_sec) == len(entry.num_fail_per_sec) == SECONDS
        assert (entry.num_requests, entry.num_failures) == (4 * 3_600, 2 * 3_600)


def test_current_rates_are_those_of_stock_locust(clock):
    """What is let go of is nothing that Locust's current rates would have looked at."""
    theirs, ours = RequestStats(), RequestStats()
    rng = random.Random(8)
    for second in range(100):
        clock[0] += rng.choice([1, 1, 1, 2, 7])
        latencies_ms = [rng.randint(1, 500) for _ in range(rng.randint(1, 9))]
        for latency in 2 * latencies_ms:
            theirs.log_request("GET", "/policies/:id", latency, 0)
        for _ in latencies_ms:
            theirs.log_error("GET", "/policies/:id", "boom")
        fold(ours, one_second(second, [1_000 * latency for latency in latencies_ms]))
        for mine, stock in (
            (ours.total, theirs.total),
            (ours.get(OK.name, OK.method), theirs.get(OK.name, OK.method)),
        ):
            assert mine.current_rps == stock.current_rps
            assert mine.current_fail_per_sec == stock.current_fail_per_sec


def test_a_wall_clock_put_back_keeps_no_second_for_ever(clock):
    """Seconds from a time that the clock has left are let go of as any others."""
    statistics = RequestStats()
    for step in (1, -1):
        for second in range(SECONDS + 5):
            clock[0] += step
            fold(statistics, one_second(second))

    assert len(statistics.total.num_reqs_per_sec) <= SECONDS
    assert int(clock[0]) in statistics.total.num_reqs_per_sec


def test_a_target_that_invents_errors_does_not_fill_the_memory():
    """Beyond so many texts an endpoint's errors are counted as its other ones; none is lost."""
    statistics = RequestStats()
    invented = 3 * DISTINCT_ERRORS
    for number in range(invented):
        interval = one_second(number)
        interval.errors = {ErrorKey("Reader", "GET", f"/{number % 2}", f"no {number}"): 2}
        fold(statistics, interval)
    by_text = {}
    for error in statistics.errors.values():
        by_text.setdefault(error.error, []).append(error.occurrences)

    assert len(statistics.errors) == DISTINCT_ERRORS + 2
    assert by_text["no 0"] == [2]
    assert sum(by_text[OTHER]) == 2 * (invented - DISTINCT_ERRORS)


def test_response_times_are_rounded_as_locust_rounds_them():
    """Each latency in whole milliseconds lies under the very key that Locust counts it under, the largest too."""
    rng = random.Random(4)
    for _ in range(300):
        statistics = RequestStats()
        largest = rng.choice([3, 99, 105, 2_047, 9_951, 58_760])
        latencies_us = [1_000 * rng.randint(1, min(largest, 2)) for _ in range(3)] + [1_000 * largest - 1]
        interval = Interval(0, 0, 1_000_000, series={OK: series_of(latencies_us, [])})
        fold(statistics, interval)
        expected = {}
        for latency in latencies_us:
            rounded = locust_stats.bucket_response_time(latency / 1_000)
            expected[rounded] = expected.get(rounded, 0) + 1

        assert dict(statistics.total.response_times) == expected
