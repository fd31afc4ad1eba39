from copy import deepcopy
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import (
    LIMITS_US,
    answers,
    arrivals,
    check_counts,
    counts,
    exchanges,
    header,
    histogram_of,
    histograms,
    metric_summaries,
    microseconds,
    series,
    series_of,
    write_journal,
)

from loadproof.measure.interval import Interval, Outcome, SeriesKey
from loadproof.measure.journal import Journal, JournalCopy
from loadproof.measure.merge import add_into

KEY = SeriesKey("Reader", "GET", "/policies/:id", Outcome.OK, "steady")
kinds = st.sampled_from([series, check_counts, metric_summaries(), exchanges, arrivals, histograms, counts])
tables = kinds.flatmap(lambda values: st.lists(st.dictionaries(st.sampled_from("ab"), values), max_size=6))


def total_of(parts):
    totals = {}
    for part in parts:
        add_into(totals, part)
    return totals


@given(parts=tables, data=st.data())
def test_merge_is_addition(parts, data):
    """Totals depend neither on order nor on grouping of what is added, and parts stay as they were."""
    before = deepcopy(parts)
    shuffled = data.draw(st.permutations(parts))
    at = data.draw(st.integers(0, len(parts)))
    assert total_of(parts) == total_of(shuffled)
    assert total_of(parts) == total_of([total_of(parts[:at]), total_of(parts[at:])])
    assert parts == before


@given(left=st.lists(microseconds, max_size=20), right=st.lists(microseconds, max_size=20))
def test_merged_series_is_the_series_of_all(left, right):
    """Histogram, counts over limits and bytes of a merged series are those of all requests together."""
    parts = [
        {KEY: series_of(left, bytes_received=10, bytes_sent=3)},
        {KEY: series_of(right, bytes_received=5, bytes_sent=4)},
    ]
    assert total_of(parts)[KEY] == series_of(left + right, bytes_received=15, bytes_sent=7)


@given(parts=st.lists(answers(), min_size=1, max_size=4))
def test_merged_first_bytes_are_those_of_all_answers(parts):
    """A part whose answers all came in one read adds its latencies, and only such parts stay without."""
    merged = total_of([{KEY: series_of(values, first_bytes=first)} for values, first in parts])[KEY]
    if all(first is None for _, first in parts):
        assert merged.first_byte is None
    else:
        everyone = [us for values, first in parts for us in (values if first is None else first)]
        assert merged.first_byte == histogram_of(everyone)
    assert merged.histogram == histogram_of([us for values, _ in parts for us in values])


def test_merge_leaves_no_histogram_in_two_places():
    """What a merge took from a part is a copy: later values reach neither the part nor the latencies."""
    merged, part = series_of([2_000]), series_of([3_000], first_bytes=[1_000])
    merged += part
    merged.first_byte.record(7)
    assert merged.histogram == histogram_of([2_000, 3_000])
    assert part == series_of([3_000], first_bytes=[1_000])


@given(summary=metric_summaries(), other=metric_summaries())
def test_merged_metric_keeps_its_extremes(summary, other):
    """Count and sum add up, minimum and maximum are those of both."""
    merged = total_of([{"m": summary}, {"m": other}])["m"]
    assert (merged.count, merged.total) == (summary.count + other.count, summary.total + other.total)
    assert (merged.min, merged.max) == (min(summary.min, other.min), max(summary.max, other.max))


def test_series_of_other_limits_are_refused():
    """Counts over different limits cannot be added; the left side stays as it was."""
    one = series_of([5_000], limits_us=(1_000,))
    with pytest.raises(ValueError, match="argument 2 is longer"):
        one += series_of([5_000])
    assert one == series_of([5_000], limits_us=(1_000,))


def deliver(records, path, repeats):
    """Send records as a link does that loses answers: some come again, and the copy takes the next one."""
    copy = JournalCopy(path)
    while copy.records < len(records):
        number = copy.records
        for again in (number, *[repeat for repeat in repeats if repeat < number], number):
            if again == copy.records:
                copy.append_record(records[again])
    copy.close()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_quantiles_of_merged_journals_are_those_of_numpy(tmp_path_factory, data, seed):
    """However requests are spread, sent and merged, quantiles are numpy's within 0.1 % or 1 µs."""
    folder = tmp_path_factory.mktemp("journals")
    rng = np.random.default_rng(seed)
    size = data.draw(st.integers(1, 600), label="requests")
    scale = data.draw(st.sampled_from([50.0, 3_000.0, 400_000.0, 30_000_000.0]), label="µs")
    latencies = rng.lognormal(np.log(scale), 1.2, size).astype(np.int64)
    workers = data.draw(st.integers(1, 3), label="workers")
    owners, seconds = rng.integers(0, workers, size), rng.integers(0, 4, size)
    intervals = []
    for worker in range(workers):
        split = [latencies[(owners == worker) & (seconds == second)].tolist() for second in range(4)]
        whole = [
            Interval(second, second * 1_000_000, 1_000_000, started=len(part), series={KEY: series_of(part)})
            for second, part in enumerate(split)
        ]
        name = f"eu-west-1-{worker:02}"
        records = write_journal(folder / f"{name}-1.journal", whole, header(name))
        deliver(records, folder / f"{name}.copy", data.draw(st.lists(st.integers(0, 5), max_size=3)))
        journal = Journal(folder / f"{name}.copy")
        intervals += journal.intervals()
        assert journal.state.complete
    order = rng.permutation(len(intervals))
    merged = total_of([intervals[at].series for at in order])[KEY]
    raw = np.sort(latencies)
    for q in (k / 64 for k in range(65)):
        truth = int(np.quantile(raw, q, method="inverted_cdf"))
        assert abs(merged.histogram.quantile(q) - truth) <= max(1, truth * 0.001)
    for percent in ("50", "55", "90", "95", "99", "99.9", "99.99"):
        q = Fraction(percent) / 100
        truth = int(raw[ceil(q * size) - 1])
        assert abs(merged.histogram.quantile(q) - truth) <= max(1, truth * 0.001)
    assert merged.over == [int((latencies > limit).sum()) for limit in LIMITS_US]
    assert (merged.histogram.count, merged.histogram.total) == (size, int(latencies.sum()))
    assert (merged.histogram.min, merged.histogram.max) == (int(raw[0]), int(raw[-1]))
