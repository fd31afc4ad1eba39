"""Confidence intervals, held against numpy, scipy and simulated runs."""

from fractions import Fraction
from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadproof.verdict.intervals import (
    bandwidth,
    design_effect,
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
def test_the_design_effect_is_newey_wests_over_independent_requests(seconds):
    """Exact window sums equal the textbook sum of weighted autocovariances that numpy computes."""
    slow = np.array([min(pair) for pair in seconds])
    counts = np.array([max(pair) for pair in seconds])
    total, n = int(slow.sum()), int(counts.sum())
    found = design_effect(slow.tolist(), counts.tolist(), total)
    if total in {0, n}:
        assert found == 1
        return
    share = total / n
    left = slow - share * counts
    width = min(bandwidth(len(seconds)), len(seconds))
    variance = left @ left
    for lag in range(1, width):
        variance += 2 * (1 - lag / width) * (left[lag:] @ left[:-lag])
    b = width / len(seconds)
    critical = 1.96 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3
    expected = variance / (n * share * (1 - share)) * (critical / 1.96) ** 2

    assert float(found) == pytest.approx(max(1.0, expected), rel=1e-9)


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


def simulated_coverage(runs, correlation, seconds, seed):
    """How often the interval of a P95 holds the true one, in runs whose seconds share a mood.

    Latencies are lognormal; `correlation` is that of the logarithms of two requests of one second.
    """
    rng = np.random.default_rng(seed)
    truth = exp(stats.norm.ppf(0.95))
    held = 0
    for _ in range(runs):
        counts = rng.poisson(30, seconds)
        second = np.repeat(np.arange(seconds), counts)
        mood = rng.normal(0, sqrt(correlation), seconds)[second]
        latencies = np.exp(mood + rng.normal(0, sqrt(1 - correlation), len(second)))
        slow = np.bincount(second, latencies > truth, seconds).astype(int)
        effect = design_effect(slow.tolist(), counts.tolist(), int(slow.sum()))
        ranks = quantile_ranks(P95, len(latencies), effect)
        assert ranks is not None
        ordered = np.sort(latencies)
        held += ordered[max(ranks[0] - 1, 0)] <= truth <= ordered[ranks[1] - 1]
    return held / runs


# Where requests are independent the interval is a little wide: ranks are whole numbers, and an estimated
# effect below 1 counts as 1.
@pytest.mark.parametrize(("correlation", "most"), [(0, 0.98), (0.5, 0.97)])
def test_intervals_cover_the_true_quantile(correlation, most):
    """In 200 simulated runs the 95 % interval holds the true P95 in 93 to 97 %, also when seconds cluster."""
    assert 0.93 <= simulated_coverage(200, correlation, 300, seed=5) <= most


@pytest.mark.long
@pytest.mark.parametrize(
    ("correlation", "seconds", "most"), [(0, 300, 0.98), (0.3, 300, 0.97), (0.5, 600, 0.97), (0.8, 600, 0.97)]
)
def test_intervals_cover_the_true_quantile_in_many_runs(correlation, seconds, most):
    """The same over 1,000 runs, where chance moves the share by 0.7 % only."""
    assert 0.93 <= simulated_coverage(1_000, correlation, seconds, seed=17) <= most


@pytest.mark.long
@pytest.mark.parametrize("correlation", [0, 0.4])
def test_intervals_of_ratios_cover_the_true_share(correlation):
    """Clopper and Pearson's interval at n / effect holds the true error ratio in 93 to 97.5 % of runs."""
    rng = np.random.default_rng(23)
    held = 0
    for _ in range(1_000):
        counts = rng.poisson(40, 300)
        mood = np.clip(rng.normal(0, correlation, 300), -0.9, 0.9)
        errors = rng.binomial(counts, 0.05 * (1 + mood))
        effect = design_effect(errors.tolist(), counts.tolist(), int(errors.sum()))
        low, high = share_interval(int(errors.sum()), int(counts.sum()), effect)
        held += low <= 0.05 <= high

    assert 930 <= held <= 975


@pytest.mark.long
def test_intervals_of_means_cover_the_true_mean():
    """The mean's interval holds the true mean in 93 to 97.5 % of runs with clustered seconds."""
    rng = np.random.default_rng(29)
    held = 0
    for _ in range(1_000):
        counts = rng.poisson(20, 300)
        second = np.repeat(np.arange(300), counts)
        values = (1_000 * rng.gamma(4, 1, 300)[second] * rng.exponential(1, len(second))).astype(int)
        sums = np.bincount(second, values, 300).astype(int)
        squares = int((values.astype(object) ** 2).sum())
        effect = design_effect(sums.tolist(), counts.tolist(), squares)
        low, high = mean_interval(int(values.sum()), squares, len(values), effect)
        held += low <= 4_000 <= high

    assert 930 <= held <= 975
