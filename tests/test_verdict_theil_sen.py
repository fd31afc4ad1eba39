"""The slope of Theil and Sen with its interval, on series of which the truth is known: hundreds of seeds each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import theilslopes

from loadproof.verdict.theil_sen import LEAST_SAMPLES, Segment, TooFew, settled_from, trend

SEEDS = 60
LONG = 1_000


def alike(rng, n, rho):
    """Noise of variance 1 in which neighbours correlate by rho; a walk at random for 1."""
    steps = rng.normal(size=n)
    if rho == 1:
        return np.cumsum(steps)
    values = np.empty(n)
    values[0] = steps[0]
    for at in range(1, n):
        values[at] = rho * values[at - 1] + np.sqrt(1 - rho * rho) * steps[at]
    return values


def sawtooth(rng, n, teeth):
    """A collector of garbage that comes every n / teeth samples, with some noise."""
    period = n / teeth
    return (np.arange(n) + rng.uniform(0, period)) % period / period + rng.normal(0, 0.05, n)


def uneven_sawtooth(rng, n, teeth):
    """A collector that comes when it is full, of garbage that comes now faster and now slower."""
    values, level = [], rng.uniform()
    while len(values) < n:
        top = rng.uniform(0.8, 1.2)
        while level < top:
            values.append(level)
            level += teeth / n * rng.uniform(0.5, 1.5)
        level = rng.uniform(0, 0.1)
    return np.array(values[:n])


def warming(rng, n, noise=0.02):
    """Caches that fill, within a tenth of the run or less."""
    return 1 - np.exp(-np.arange(n) / (n * rng.uniform(0.02, 0.1))) + rng.normal(0, noise, n)


def high_water(rng, n):
    """What an allocator never gives back: the highest so far of a need that goes up and down."""
    return np.maximum.accumulate(rng.normal(size=n))


def steps(rng, n, number):
    """A few steps up at random times."""
    return np.searchsorted(np.sort(rng.integers(0, n, number)), np.arange(n), side="right").astype(float)


def stairs(rng, n, number):
    """A steady leak that takes memory from the system in so many arenas."""
    return np.floor(np.arange(n) / n * number + rng.uniform())


WITHOUT = {
    "noise": lambda rng, n: rng.normal(size=n),
    **{f"noise alike by {rho}": lambda rng, n, rho=rho: alike(rng, n, rho) for rho in (0.5, 0.8, 0.95)},
    "a walk at random": lambda rng, n: alike(rng, n, 1),
    **{
        f"{teeth} teeth": lambda rng, n, teeth=teeth: sawtooth(rng, n, teeth)
        for teeth in (2.5, 5, 10, 20, 40)
    },
    **{
        f"{teeth} uneven teeth": lambda rng, n, teeth=teeth: uneven_sawtooth(rng, n, teeth)
        for teeth in (5, 10, 20, 40)
    },
    "warm-up": warming,
    "warm-up without noise": lambda rng, n: warming(rng, n, 0),
    "high water": high_water,
    **{f"{number} steps": lambda rng, n, number=number: steps(rng, n, number) for number in (1, 2, 3)},
    "nothing": lambda _, n: np.zeros(n),
}
AS_LIKELY = {"a walk at random": 0.15, "noise alike by 0.95": 0.12, "noise alike by 0.8": 0.09}
"""How often growth may be found where there is none: 2.5 % by the interval's own promise, more where hardly any two
samples tell more than one of them, and each time what chance adds in so many seeds."""


def accused(series, n, seeds):
    found = 0
    for seed in range(seeds):
        values = series(np.random.default_rng([seed, n]), n)
        growth = trend([Segment(np.arange(n, dtype=float), values)], lowest=True)
        found += growth.low > 0
    return found / seeds


@pytest.mark.parametrize("n", [20, 60, 300])
@pytest.mark.parametrize("name", WITHOUT)
def test_what_does_not_grow_is_not_accused(name, n):
    """Neither noise nor a sawtooth, a warm-up, the high water of an allocator, or a few steps are a leak."""
    assert accused(WITHOUT[name], n, SEEDS) <= AS_LIKELY.get(name, 0.07)


@pytest.mark.long
@pytest.mark.parametrize("n", [40, 60, 300, 1800])
@pytest.mark.parametrize("name", WITHOUT)
def test_what_does_not_grow_is_not_accused_in_many_seeds(name, n):
    """As above, with ten times the seeds and runs of up to half an hour."""
    assert accused(WITHOUT[name], n, LONG) <= AS_LIKELY.get(name, 0.06)


LEAKS = {
    "noise": lambda rng, n: 0.15 * rng.normal(size=n),
    "noise alike by 0.5": lambda rng, n: 0.1 * alike(rng, n, 0.5),
    "5 teeth": lambda rng, n: sawtooth(rng, n, 5),
    "20 teeth": lambda rng, n: sawtooth(rng, n, 20),
    "40 uneven teeth": lambda rng, n: uneven_sawtooth(rng, n, 40),
    "warm-up": warming,
}
"""What a leak of 1 over the whole series is hidden in."""


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("name", LEAKS)
def test_what_grows_is_found(name, n):
    """A leak is found under noise, under a collector, and after a warm-up that is as large as itself."""
    assert accused(lambda rng, n: LEAKS[name](rng, n) + np.arange(n) / n, n, SEEDS) >= 0.75


@pytest.mark.parametrize("number", [5, 6, 12, 20, 60])
def test_a_leak_in_steps_is_a_leak(number):
    """A heap that grows arena by arena is found, if there are five of them or more."""
    assert accused(lambda rng, n: stairs(rng, n, number), 60, SEEDS) >= 0.95


@pytest.mark.parametrize("name", ["noise", "noise alike by 0.5", "10 teeth", "20 uneven teeth", "warm-up"])
@pytest.mark.parametrize("leak", [0, 0.5, 3])
def test_the_interval_holds_the_truth(name, leak):
    """In nine of ten series and more the 95 % interval holds the slope that the series were made with."""
    n, held = 300, 0
    for seed in range(SEEDS):
        values = WITHOUT[name](np.random.default_rng([seed, n]), n) + leak * np.arange(n) / n
        found = trend([Segment(np.arange(n, dtype=float), values)], lowest=True)
        held += found.low <= leak / n <= found.high

    assert held / SEEDS >= 0.85


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=LEAST_SAMPLES, max_size=50), st.floats(-1e3, 1e3))
def test_it_is_the_slope_of_scipy(values, tilt):
    """Of single samples it is `scipy.stats.theilslopes` of all that has settled, or of its last half if it slows down."""
    x = np.arange(len(values), dtype=float)
    y = np.array(values) + tilt * x
    found = trend([Segment(x, y)], lowest=False)
    begin = found.settled[0]
    if found.windows == len(values) - begin:
        half = begin + found.windows // 2
        slopes = [theilslopes(y[at:], x[at:])[0] for at in (begin, half)]
        assert any(found.slope == pytest.approx(slope, rel=1e-9, abs=1e-6) for slope in slopes)
    assert found.low <= found.slope <= found.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=40, max_size=40))
def test_segments_are_not_compared_with_each_other(values):
    """What lies between two segments, however high, changes nothing."""
    x = np.arange(20, dtype=float)
    one, other = (np.array(values[:20]) / 1e6 + 5 * x, np.array(values[20:]) / 1e6 + 5 * x)
    near = trend([Segment(x, one), Segment(x + 20, other)], lowest=True)
    far = trend([Segment(x, one), Segment(x + 20, other + 1e9)], lowest=True)

    assert near.slope == pytest.approx(far.slope, abs=1e-4)


def test_a_warm_up_is_left_out():
    """The time constants of a warm-up that matter are gone, and a straight line has none."""
    n = 400
    x = np.arange(n, dtype=float)
    fading = 100 * np.exp(-x / 15) + np.random.default_rng(1).normal(0, 0.1, n)

    assert 60 <= settled_from(Segment(x, -fading)) <= n // 2
    assert settled_from(Segment(x, 3 * x)) == 0
    assert settled_from(Segment(x, np.zeros(n))) == 0


def test_long_series_are_thinned():
    """Twelve hours of seconds take a moment, and their slope is that of the line they lie on."""
    n = 43_200
    found = trend([Segment(np.arange(n, dtype=float), 7.0 * np.arange(n))], lowest=True)

    assert found.slope == pytest.approx(7)
    assert found.windows <= 80


def test_a_step_is_the_least_that_is_not_told():
    """A count of files that never moved is not known better than one that moved once: by one file in all that time."""
    n = 60
    values = np.where(np.arange(n) < 40, 20.0, 21.0)
    found = trend([Segment(np.arange(n, dtype=float), values)], lowest=True)

    assert found.low < 0 < found.high


def test_too_few_samples_are_too_few():
    """Nineteen samples are one too few."""
    x = np.arange(19, dtype=float)

    assert trend([Segment(x, x)], lowest=True) == TooFew(19, 20)
    assert trend([], lowest=True) == TooFew(0, 20)


def test_a_segment_shorter_than_a_window_is_left_out():
    """Beside a long series, whose windows are long, a few samples of another process make none."""
    x = np.arange(600.0)
    long = Segment(x, 3 * x + 40 * np.sin(x / 30))
    few = Segment(np.arange(600.0, 603.0), np.array([7.0, 9.0, 8.0]))

    for segments in ((few, long), (long, few)):
        found = trend(segments, lowest=False)
        assert found.low <= 3 <= found.high
