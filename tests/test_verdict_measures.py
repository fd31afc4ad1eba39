"""Rates, counts, users, ratios, checks, metrics, resources and lags: known answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import SECOND, Run, phase, plan_of, rule_of, run_of
from scipy import stats

from loadproof.measure.interval import Outcome
from loadproof.plan.model import Region
from loadproof.verdict.facts import Sample
from loadproof.verdict.result import RuleVerdict, Verdict

FAST = 50_000


def verdicts(run):
    return {result.rule: result.verdict for result in run.judge().rules}


def test_rate_is_ok_requests_over_the_length_of_the_judged_phases():
    """Failures, warm-up and its requests stay out of the rate."""
    load = [phase("ramp", 20, 0, 100, warmup=True), phase("steady", 40)]
    run = Run(plan_of("rate >= 10/s", "error_ratio <= 50%", load=load))
    run.answer([FAST] * 10, range(20, 60)).answer([FAST] * 90, range(20))
    run.answer([1_000] * 5, range(20, 60), outcome=Outcome.FAILED)
    result = rule_of(run.judge(), "rate >= 10/s")

    assert result.value == 10
    assert result.verdict is RuleVerdict.PASS
    assert result.confidence is None


def test_a_rate_a_single_request_short_fails():
    """600 requests in 60 s are 10/s; 599 are not."""
    run = run_of("rate >= 10/s", latencies=[FAST] * 10)
    run.requests["eu-west-1-01"][3].pop()

    assert rule_of(run.judge(), "rate >= 10/s").verdict is RuleVerdict.FAIL


def test_a_rate_of_failures_only_is_zero_and_no_gap():
    """Where everything failed the ok rate is 0 and breaks its limit; where nothing was asked there is no data."""
    failed = run_of("rate >= 1/s", latencies=()).steadily([FAST], outcome=Outcome.FAILED)
    nothing = run_of("rate >= 1/s", latencies=())

    assert rule_of(failed.judge(), "rate >= 1/s").value == 0
    assert rule_of(failed.judge(), "rate >= 1/s").verdict is RuleVerdict.FAIL
    assert rule_of(nothing.judge(), "rate >= 1/s").verdict is RuleVerdict.NO_DATA
    assert "no request was made" in rule_of(nothing.judge(), "rate >= 1/s").reason


def test_peak_rate_is_the_best_ten_seconds_inside_a_phase():
    """A burst counts as far as ten seconds of one phase hold it, never across a phase's end."""
    load = [phase("one", 30), phase("two", 30)]
    run = Run(plan_of("peak_rate >= 30/s", load=load)).steadily([FAST] * 10)
    inside = Run(plan_of("peak_rate >= 30/s", load=load)).steadily([FAST] * 10)
    run.answer([FAST] * 20, range(25, 35))
    inside.answer([FAST] * 20, range(40, 50))

    assert rule_of(run.judge(), "peak_rate >= 30/s").value == 20
    assert rule_of(inside.judge(), "peak_rate >= 30/s").value == 30
    assert rule_of(inside.judge(), "peak_rate >= 30/s").verdict is RuleVerdict.PASS


def test_peak_rate_counts_what_ended_in_its_seconds():
    """A throughput asks when a request ended; that it began in warm-up does not matter."""
    load = [phase("ramp", 20, 100, warmup=True), phase("steady", 40)]
    run = Run(plan_of("peak_rate >= 20/s", load=load)).answer([FAST] * 10, range(20, 60))
    run.answer([FAST] * 10, range(20, 30), phase="ramp").answer([FAST] * 90, range(20))

    assert rule_of(run.judge(), "peak_rate >= 20/s").value == 20


def test_peak_rate_without_ten_full_seconds_is_no_data():
    """A phase of nine seconds has no peak rate."""
    run = run_of("peak_rate >= 1/s", load=[phase(seconds=9)])

    assert rule_of(run.judge(), "peak_rate >= 1/s").verdict is RuleVerdict.NO_DATA


def test_count_is_ok_requests_unless_an_outcome_is_named():
    """A count of failures at 0 is a census: kept without one, broken by one."""
    rules = ("count >= 1200", "count{outcome=failed} <= 0", "error_ratio <= 50%")
    clean, failed = run_of(*rules), run_of(*rules).answer([FAST], [5], outcome=Outcome.FAILED)

    assert verdicts(clean)["count >= 1200"] is RuleVerdict.PASS
    assert verdicts(clean)["count{outcome=failed} <= 0"] is RuleVerdict.PASS
    assert verdicts(failed)["count >= 1200"] is RuleVerdict.PASS
    assert verdicts(failed)["count{outcome=failed} <= 0"] is RuleVerdict.FAIL


