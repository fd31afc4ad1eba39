"""Change points in series of runs, against every permutation and planted levels."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loadproof.verdict.change_points import change_points


def largest_difference(ranks):
    """Pettitt's K, written as his definition has it: sums of signs over all pairs across a point."""
    n = len(ranks)
    return max(
        abs(sum(np.sign(ranks[i] - ranks[j]) for i in range(at) for j in range(at, n))) for at in range(1, n)
    )


def test_the_chance_is_that_of_all_permutations():
    """For seven runs, the largest difference is as likely as counting all 5,040 orders says."""
    every = [largest_difference(order) for order in permutations(range(7))]
    values = [1, 2, 3, 10, 11, 12, 13]
    exact = sum(one >= largest_difference(values) for one in every) / len(every)
    [found] = change_points(values, 0.1)

    assert found.index == 3
    assert found.p == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("size", [20, 60])
def test_a_planted_change_is_found_where_it_is(size):
    """Ten percent more from the middle on, with runs apart by 3 %: found within two runs of it."""
    random = np.random.default_rng(size)
    values = random.normal(100, 3, size) * np.where(np.arange(size) < size // 2, 1, 1.1)
    [found] = change_points(list(values), 0.01)

    assert abs(found.index - size // 2) <= 2
    assert found.p <= 0.01


def test_two_changes_are_found_apart():
    """Up and back again: each part is searched by itself."""
    random = np.random.default_rng(5)
    levels = np.repeat([100.0, 120.0, 100.0], 15)
    found = change_points(list(random.normal(levels, 2)), 0.01)

    assert [point.index for point in found] == pytest.approx([15, 30], abs=1)


def test_a_run_that_went_astray_is_no_change():
    """One value a hundred times the others has a rank, not a weight."""
    values = [100.0 + (7 * index) % 11 for index in range(30)]
    values[12] = 10_000.0

    assert change_points(values, 0.05) == []


def test_what_never_changed_is_seldom_called_changed():
    """Of 400 series without a change, no more than the level allows."""
    random = np.random.default_rng(23)
    alarms = sum(bool(change_points(list(random.normal(size=24)), 0.05)) for _ in range(400))

    assert alarms <= stats.binom.ppf(0.999, 400, 0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=25))
def test_only_the_order_of_values_counts(values):
    """The same changes on any scale, none in equal or too few values, and the same again."""
    found = change_points(values, 0.05)

    assert found == change_points([float(value) ** 3 for value in values], 0.05)
    assert found == change_points(values, 0.05)
    if len(set(values)) < 2 or len(values) < 4:
        assert found == []
