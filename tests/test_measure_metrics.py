from fractions import Fraction

import pytest

from loadproof.measure.metrics import METRICS, Unit, find_metric, percentile

STATISTICS = (
    "mean p50 p75 p90 p95 p99 p99.9 p99.99 max rate peak_rate error_ratio count users stall pacer_lag "
    "user_wait receive_lag check metric resource promql"
)


@pytest.mark.parametrize("name", STATISTICS.split())
def test_every_statistic_has_its_entry(name):
    """Each statistic of the rule grammar knows its unit, its good direction and what it means."""
    metric = find_metric(name)
    assert metric.name == name
    assert metric.unit in Unit
    assert metric.direction in (-1, 0, 1)
    assert metric.help[0].isupper()
    assert not metric.help.endswith(".")


def test_table_has_nothing_else():
    """The table and the percentiles are all there is."""
    assert set(METRICS) == {name for name in STATISTICS.split() if percentile(name) is None}


@pytest.mark.parametrize(
    ("name", "unit", "direction"),
    [
        ("p95", "us", -1),
        ("rate", "per_s", 1),
        ("error_ratio", "ratio", -1),
        ("check", "ratio", 1),
        ("users", "count", 0),
    ],
)
def test_units_and_directions(name, unit, direction):
    """Faster, more and fewer errors are better."""
    metric = find_metric(name)
    assert (metric.unit, metric.direction) == (unit, direction)


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("p50", Fraction(1, 2)),
        ("p95", Fraction(19, 20)),
        ("p99.9", Fraction(999, 1000)),
        ("p99.99", Fraction(9999, 10000)),
    ],
)
def test_percentile_is_exact(name, q):
    """A percentile's name is a fraction, never a float that is a little off."""
    assert percentile(name) == q


@pytest.mark.parametrize(
    "name", ["p49", "p100", "p99.999", "p9", "p", "p95.", "P95", "p-95", "p\u0669\u0665", "q95", "", "p95 "]
)
def test_other_names_are_no_percentile(name):
    """Only p50 to p99.99 belong to the family; anything else is unknown, not an empty result."""
    assert percentile(name) is None
    assert find_metric(name) is None


def test_resources_differ_in_unit():
    """CPU is a share, memory is bytes."""
    assert find_metric("resource", "target.cpu").unit is Unit.RATIO
    assert find_metric("resource", "target.memory").unit is Unit.BYTES
    assert find_metric("resource").argument == "name"
