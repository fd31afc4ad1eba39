"""Classic buckets around a plan's limits; sorted lists of the values are the oracle."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import series_of

from monitoring.buckets import LATENCIES_US, Bounds, Latencies

limits = st.sets(st.integers(1, 20_000_000), max_size=5).map(lambda some: tuple(sorted(some)))
values = st.lists(
    st.integers(0, 3_000) | st.integers(0, 20_000_000) | st.sampled_from(LATENCIES_US), max_size=60
)


@given(limits, st.lists(values, max_size=3))
@settings(max_examples=200, deadline=None)
def test_counts_up_to_a_limit_are_exact(limits_us, parts):
    """At a limit every value is on its side; at any other bound those within a thousandth may be above it."""
    bounds = Bounds(LATENCIES_US, limits_us)
    latencies = Latencies(bounds)
    for part in parts:
        latencies.add(series_of(part, limits_us))
    found = latencies.cumulative()
    every = sorted(value for part in parts for value in part)

    assert found[-1] == latencies.count == len(every)
    assert found == sorted(found)
    assert latencies.total_us == sum(every)
    for bound, count in zip(bounds.us, found, strict=False):
        exact = bisect_right(every, bound)
        least = exact if bound in limits_us else bisect_right(every, bound * 0.999 - 1)
        assert least <= count <= exact


@given(limits)
@settings(max_examples=100, deadline=None)
def test_every_limit_is_a_bound(limits_us):
    """All limits are there, no usual bound is close to one, and `le` says seconds in ascending order."""
    bounds = Bounds(LATENCIES_US, limits_us)
    usual = set(bounds.us) - set(limits_us)

    assert set(limits_us) <= set(bounds.us)
    assert all(max(one, limit) > 1.05 * min(one, limit) for one in usual for limit in limits_us)
    assert [float(text) for text in bounds.texts] == sorted(float(text) for text in bounds.texts)
    assert [round(float(text) * 1e6) for text in bounds.texts[:-1]] == list(bounds.us)
    assert bounds.texts[-1] == "+Inf"
