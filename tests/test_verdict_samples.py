"""What was sampled during a run: PromQL and resources, over phases and windows, and what gaps leave open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import SECOND, phase, rule_of, run_of

from loadproof.plan.model import Prometheus
from loadproof.verdict.facts import Sample, Unsampled
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.result import RuleVerdict, Verdict

RULE = "promql(depth) <= 10"
LOAD = [phase("ramp", 10, 100, warmup=True), phase("steady", 20)]


def judged(rule, values, *, load=None, why=None, name="promql(depth)", times=None, prometheus=None):
    """A rule over one value a second from the run's zero; None is no value."""
    run = run_of(rule, load=load)
    run.plan = run.plan.model_copy(update={"prometheus": prometheus})
    times = range(len(values)) if times is None else times
    samples = tuple(
        Sample(round(at * SECOND), value)
        for at, value in zip(times, values, strict=True)
        if value is not None
    )
    run.facts["resources"] = {name: samples} if samples else {}
    if why is not None:
        run.facts["unsampled"] = {name: why}
    return run.judge()


def result(rule, values, **options):
    return rule_of(judged(rule, values, **options), str(parse_rule(rule)))


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("promql(depth) <= 10", 9),
        ("promql(depth) >= 1", 2),
        ("promql(depth) <= 10 for 1s", 9),
        ("promql(depth) >= 1 for 2s", 2.5),
        ("promql(depth) <= 10 for 2s", 8),
        ("promql(depth) <= 10 over 3s", 4),
        ("promql(depth) <= 3 within 2s", 2.5),
    ],
)
def test_the_worst_value_counts_and_over_a_window_the_mean(rule, value):
    """Highest under a cap, lowest under a floor; worst, best or last window's mean."""
    values = [3, 5, 7, 9, 7, 2, 3, 4, 5, 3] * 6
    found = result(rule, values)

    assert found.value == value
    assert found.verdict is RuleVerdict.PASS


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-50, 50), min_size=60, max_size=60),
    st.integers(1, 60),
    st.integers(-50, 50),
    st.sampled_from(["for", "within", "over"]),
    st.sampled_from(["<=", ">=", "<", ">"]),
)
def test_windows_agree_with_numpy(values, length, limit, kind, operator):
    """A window's mean, the worst, the best and the last of them, against numpy's."""
    sums = np.convolve(values, np.ones(length, dtype=int), "valid")
    broken = {
        "<=": sums > limit * length,
        ">=": sums < limit * length,
        "<": sums >= limit * length,
        ">": sums <= limit * length,
    }[operator]
    fails = {"for": broken.any(), "within": broken.all(), "over": broken[-1]}[kind]
    found = result(f"promql(depth) {operator} {limit} {kind} {length}s", values)

    assert found.verdict is (RuleVerdict.FAIL if fails else RuleVerdict.PASS)


def test_a_limit_is_kept_to_the_digit():
    """0.8 is 80 % exactly, though no binary fraction is; 0.8000000000000002 is above."""
    assert result("promql(depth) <= 80%", [0.8] * 60).verdict is RuleVerdict.PASS
    assert result("promql(depth) <= 80% for 7s", [0.8] * 60).verdict is RuleVerdict.PASS
    assert result("promql(depth) < 80%", [0.8] * 60).verdict is RuleVerdict.FAIL
    assert result("promql(depth) <= 80%", [0.8000000000000002] * 60).verdict is RuleVerdict.FAIL


def test_durations_are_seconds_of_prometheus():
    """0.25 of Prometheus is 250 ms."""
    assert result("promql(depth) <= 250ms", [0.25] * 60).verdict is RuleVerdict.PASS
    assert result("promql(depth) <= 250ms", [0.2500001] * 60).verdict is RuleVerdict.FAIL
    assert result("promql(depth) <= 250ms", [0.25] * 60).value == 250_000


def test_only_the_judged_phases_count():
    """Warm-up's values neither break a rule nor fill a gap; a phase by name is judged alone."""
    values = [99] * 10 + [1] * 20

    assert result(RULE, values, load=LOAD).verdict is RuleVerdict.PASS
    assert result("promql(depth){phase=ramp} <= 10", values, load=LOAD).verdict is RuleVerdict.FAIL
    assert result(RULE, [1] * 10 + [None] * 20, load=LOAD).verdict is RuleVerdict.NO_DATA


