"""For each kind of rule a run whose verdict is known beforehand, and that numpy and scipy come to as well."""

import numpy as np
import pytest
from clustered import (
    MEDIAN_US,
    REST_US,
    SIGMA,
    Clustered,
    Requests,
    checked,
    evidence_of,
    failing,
    latencies_around,
    latencies_together,
    results,
)
from made_runs import RUN_REGIONS, Request, make_run
from oracles import mean_verdict, quantile_verdict, share_verdict

from analyzer.report import analyse
from loadproof.measure.interval import Outcome

WARM_UP_S = 10
HOW = Clustered(300, 100, effect=5, memory=0.5)
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
SAMPLES = {"p95": 50, "p99": 300, "p99.9": 3_000}
"""Fewer than each needs to be bounded."""
PLANTED = {"PASS": 1.5, "WARN": 1.001, "FAIL": 0.9}
"""Verdict -> the limit, as so many times what was measured; a thousandth lies within the interval."""


def us_of(value):
    return f"{int(value)}us"


def all_of(requests):
    """Every latency, with its second."""
    rest = np.repeat(np.arange(len(requests.more)), requests.more)
    us = np.concatenate([requests.us, np.full(len(rest), REST_US)])
    return us, np.concatenate([requests.second, rest])


def word(evidence):
    return results(evidence)[0].verdict.name


def few(count):
    """So many requests, over a minute."""
    rng = np.random.default_rng(9)
    us = (MEDIAN_US * np.exp(SIGMA * rng.normal(size=count))).astype(np.int64)
    return Requests(rng.integers(0, 60, count), us, np.zeros(60, np.int64))


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("name", QUANTILES)
def test_percentiles(name, planted):
    """A limit far above, barely above or below the measured percentile, held against sorted latencies."""
    quantile = QUANTILES[name]
    how = Clustered(300, 100 if quantile < 0.99 else 2_000, effect=5, memory=0.5)
    requests = latencies_around(np.random.default_rng(4), how, quantile)
    us, second = all_of(requests)
    limit = int(np.quantile(us, quantile, method="inverted_cdf") * PLANTED[planted])

    assert quantile_verdict(us, second, 300, quantile, limit) == planted
    assert word(evidence_of(requests, (f"{name} <= {us_of(limit)}",))) == planted


@pytest.mark.parametrize("name", SAMPLES)
def test_percentiles_of_too_few_requests(name):
    """Too few to bound the percentile are NO DATA, however fast; a broken limit is FAIL all the same."""
    requests = few(SAMPLES[name])
    us, second = all_of(requests)
    value = np.quantile(us, QUANTILES[name], method="inverted_cdf")
    rules = tuple(f"{name} <= {us_of(value * factor)}" for factor in (9, 0.9))
    fast, slow, *_ = results(evidence_of(requests, rules))

    assert quantile_verdict(us, second, 60, QUANTILES[name], 9 * value) == "NO_DATA"
    assert (fast.verdict.name, slow.verdict.name) == ("NO_DATA", "FAIL")


@pytest.mark.parametrize("planted", PLANTED)
def test_means(planted):
    """The mean against its limit, with numpy's standard error of clustered values."""
    requests = latencies_together(np.random.default_rng(5), HOW)
    limit = int(requests.us.mean() * PLANTED[planted])

    assert mean_verdict(requests.us, requests.second, 300, limit) == planted
    assert word(evidence_of(requests, (f"mean <= {us_of(limit)}",))) == planted


@pytest.mark.parametrize("planted", PLANTED)
def test_error_ratios(planted):
    """The share of failed requests against scipy's beta quantiles."""
    limit = round(0.02 * {"PASS": 2, "WARN": 1.1, "FAIL": 0.8}[planted], 4)
    evidence = failing(np.random.default_rng(6), HOW, 0.02, (f"error_ratio <= {limit:.2%}",))
    rows = [table for _, table in sorted(evidence.seconds.items(), key=lambda item: item[0].series.outcome)]
    counts, errors = (sum(column(table, at) for table in rows) for at in (0, 2))

    assert share_verdict(errors, counts, limit, caps=True) == planted
    assert word(evidence) == planted


@pytest.mark.parametrize("planted", PLANTED)
def test_checks(planted):
    """The share of passed checks, from below."""
    limit = round(1 - 0.05 * {"PASS": 2, "WARN": 1.1, "FAIL": 0.8}[planted], 4)
    evidence = checked(np.random.default_rng(7), HOW, 0.05, (f"check(fresh) >= {limit:.2%}",))
    (table,) = evidence.check_seconds.values()
    passed, failed = column(table, 0), column(table, 1)

    assert share_verdict(passed, passed + failed, limit, caps=False) == planted
    assert word(evidence) == planted


@pytest.mark.parametrize(
    ("planted", "seconds", "factor"), [("PASS", 60, 0.99), ("WARN", 15, 0.99), ("FAIL", 60, 1.01)]
)
def test_rates(planted, seconds, factor):
    """Ok requests over the phase's length, exactly; fewer than 20 seconds leave a doubt."""
    requests = latencies_together(np.random.default_rng(8), Clustered(seconds, 100))
    rate = len(requests.us) / seconds * factor

    assert word(evidence_of(requests, (f"rate >= {rate:.6f}/s",))) == planted


@pytest.mark.parametrize(
    "rule", ["p95 <= 1s", "mean <= 1s", "error_ratio <= 1%", "check(fresh) >= 95%", "rate >= 1/s"]
)
def test_nothing_is_no_data(rule):
    """A run without a request shows nothing of any rule."""
    nothing = np.empty(0, np.int64)
    evidence = evidence_of(Requests(nothing, nothing, np.zeros(60, np.int64)), (rule,))
    evidence.totals.clear()
    evidence.seconds.clear()

    assert word(evidence) == "NO_DATA"


def column(table, at):
    rows = dict(table.items())
    return np.array([rows[second][at] if second in rows else 0 for second in range(300)])


@pytest.mark.parametrize("planted", PLANTED)
def test_the_whole_way(tmp_path, planted):
    """From requests through journals to the report: the same word as from the raw latencies."""
    found = latencies_together(np.random.default_rng(10), Clustered(40, 100, effect=5, memory=0.5))
    steady = found.second >= WARM_UP_S
    us, second = found.us[steady], found.second[steady] - WARM_UP_S
    limit = int(np.quantile(us, 0.95, method="inverted_cdf") * PLANTED[planted])
    rule = f"p95 <= {us_of(limit)}"
    requests = [
        Request(
            at,
            RUN_REGIONS[number % 2],
            "IntegrityUser",
            "GET",
            "/audit/chain",
            Outcome.OK,
            "steady" if at >= WARM_UP_S else "ramp",
            latency,
        )
        for number, (at, latency) in enumerate(zip(found.second.tolist(), found.us.tolist(), strict=True))
    ]
    report = analyse(make_run(tmp_path / "run", requests, rules=(rule,)))

    assert quantile_verdict(us, second, 30, 0.95, limit) == planted
    assert report.rules[0].verdict.name == planted
    assert report.rules[0].samples == len(us)