def test_users_are_the_most_active_in_a_second():
    """Users are the highest second's average, from the workers' own user time."""
    judgement = run_of(
        "users >= 100", "users >= 101", load=[phase(seconds=60, users=50, users_to=101)]
    ).judge()

    assert rule_of(judgement, "users >= 100").verdict is RuleVerdict.PASS
    assert 100 < rule_of(judgement, "users >= 101").value < 101
    assert rule_of(judgement, "users >= 101").verdict is RuleVerdict.FAIL


@pytest.mark.parametrize(
    ("failed", "verdict"), [(0, RuleVerdict.PASS), (60, RuleVerdict.WARN), (61, RuleVerdict.FAIL)]
)
def test_the_error_ratio_is_decided_exactly(failed, verdict):
    """60 of 6,000 are 1 % and within, though too close to call; one more is not."""
    run = run_of("error_ratio <= 1%", latencies=[FAST] * 100)
    for number in range(failed):
        run.requests["eu-west-1-01"][number % 60][number // 60] = (FAST, Outcome.FAILED, {})
    result = rule_of(run.judge(), "error_ratio <= 1%")

    assert result.verdict is verdict
    assert result.samples == 6_000


def test_timeouts_and_late_unfinished_requests_are_errors():
    """Timeouts always, unfinished ones only past the stop timeout; all that were started are the whole."""
    run = run_of("error_ratio <= 50%", latencies=[FAST] * 10, stop_timeout_us=30 * SECOND)
    run.answer([FAST] * 60, [58], outcome=Outcome.TIMEOUT)
    run.answer([30 * SECOND] * 5, [59], outcome=Outcome.UNFINISHED)
    run.answer([29 * SECOND] * 7, [59], outcome=Outcome.UNFINISHED)
    result = rule_of(run.judge(), "error_ratio <= 50%")

    assert result.value == pytest.approx(65 / 672)


@pytest.mark.parametrize(
    ("rule", "limits", "expected"),
    [("p95 <= 1s", (1_000_000,), 30 * SECOND), ("p95 <= 20s", (20 * SECOND,), 40 * SECOND)],
)
def test_the_stop_timeout_defaults_to_twice_the_largest_limit(rule, limits, expected):
    """max(30 s, twice the largest limit), unless the plan says otherwise."""
    assert run_of(rule).evidence().stop_timeout_us == expected
    assert run_of(rule, stop_timeout_us=5 * SECOND).evidence().stop_timeout_us == 5 * SECOND


def test_warm_up_is_outside_error_and_rate_rules_but_inside_checks():
    """Errors of the warm-up do not count; its failed checks do."""
    load = [phase("ramp", 30, 100, warmup=True), phase("steady", 30)]
    run = Run(plan_of("error_ratio <= 1%", "check(compliance) >= 100%", load=load)).steadily([FAST] * 20)
    run.answer([FAST] * 20, range(30), outcome=Outcome.FAILED).check(5, 0, seconds=range(31, 60))
    run.check(0, 1, seconds=[3])
    found = verdicts(run)

    assert found["error_ratio <= 1%"] is RuleVerdict.PASS
    assert found["check(compliance) >= 100%"] is RuleVerdict.FAIL


@pytest.mark.parametrize(("failed", "verdict"), [(0, RuleVerdict.PASS), (1, RuleVerdict.FAIL)])
def test_a_census_passes_without_a_violation(failed, verdict):
    """`>= 100%` holds with no violation, whatever the exact bound shown; a single one breaks it."""
    run = run_of("check(compliance) >= 100%").check(1, 0, seconds=range(1, 5)).check(1, failed, seconds=[5])
    result = rule_of(run.judge(), "check(compliance) >= 100%")
    n = 5 + failed
    exact = stats.binomtest(5, n).proportion_ci(0.95, method="exact")

    assert result.verdict is verdict
    assert result.confidence == pytest.approx((exact.low, exact.high))


def test_a_share_over_few_seconds_is_warn_at_best():
    """Checks of 19 seconds have no interval, however many they are; a census needs none."""
    rules = ("check(compliance) >= 50%", "check(compliance) >= 100%")
    few, enough = run_of(*rules).check(100, seconds=range(19)), run_of(*rules).check(100, seconds=range(20))

    assert verdicts(few)[rules[0]] is RuleVerdict.WARN
    assert rule_of(few.judge(), rules[0]).confidence is None
    assert verdicts(enough)[rules[0]] is RuleVerdict.PASS
    assert verdicts(few)[rules[1]] is RuleVerdict.PASS


def test_a_census_needs_an_execution():
    """A check that never ran is NO_DATA, and so is one that was only ever skipped."""
    never = run_of("check(compliance) >= 100%").judge()
    skipped = run_of("check(compliance) >= 100%").check(0, 0, 3).judge()

    assert rule_of(never, "check(compliance) >= 100%").verdict is RuleVerdict.NO_DATA
    assert "never executed" in rule_of(never, "check(compliance) >= 100%").reason
    assert "all 180 checks were skipped" in rule_of(skipped, "check(compliance) >= 100%").reason
    assert never.verdict is skipped.verdict is Verdict.INVALID


@pytest.mark.parametrize(("skipped", "verdict"), [(1, RuleVerdict.PASS), (2, RuleVerdict.WARN)])
def test_checks_skipped_above_one_percent_are_warn(skipped, verdict):
    """60 of 6,000 skipped are within 1 %, 120 of 6,060 are not."""
    run = run_of("check(compliance) >= 95%").check(99, 0, skipped)
    result = rule_of(run.judge(), "check(compliance) >= 95%")

    assert result.verdict is verdict
    assert ("were skipped" in result.reason) is (verdict is RuleVerdict.WARN)


def test_a_check_is_judged_where_its_selector_says():
    """Region and scenario choose among a check's counts."""
    regions = (Region(name="eu-west-1"), Region(name="us-east-1"))
    rules = ("check(compliance){region=eu-west-1} >= 95%", "check(compliance){region=us-east-1} >= 95%")
    run = Run(
        plan_of(*rules, regions=regions),
        workers=(("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1")),
    ).steadily([FAST])

    def only_one_fails(worker, second, interval):
        from loadproof.measure.interval import CheckCounts, CheckKey

        counts = CheckCounts(10, 10 if worker.startswith("us") else 0)
        interval.checks[CheckKey("Reader", "compliance", "steady")] = counts

    found = verdicts(run.change(only_one_fails))

    assert found[rules[0]] is RuleVerdict.PASS
    assert found[rules[1]] is RuleVerdict.FAIL


def test_a_metric_is_the_mean_of_what_was_recorded():
    """Numbers of all scenarios and seconds weigh alike."""
    run = run_of("metric(lag) <= 2", "metric(lag) < 2", latencies=[FAST]).metric(1, 1, 4)

    assert rule_of(run.judge(), "metric(lag) <= 2").value == 2
    assert verdicts(run)["metric(lag) <= 2"] is RuleVerdict.PASS
    assert verdicts(run)["metric(lag) < 2"] is RuleVerdict.FAIL


def test_a_census_of_a_metric_looks_at_every_number():
    """A mean of 0 does not excuse a single loss."""
    kept = run_of("metric(lost) <= 0", latencies=[FAST]).metric(0, 0, name="lost")
    broken = run_of("metric(lost) <= 0", latencies=[FAST]).metric(-1, 1, name="lost")

    assert verdicts(kept)["metric(lost) <= 0"] is RuleVerdict.PASS
    assert verdicts(broken)["metric(lost) <= 0"] is RuleVerdict.FAIL


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_no_data(number):
    """What is not finite cannot be judged and must not pass."""
    run = run_of("metric(lag) <= 2", latencies=[FAST]).metric(1, 1).metric(number, seconds=[5])

    assert verdicts(run)["metric(lag) <= 2"] is RuleVerdict.NO_DATA


def test_a_metric_that_was_never_recorded_is_no_data():
    """Nothing recorded is no opportunity, never 0."""
    assert verdicts(run_of("metric(lag) <= 2"))["metric(lag) <= 2"] is RuleVerdict.NO_DATA


def sampled(rule, values, name, start=0, load=None):
    run = run_of(rule, load=load)
    samples = tuple(Sample((start + second) * SECOND, value) for second, value in enumerate(values))
    run.facts["resources"] = {name: samples}
    return rule_of(run.judge(), rule)


def test_cpu_is_judged_by_its_mean_and_anything_else_by_its_maximum():
    """One busy second does not break a CPU limit, one large second breaks a memory limit."""
    cpu = sampled("resource(target.cpu) <= 80%", [0.7] * 59 + [1.0], "target.cpu")
    memory = sampled("resource(target.rss) <= 1GB", [9e8] * 59 + [1.1e9], "target.rss")

    assert cpu.verdict is RuleVerdict.PASS
    assert cpu.value == pytest.approx(0.705)
    assert memory.verdict is RuleVerdict.FAIL
    assert memory.value == 1.1e9


def test_resources_are_judged_outside_warm_up():
    """Samples of the warm-up do not count."""
    load = [phase("ramp", 30, 100, warmup=True), phase("steady", 30)]
    result = sampled("resource(target.cpu) <= 80%", [1.0] * 30 + [0.5] * 30, "target.cpu", load=load)

    assert result.value == 0.5
    assert result.verdict is RuleVerdict.PASS


def test_a_resource_without_samples_is_no_data():
    """Never sampled, sampled only in warm-up, or with something that is no number: NO_DATA."""
    assert sampled("resource(target.cpu) <= 80%", [], "target.cpu").verdict is RuleVerdict.NO_DATA
    assert sampled("resource(target.cpu) <= 80%", [float("nan")], "target.cpu").verdict is RuleVerdict.NO_DATA
    load = [phase("ramp", 30, 100, warmup=True), phase("steady", 30)]
    assert (
        sampled("resource(target.cpu) <= 80%", [0.5] * 20, "target.cpu", load=load).verdict
        is RuleVerdict.NO_DATA
    )


def test_samples_that_end_early_do_not_prove_the_rest():
    """A sampler that died after 30 of 60 s is NO_DATA, unless the limit is broken already."""
    kept = sampled("resource(target.rss) <= 1GB", [5e8] * 30, "target.rss")
    broken = sampled("resource(target.rss) <= 1GB", [5e9] * 30, "target.rss")

    assert kept.verdict is RuleVerdict.NO_DATA
    assert "samples cover 39 s of the 60 s judged" in kept.reason
    assert broken.verdict is RuleVerdict.FAIL


def test_a_limit_in_another_unit_than_the_samples_is_no_data():
    """A share can never break a limit in bytes, so it must not keep it either."""
    share = sampled("resource(target.memory) <= 2GB", [0.5] * 60, "target.memory")
    size = sampled("resource(target.memory) <= 85%", [5e8] * 60, "target.memory")

    assert share.verdict is RuleVerdict.NO_DATA
    assert size.verdict is RuleVerdict.NO_DATA


def test_a_lag_statistic_is_its_p99():
    """One late timer in a hundred is within P99, two are not; nothing measured is NO_DATA."""
    for late, verdict in ((0, RuleVerdict.PASS), (1, RuleVerdict.FAIL)):

        def lag(worker, second, interval, late=late):
            interval.pacer_lag.record(1_000, 98)
            if late:
                interval.pacer_lag.record(4_000, 2)

        assert verdicts(run_of("pacer_lag <= 2ms").change(lag))["pacer_lag <= 2ms"] is verdict
    assert verdicts(run_of("receive_lag <= 2ms"))["receive_lag <= 2ms"] is RuleVerdict.NO_DATA


def test_what_only_the_open_model_has_is_no_data():
    """`user_wait` is refused with the reason, never 0."""
    result = rule_of(run_of("user_wait <= 1ms").judge(), "user_wait <= 1ms")

    assert result.verdict is RuleVerdict.NO_DATA
    assert "open model" in result.reason


def test_a_goal_range_includes_both_ends():
    """A goal of 50%..60% is reached at both ends and missed on both sides, which is WARN."""
    rule = "resource(target.cpu) <= 70%, goal 50%..60%"
    found = {
        value: sampled(rule, [value] * 60, "target.cpu").verdict
        for value in (0.4375, 0.5, 0.59375, 0.625, 0.75)
    }

    assert found == {
        0.4375: RuleVerdict.WARN,
        0.5: RuleVerdict.PASS,
        0.59375: RuleVerdict.PASS,
        0.625: RuleVerdict.WARN,
        0.75: RuleVerdict.FAIL,
    }


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 10_000))
def test_margins_have_the_sign_of_the_verdict(errors, fine, parts):
    """A broken limit has a negative margin, a kept one none."""
    from fractions import Fraction

    from loadproof.verdict.judge import _margin
    from loadproof.verdict.rule import Bound, Operator

    ratio = Fraction(errors, errors + fine)
    for operator in (Operator.AT_MOST, Operator.AT_LEAST):
        limit = Bound(operator, Fraction(parts, 10_000))
        margin = _margin(limit, float(ratio))
        if margin is None:
            assert parts == 0
        elif abs(margin) > 1e-9:
            assert (margin > 0) is limit.holds(ratio)
