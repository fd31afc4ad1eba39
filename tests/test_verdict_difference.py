"""What a difference between runs is worth: held against Welch's test, closed testing and simulated runs."""

from itertools import combinations
from math import inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from loadproof.verdict.compared import Word
from loadproof.verdict.difference import (
    ALPHA,
    Difference,
    Estimate,
    as_change,
    as_difference,
    conclude,
    difference,
    estimate,
    holm,
    mean_of,
    noise,
    stated_noise,
)


def symmetric(mean, sd, n):
    """A mean with its t interval, as an Estimate."""
    half = stats.t.ppf(0.975, n - 1) * sd / sqrt(n)
    return Estimate(mean, mean - half, mean + half, n - 1)


@given(
    means=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    sds=st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)),
    n=st.integers(4, 60),
)
def test_with_equal_sides_and_no_noise_it_is_close_to_welch(means, sds, n):
    """Of two means with t intervals the chance is Welch's, or larger: each side's own t makes it careful."""
    found = difference(symmetric(means[0], sds[0], n), symmetric(means[1], sds[1], n), 0.0)
    welch = stats.ttest_ind_from_stats(means[0], sds[0], n, means[1], sds[1], n, equal_var=False).pvalue

    assert found.value == pytest.approx(means[0] - means[1])
    assert found.p >= welch * (1 - 1e-9) - 1e-12
    assert sqrt(found.p) <= sqrt(welch) + 0.12
    assert found.low <= found.value <= found.high


def test_a_side_that_is_certain_leaves_welch_exactly():
    """With no spread on one side the chance is that of one sample against a number."""
    sample = symmetric(1.3, 0.8, 12)
    found = difference(sample, Estimate(1.0, 1.0, 1.0, 50), 0.0)
    t = (1.3 - 1.0) / (0.8 / sqrt(12))

    assert found.p == pytest.approx(2 * stats.t.sf(t, 11))
    assert (found.low, found.high) == pytest.approx((sample.low - 1.0, sample.high - 1.0))


def test_noise_is_taken_off_before_chance_is_asked():
    """A difference up to the noise has chance 1 whatever its interval; beyond it only the rest counts."""
    run, baseline = symmetric(1.2, 0.1, 40), symmetric(1.0, 0.1, 40)

    assert difference(run, baseline, 0.2).p == 1.0
    assert difference(run, baseline, 0.15).p == pytest.approx(
        difference(symmetric(1.05, 0.1, 40), baseline, 0.0).p
    )


def test_a_bound_that_is_not_known_is_infinitely_far():
    """Without an upper end a run may be any slower, so it is not shown to be faster than it seems; no NaN comes of it."""
    run = estimate(100.0, 90.0, inf, 30, relative=True)
    baseline = estimate(200.0, 190.0, 210.0, 30, relative=True)
    found = difference(run, baseline, 0.0)

    assert found.p == 1.0
    assert found.high == inf
    assert difference(baseline, run, 0.0).p == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_by_bonferroni(chances):
    """Each adjusted chance is the largest Bonferroni chance of all sets that hold it (Marcus, Peritz, Gabriel 1976)."""
    every = range(len(chances))
    expected = [
        max(
            min(1.0, size * min(chances[index] for index in chosen))
            for size in range(1, len(chances) + 1)
            for chosen in combinations(every, size)
            if one in chosen
        )
        for one in every
    ]

    assert holm(chances) == pytest.approx(expected)


def test_one_baseline_has_the_stated_noise():
    """Nothing was repeated, so nothing else is known."""
    assert noise(log(1.05), [3.7]) == pytest.approx(log(1.05))


def test_repeated_baselines_outweigh_the_stated_noise():
    """Fifty that lie apart by a tenth of it, or ten times as far, give their own prediction interval."""
    random = np.random.default_rng(3)
    for sd in (0.002, 0.2):
        values = random.normal(5, sd, 50)
        own = stats.t.ppf(0.975, 49) * values.std(ddof=1) * sqrt(1 + 1 / 50)
        assert noise(log(1.05), list(values)) == pytest.approx(own, rel=0.9 if sd < 0.01 else 0.1)


def test_noise_covers_the_next_run():
    """Where the stated noise is right, the next run lies within it in 95 of 100 cases, after any number of baselines."""
    random = np.random.default_rng(11)
    sd = 0.05 / (stats.t.ppf(0.975, 4) * sqrt(2))
    for count in (1, 3, 8):
        runs = random.normal(0, sd, (4_000, count + 1))
        inside = np.mean([abs(row[-1] - row[:-1].mean()) <= noise(0.05, list(row[:-1])) for row in runs])
        assert inside >= 0.945


def test_several_baselines_are_their_mean():
    """Independent intervals shrink with the root of their number; the middle is the mean."""
    found = mean_of([Estimate(1.0, 0.8, 1.4, 10), Estimate(3.0, 2.8, 3.4, 20)])

    assert found.value == 2.0
    assert found.value - found.low == pytest.approx(0.2 / sqrt(2))
    assert found.high - found.value == pytest.approx(0.4 / sqrt(2))
    assert found.freedom == 30


@pytest.mark.parametrize(
    ("low", "value", "high", "adjusted", "word"),
    [
        (0.08, 0.10, 0.12, 0.001, Word.WORSE),
        (-0.12, -0.10, -0.08, 0.001, Word.BETTER),
        (-0.01, 0.01, 0.03, 1.0, Word.SAME),
        (0.02, 0.06, 0.099, 1.0, Word.SAME),
        (-0.05, 0.03, 0.11, 1.0, Word.CANNOT_TELL),
        (0.051, 0.07, 0.09, 0.2, Word.CANNOT_TELL),
    ],
)
def test_the_word_follows_from_interval_noise_and_chance(low, value, high, adjusted, word):
    """Beyond the noise of 5 % by more than chance, within twice of it, or neither; more is worse here."""
    found = conclude(Difference(value, low, high, adjusted), 0.05, adjusted, more_is_worse=True)

    assert found is word
    turned = conclude(Difference(-value, -high, -low, adjusted), 0.05, adjusted, more_is_worse=False)
    assert turned is word


@given(st.floats(-0.99, 20))
def test_a_change_is_its_difference_there_and_back(change):
    """Relative changes are differences of logarithms, those of shares differences."""
    assert as_change(as_difference(change, relative=True), relative=True) == pytest.approx(change)
    assert as_change(as_difference(change, relative=False), relative=False) == change


def test_false_alarms_of_a_whole_comparison_are_rare():
    """Forty statistics of one build, runs apart by the stated noise, seconds by their intervals: at most 1 in 20 alarms."""
    random = np.random.default_rng(17)
    beyond = stated_noise("p50")
    sd_between = beyond / (stats.t.ppf(0.975, 4) * sqrt(2))
    alarms = 0
    for _ in range(150):
        chances = []
        for _ in range(40):
            sides = []
            for _ in range(2):
                level = random.normal(0, sd_between)
                sample = random.normal(level, 0.05, 8)
                sides.append(symmetric(sample.mean(), sample.std(ddof=1), 8))
            chances.append(difference(*sides, noise(beyond, [0.0])).p)
        alarms += min(holm(chances)) <= ALPHA

    assert alarms <= stats.binom.ppf(0.999, 150, ALPHA)


def test_the_stated_noise_grows_towards_the_tail():
    """The median is the steadiest percentile, and shares are compared in points."""
    stated = [stated_noise(name) for name in ("p50", "p95", "p99", "p99.9")]

    assert stated == sorted(stated)
    assert stated[0] < stated[1] < stated[2]
    assert stated_noise("error_ratio") == 0.005
