from copy import copy
from fractions import Fraction

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from measuring import histogram_of, histograms, microseconds, samples

from loadproof.measure.histogram import Histogram, bucket_index, highest_equivalent, lowest_equivalent

LAST_BUCKET = bucket_index(2**63 - 1)
# numpy takes ceil(q * n) in floats: with q a multiple of 1/1024 that product is exact, and so is the oracle.
exact_quantiles = st.integers(0, 1024).map(lambda k: k / 1024)


@pytest.fixture(scope="module")
def hdr():
    """HdrHistogram with our precision: 3 significant digits make it use 2,048 sub-buckets of unit 1."""
    return HdrHistogram(1, 2**61, 3)


@given(us=microseconds | st.integers(0, 2**61))
def test_buckets_are_those_of_hdrhistogram(hdr, us):
    """A value falls into the bucket, and the bucket spans the values, that HdrHistogram says."""
    index = bucket_index(us)
    assert index == hdr._counts_index_for(us)
    assert lowest_equivalent(index) == hdr.get_lowest_equivalent_value(us)
    assert highest_equivalent(index) == hdr.get_highest_equivalent_value(us)


@given(values=samples)
def test_recorded_counts_are_those_of_hdrhistogram(values):
    """The same values leave the same counts in the same buckets."""
    oracle = HdrHistogram(1, 2**41, 3)
    for value in values:
        oracle.record_value(value)
    theirs = {index: count for index, count in enumerate(oracle.counts) if count}
    assert histogram_of(values).counts == theirs


def test_buckets_tile_all_values():
    """Each bucket begins where the one before ends, and its first and last value fall into it."""
    end = -1
    for index in range(LAST_BUCKET + 1):
        low, high = lowest_equivalent(index), highest_equivalent(index)
        assert low == end + 1
        assert bucket_index(low) == bucket_index(high) == index
        end = high
    assert end == 2**63 - 1


@given(us=st.integers(0, 2**63 - 1))
def test_error_is_below_a_thousandth(us):
    """The value that stands for a bucket is off by less than 0.1 % of any value in it, and never below it."""
    shown = highest_equivalent(bucket_index(us))
    assert shown >= us
    assert (shown - us) * 1000 < max(us, 1)


@given(us=microseconds, n=st.integers(1, 9))
def test_recording_n_at_once_is_recording_n_times(us, n):
    """`n` is a shorthand for a loop."""
    at_once = Histogram()
    at_once.record(us, n)
    assert at_once == histogram_of([us] * n)


@given(values=samples)
def test_exact_fields(values):
    """Count, sum, minimum, maximum and mean are those of the raw values; what is absent is None."""
    histogram = histogram_of(values)
    assert histogram.count == len(values) == sum(histogram.counts.values())
    assert histogram.total == sum(values)
    assert histogram.min == min(values, default=None)
    assert histogram.max == max(values, default=None)
    assert histogram.mean == (float(Fraction(sum(values), len(values))) if values else None)


@given(values=st.lists(microseconds, min_size=1, max_size=200), q=exact_quantiles)
def test_quantile_is_the_inverted_cdf_of_numpy(values, q):
    """A quantile is numpy's or up to 0.1 % above, and never above the maximum."""
    truth = int(np.quantile(np.array(values), q, method="inverted_cdf"))
    shown = histogram_of(values).quantile(q)
    assert truth <= shown <= min(truth * 1.001, max(values))


@pytest.mark.parametrize("percent", [50, 55, 57, 90, 95, 99, 99.9])
def test_quantile_rank_of_a_decimal_is_exact(percent):
    """P55 of 100 values is the 55th, though 0.55 * 100 is 55.00000000000001 in floats."""
    permille = round(percent * 10)
    histogram = Histogram()
    for n in range(1, 1_500):
        histogram.record(n)
        rank = -(-permille * n // 1000)
        assert histogram.quantile(permille / 1000) == rank
        assert histogram.quantile(Fraction(permille, 1000)) == rank


def test_quantile_of_nothing_is_none():
    """An empty histogram has no quantile and no mean; 0 would be an invented latency."""
    empty = Histogram()
    assert empty.quantile(0.95) is None
    assert (empty.min, empty.max, empty.mean) == (None, None, None)
    assert empty.count_at_most(10) == (0, 0)


@pytest.mark.parametrize("q", [-0.01, 1.01, Fraction(101, 100), 95])
def test_quantile_outside_0_to_1_is_refused(q):
    """95 for 0.95 is a mistake, not the maximum."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        histogram_of([1]).quantile(q)


@pytest.mark.parametrize(("us", "n"), [(-1, 1), (1, 0), (1, -1)])
def test_impossible_records_are_refused(us, n):
    """A negative value or count raises and leaves the histogram as it was."""
    histogram = histogram_of([7])
    with pytest.raises(ValueError, match="at least"):
        histogram.record(us, n)
    assert histogram == histogram_of([7])


@given(values=samples, us=microseconds)
def test_count_at_most_bounds_the_truth(values, us):
    """The number of values up to a limit lies between the bounds, which meet where a bucket ends."""
    histogram = histogram_of(values)
    truth = sum(value <= us for value in values)
    low, high = histogram.count_at_most(us)
    assert low <= truth <= high
    end = highest_equivalent(bucket_index(us))
    exact = sum(value <= end for value in values)
    assert histogram.count_at_most(end) == (exact, exact)


@given(values=st.lists(st.integers(2_048, 2_110), min_size=1, max_size=4))
def test_count_at_most_bounds_are_tight(values):
    """Minimum and maximum narrow the bounds: with up to two values they always meet."""
    histogram = histogram_of(values)
    for us in range(2_040, 2_115):
        low, high = histogram.count_at_most(us)
        assert low <= sum(value <= us for value in values) <= high
        assert len(values) > 2 or low == high


@given(a=histograms, b=histograms, c=histograms)
def test_merge_is_addition(a, b, c):
    """Merging is associative and commutative, empty is its zero, and the right side never changes."""

    def plus(left, right):
        total, kept = copy(left), copy(right)
        total += right
        assert right == kept
        return total

    assert plus(plus(a, b), c) == plus(a, plus(b, c))
    assert plus(a, b) == plus(b, a)
    assert plus(a, Histogram()) == a == plus(Histogram(), a)


@given(left=samples, right=samples)
def test_merge_is_recording_all(left, right):
    """A merged histogram is the one that would have seen all values."""
    merged = histogram_of(left)
    merged += histogram_of(right)
    assert merged == histogram_of(left + right)


@given(values=samples)
def test_merge_with_itself_doubles(values):
    """A histogram added to itself holds every value twice."""
    histogram = histogram_of(values)
    histogram += histogram
    assert histogram == histogram_of(values * 2)


def test_equality_looks_at_the_exact_fields():
    """Two histograms of the same buckets differ when their sums do."""
    assert histogram_of([4_096]) != histogram_of([4_097])
    assert histogram_of([1]) != 1