@pytest.mark.parametrize("rule", [RULE, f"{RULE} for 5s", f"{RULE} within 5s", f"{RULE} over 5s"])
@pytest.mark.parametrize(
    ("values", "place"),
    [
        ([1] * 30 + [None] * 30, "from 29s to 1m"),
        ([None] * 54 + [1] * 6, "from 0s to 54s"),
        ([1] * 20 + [None] * 10 + [1] * 30, "from 19s to 30s"),
    ],
)
def test_a_gap_is_no_data_with_its_times(rule, values, place):
    """Over 5 s without a value leave open what was there, and the run proves nothing; `over` minds the last window."""
    why = [Unsampled(at * SECOND, "nobody there") for at, value in enumerate(values) if value is None]
    judgement = judged(rule, values, why=tuple(why))
    found = rule_of(judgement, rule)

    if rule.endswith("over 5s") and values[-5:] == [1] * 5:
        assert found.verdict is RuleVerdict.PASS
        return
    assert found.verdict is RuleVerdict.NO_DATA
    assert judgement.verdict is Verdict.INVALID
    if "over" not in rule:
        assert f"had no value during the run {place} (nobody there)" in found.reason


def test_a_value_that_breaks_the_limit_outweighs_a_gap():
    """What was seen to be broken is FAIL, whatever was not seen."""
    values = [1] * 10 + [99] + [1] * 19 + [None] * 30
    judgement = judged(RULE, values)

    assert rule_of(judgement, RULE).verdict is RuleVerdict.FAIL
    assert judgement.verdict is Verdict.FAIL


def test_the_best_window_may_lie_in_a_gap():
    """`within` is not broken by windows that were seen, when one was not."""
    found = result("promql(depth) <= 10 within 5s", [99] * 30 + [None] * 30)

    assert found.verdict is RuleVerdict.NO_DATA


def test_five_seconds_between_values_are_no_gap():
    """A slow answer now and then leaves nothing open."""
    assert result(RULE, [1] * 13, times=range(0, 61, 5)).verdict is RuleVerdict.PASS
    assert result(RULE, [1] * 12, times=np.arange(0, 60.1, 5.4)).verdict is RuleVerdict.NO_DATA


@pytest.mark.parametrize(
    ("values", "why", "text"),
    [
        ([None] * 60, None, "was never sampled, as the plan names no Prometheus"),
        ([None] * 60, (Unsampled(0, "it gives no series"),), "never had a value: it gives no series"),
        ([85] * 60, None, "was sampled as 85, which is no share: write the limit in the unit of its result"),
    ],
)
def test_nothing_to_go_by_is_no_data_with_the_reason(values, why, text):
    """Never asked, never answered, or in another unit than the limit."""
    found = result("promql(depth) >= 80%", values, why=why)

    assert found.verdict is RuleVerdict.NO_DATA
    assert text in found.reason


def test_resources_of_a_prometheus_have_its_gaps():
    """A resource that Prometheus gives is as strict about gaps as PromQL; a local one minds 5 % of the time."""
    values, name = [0.5] * 20 + [None] * 8 + [0.5] * 32, "target.memory"
    known = Prometheus(url="http://a.test", resources={name: "x"})
    rule = "resource(target.memory) <= 80%"

    assert result(rule, values, name=name).verdict is RuleVerdict.PASS
    assert result(rule, values, name=name, prometheus=known).verdict is RuleVerdict.NO_DATA


def test_resources_have_windows():
    """Every 10 s' mean of a CPU share: the worst one is found where the whole mean is fine."""
    values = [0.1] * 30 + [0.9] * 10 + [0.1] * 20

    assert result("resource(target.cpu) <= 80%", values, name="target.cpu").verdict is RuleVerdict.PASS
    found = result("resource(target.cpu) <= 80% for 10s", values, name="target.cpu")
    assert found.verdict is RuleVerdict.FAIL
    assert "from second 30" in found.reason
    assert found.value == pytest.approx(0.9)
