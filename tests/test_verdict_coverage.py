"""Simulated runs with a known truth: intervals hold it as often as they say, and a broken limit does not pass.

`make test` judges a sample of each case against bounds that chance breaks once in a thousand, `make test-long` the
1,000 runs against 93 and 97 % themselves.
"""

import numpy as np
import pytest
from clustered import (
    Clustered,
    checked,
    evidence_of,
    failing,
    latencies_around,
    latencies_together,
    mean_us,
    quantile_us,
    results,
)
from scipy import stats

from loadproof.verdict.result import RuleVerdict

STATES = {
    "independent": {},
    "alike": {"effect": 20},
    "alike, with memory": {"effect": 20, "memory": 0.5},
    "alike, with long memory": {"effect": 20, "memory": 0.8},
}
RATES = {"p50": 100, "p95": 100, "p99": 400, "p99.9": 2_000, "mean": 100, "error_ratio": 100, "check": 100}
"""Requests a second: enough for what is asked, so that ten minutes hold some ten independent events."""
ERRORS, PASSED = 0.02, 0.95


def us(value):
    return f"{round(value)}us"


def quantile_of(name):
    return float(name.removeprefix("p")) / 100


def evidence(name, rng, how, limit):
    """One run's evidence, with one rule on what `name` says that has this limit."""
    if name == "error_ratio":
        return failing(rng, how, ERRORS, (f"error_ratio <= {limit:%}",))
    if name == "check":
        return checked(rng, how, 1 - PASSED, (f"check(fresh) >= {limit:%}",))
    if name == "mean":
        return evidence_of(latencies_together(rng, how), (f"mean <= {us(limit)}",))
    return evidence_of(latencies_around(rng, how, quantile_of(name)), (f"{name} <= {us(limit)}",))


def truth_of(name):
    fixed = {"error_ratio": ERRORS, "check": PASSED, "mean": mean_us()}
    return fixed[name] if name in fixed else quantile_us(quantile_of(name))


def judged(name, state, runs, limit, seconds=600, seed=1):
    rng = np.random.default_rng(seed)
    how = Clustered(seconds, RATES[name], **STATES[state])
    return [results(evidence(name, rng, how, limit))[0] for _ in range(runs)]


def held(name, state, runs):
    """(runs whose interval holds the truth, runs that had samples enough for one)."""
    truth = truth_of(name)
    shown = [result.confidence for result in judged(name, state, runs, truth) if result.confidence]
    # A latency is shown as the highest of its bucket, so the true lower end may lie a bucket further down.
    step = 0 if name in {"error_ratio", "check", "mean"} else truth / 1_024
    return sum(low - step <= truth <= high for low, high in shown), len(shown)


def at_most(share, runs, chance=0.001):
    """So many of the runs are too many for a share, but by this chance."""
    return int(stats.binom.ppf(1 - chance, runs, share))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", RATES)
def test_intervals_hold_the_truth(name, state):
    """Of 200 runs no fewer and no more hold it than chance makes of 93 to 97 %."""
    found, runs = held(name, state, 200)

    assert runs >= 190
    assert runs - found <= at_most(1 - 0.93, runs)
    assert found <= at_most(0.97, runs)


@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", RATES)
def test_intervals_hold_the_truth_in_93_to_97_percent(name, state):
    """Of 1,000 runs of ten minutes 930 to 970 hold it, and up to 980 where requests are independent.

    No effect below 1 is believed, so that one which is 1 is estimated a little above.
    """
    found, runs = held(name, state, 1_000)

    assert runs >= 950
    assert 0.93 <= found / runs <= (0.98 if state == "independent" else 0.97)


# A limit that the truth breaks by a quarter.
def broken_limit(name):
    return 1 - 1.25**-1 * (1 - PASSED) if name == "check" else truth_of(name) / 1.25


def let_pass(name, state, runs):
    """(runs that PASS, runs that PASS or WARN though their interval is narrower than what they miss the limit by)."""
    limit = broken_limit(name)
    gap = abs(truth_of(name) - limit)
    found = judged(name, state, runs, limit, seed=2)
    kept = [one for one in found if one.verdict in {RuleVerdict.PASS, RuleVerdict.WARN}]
    narrow = [one for one in kept if one.confidence and one.confidence[1] - one.confidence[0] < 2 * gap]
    return sum(one.verdict is RuleVerdict.PASS for one in kept), len(narrow)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", RATES)
def test_a_limit_broken_by_a_quarter_does_not_pass(name, state):
    """No more of 60 runs let it pass than the interval's own error and chance allow: 2.5 % on that side."""
    passed, kept = let_pass(name, state, 60)

    assert passed <= at_most(0.025, 60)
    assert kept <= at_most(0.025, 60)


@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", RATES)
def test_a_limit_broken_by_a_quarter_does_not_pass_in_1000_runs(name, state):
    """The same of 1,000 runs."""
    passed, kept = let_pass(name, state, 1_000)

    assert passed <= at_most(0.025, 1_000)
    assert kept <= at_most(0.025, 1_000)
