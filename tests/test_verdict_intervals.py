"""Confidence intervals, held against numpy, scipy and simulated runs."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import effect_of
from scipy import stats

from loadproof.verdict.clusters import bandwidth, design_effect
from loadproof.verdict.intervals import (
    least_samples,
    mean_interval,
    quantile_ranks,
    share_interval,
)

P95 = Fraction(95, 100)
quantiles = st.integers(5_000, 9_990).map(lambda part: Fraction(part, 10_000))
effects = st.integers(100, 2_000).map(lambda part: Fraction(part, 100))


@pytest.mark.parametrize(
    ("quantile", "samples"), [("0.5", 6), ("0.95", 72), ("0.99", 368), ("0.999", 3_688), ("0.9999", 36_887)]
)
def test_least_samples_are_the_known_ones(quantile, samples):
    """72 samples bound a P95 from above, 368 a P99, 3,688 a P99.9."""
    assert least_samples(Fraction(quantile)) == samples


@given(quantiles)
def test_least_samples_are_the_fewest_that_bound_the_quantile(quantile):
    """One sample fewer and even the largest of them does not bound the quantile with 97.5 %."""
    n = least_samples(quantile)

    assert quantile**n <= Fraction(1, 40) < quantile ** (n - 1)


@given(quantiles, st.integers(1, 5_000))
def test_ranks_are_the_exact_binomial_ones(quantile, n):
    """The ranks cover the quantile with 95 %, no rank further inside does, and there are none for too few."""
    ranks = quantile_ranks(quantile, n, Fraction(1))
    below = stats.binom(n, float(quantile)).cdf

    if ranks is None:
        assert n < least_samples(quantile)
    else:
        low, high = ranks
        assert low <= high <= n
        assert below(low - 1) <= 0.025 < below(low) + 1e-12
        assert below(high - 1) >= 0.975 > below(high - 2) - 1e-12


@given(quantiles, st.integers(1, 200_000), effects)
def test_ranks_widen_with_the_design_effect(quantile, n, effect):
    """A design effect never narrows the interval, and what is too few for it is said to be."""
    plain, wide = quantile_ranks(quantile, n, Fraction(1)), quantile_ranks(quantile, n, effect)

    assert (wide is None) is (n < least_samples(quantile) * effect)
    if wide is not None:
        assert plain is not None
        assert wide[0] <= plain[0] + 1
        assert wide[1] >= plain[1] - 1
        assert wide[1] <= n


@given(st.integers(1, 3_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_the_exact_interval(hits_of_n):
    """At a design effect of 1 it is Clopper and Pearson's, as scipy computes it."""
    hits, n = hits_of_n
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")

    assert share_interval(hits, n, Fraction(1)) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.integers(0, 10**7), min_size=2, max_size=50), effects)
def test_means_have_the_standard_errors_of_numpy(values, effect):
    """The mean's interval is 1.96 standard errors of the effective number of samples to either side."""
    half = 1.96 * np.std(values) * sqrt(effect / len(values))
    low, high = mean_interval(sum(values), sum(value**2 for value in values), len(values), effect)

    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), rel=1e-9, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=60))
def test_the_design_effect_is_that_of_numpy(seconds):
    """Exact whole numbers equal the published formulas as numpy and scipy compute them."""
    slow = np.array([min(pair) for pair in seconds])
    counts = np.array([max(pair) for pair in seconds])
    found = design_effect(slow.tolist(), counts.tolist(), int(slow.sum()))

    assert float(found) == pytest.approx(effect_of(slow, counts), rel=2e-2)


def test_a_design_effect_of_identical_seconds_is_the_size_of_a_second():
    """When each second is all slow or all fast, n requests tell no more than their seconds."""
    rng = np.random.default_rng(3)
    slow = (rng.random(2_000) < 0.1) * 50
    effect = design_effect(slow.tolist(), [50] * 2_000, int(slow.sum()))

    assert 45 < effect < 65


def test_bandwidth_follows_the_square_root():
    """The bandwidth is ceil(1.3 sqrt(T))."""
    assert [bandwidth(seconds) for seconds in (1, 20, 100, 120, 28_800)] == [2, 6, 13, 15, 221]


def test_fixed_b_critical_values_cover_95_percent():
    """The cubic in b gives the 97.5 % point of Newey-West's t statistic on independent normal numbers."""
    rng = np.random.default_rng(11)
    width, seconds = 20, 200
    draws = rng.normal(size=(4_000, seconds))
    left = draws - draws.mean(axis=1, keepdims=True)
    padded = np.pad(np.cumsum(left, axis=1), ((0, 0), (width, width - 1)), mode="edge")
    padded[:, :width] = 0
    variance = ((padded[:, width:] - padded[:, :-width]) ** 2).sum(axis=1) / width
    ratio = np.abs(draws.sum(axis=1)) / np.sqrt(variance)
    b = width / seconds

    assert np.quantile(ratio, 0.95) == pytest.approx(
        1.96 + 2.9694 * b + 0.416 * b**2 - 0.5324 * b**3, rel=0.03
    )
