"""Latency rules: who counts, how a limit is decided, and when the evidence is too thin."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import Run, codes, phase, plan_of, rule_of, run_of

from loadproof.measure.interval import Outcome
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge
from loadproof.verdict.latencies import Counted
from loadproof.verdict.result import RuleVerdict, Verdict

FAST = 50_000
SLOW = 150_000
LIMIT = "p95 <= 100ms"


def test_a_run_that_keeps_everything_passes():
    """Every limit kept with room, all load offered and both books closed is PASS without a reason."""
    judgement = run_of(LIMIT).judge()

    assert judgement.verdict is Verdict.PASS
    assert judgement.reasons == ()


@pytest.mark.parametrize(("slow", "verdict"), [(60, RuleVerdict.WARN), (61, RuleVerdict.FAIL)])
def test_the_exact_rank_decides(slow, verdict):
    """Of 1,200 requests 60 may be beyond a P95 limit; one more breaks it, however wide the interval is."""
    run = run_of(LIMIT)
    for second in range(slow):
        run.requests["eu-west-1-01"][second % 60][second // 60] = (SLOW, Outcome.OK, {})
    result = rule_of(run.judge(), LIMIT)

    assert result.verdict is verdict
    assert result.samples == 1_200
    low, high = result.confidence
    assert low == pytest.approx(FAST, rel=0.001)
    assert high == pytest.approx(SLOW, rel=0.001)
    assert str(slow) in result.reason


def test_a_limit_broken_by_a_hair_is_fail_with_a_wide_interval():
    """The value lies one microsecond above the limit, the interval on both sides of it: FAIL."""
    run = run_of(LIMIT, latencies=[*[60_000] * 19, 200_000])
    run.requests["eu-west-1-01"][7][0] = (100_001, Outcome.OK, {})
    result = rule_of(run.judge(), LIMIT)

    assert result.verdict is RuleVerdict.FAIL
    assert result.value == pytest.approx(100_001, rel=0.001)
    assert result.confidence[0] < 100_000 < result.confidence[1]
    assert result.margin < 0


def test_a_limit_kept_inside_the_interval_is_warn():
    """The value keeps the limit, but the interval's upper end does not: too close to call."""
    latencies = [*[60_000] * 18, 100_000, 200_000]
    judgement = run_of(LIMIT, latencies=latencies).judge()
    result = rule_of(judgement, LIMIT)

    assert result.verdict is RuleVerdict.WARN
    assert result.value == 100_000
    assert "too close to call" in result.reason
    assert judgement.verdict is Verdict.WARN


def test_exact_counts_decide_where_a_bucket_straddles_the_limit():
    """Latencies a microsecond to either side of the limit share a bucket and are still told apart."""
    kept = rule_of(run_of("p95 <= 2s", latencies=[2_000_000] * 20).judge(), "p95 <= 2s")
    broken = rule_of(run_of("p95 <= 2s", latencies=[2_000_001] * 20).judge(), "p95 <= 2s")

    assert kept.verdict is RuleVerdict.PASS
    assert kept.value == 2_000_000
    assert broken.verdict is RuleVerdict.FAIL
    assert broken.value > 2_000_000


def test_a_limit_that_was_not_counted_is_decided_by_bounds_or_warned_of():
    """A rule given after the run goes by the histogram's bounds: sure on either side, WARN in between."""
    run = run_of("p95 <= 5s", latencies=[1_990_000, 2_000_001] * 10)
    evidence = run.evidence()
    verdicts = {}
    for text in ("p95 <= 1s", "p95 <= 2s", "p95 <= 2001ms", "p95 <= 3s"):
        judgement = judge(run.plan, [parse_rule(text)], evidence, run.run_facts())
        verdicts[text] = rule_of(judgement, str(parse_rule(text)))

    assert verdicts["p95 <= 1s"].verdict is RuleVerdict.FAIL
    assert verdicts["p95 <= 2s"].verdict is RuleVerdict.WARN
    assert "straddles" in verdicts["p95 <= 2s"].reason
    assert verdicts["p95 <= 3s"].verdict is RuleVerdict.PASS


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.sampled_from(["0.5", "0.9", "0.95", "0.99", "0.999", "1"]),
    st.sampled_from(["<=", "<", ">=", ">"]),
    st.integers(1, 40),
)
def test_a_quantile_is_numpys_inverted_cdf(values, quantile, operator, limit):
    """Counts over the limit decide exactly as numpy's inverted_cdf quantile compared with the limit does."""
    bound = parse_rule(f"p50 {operator} {limit}us").limit
    counted = Counted(len(values), sum(value > bound.counted_us for value in values), 0)
    # A hair less than q keeps the float product off the next rank.
    expected = np.quantile(np.array(values), float(quantile) - 1e-12, method="inverted_cdf")

    assert counted.kept(Fraction(quantile), bound) is bound.holds(int(expected))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(100, 10**7), min_size=20, max_size=40), st.randoms(use_true_random=False))
def test_a_hair_below_the_value_always_fails(latencies, random):
    """Whatever the latencies, a limit one microsecond below the P95 is FAIL and the P95 itself is not."""
    ordered = sorted(latencies * 60)
    truth = ordered[-(-len(ordered) * 95 // 100) - 1]
    run = run_of(f"p95 <= {truth - 1}us", f"p95 <= {truth}us", latencies=latencies)
    for ended in run.requests["eu-west-1-01"].values():
        random.shuffle(ended)
    first, second, *_ = run.judge().rules

    assert first.verdict is RuleVerdict.FAIL
    assert second.verdict is not RuleVerdict.FAIL


def test_timeouts_are_slower_than_any_limit():
    """A timeout counts as beyond the limit although the client gave up earlier than that."""
    judgement = (
        run_of("p90 <= 10s", "error_ratio <= 50%", latencies=[FAST] * 17)
        .steadily([1_000_000] * 3, outcome=Outcome.TIMEOUT)
        .judge()
    )
    result = rule_of(judgement, "p90 <= 10s")

    assert result.verdict is RuleVerdict.FAIL
    assert result.value == float("inf")
    assert result.margin is None
    assert "180 of 1,200" in result.reason


def test_failed_requests_are_no_latency():
    """Fast refusals neither help nor harm a percentile; the implied error rule takes them."""
    judgement = run_of(LIMIT, latencies=[SLOW] * 2).steadily([1_000] * 98, outcome=Outcome.FAILED).judge()

    assert rule_of(judgement, LIMIT).verdict is RuleVerdict.FAIL
    assert rule_of(judgement, LIMIT).samples == 120
    assert rule_of(judgement, "error_ratio <= 1%").verdict is RuleVerdict.FAIL


def test_unfinished_requests_older_than_the_limit_are_slow():
    """What was still in flight past the limit counts as slower than it."""
    run = run_of("p95 <= 1s", "error_ratio <= 50%", latencies=[FAST] * 19)
    run.answer([1_500_000] * 61, [59], outcome=Outcome.UNFINISHED)
    result = rule_of(run.judge(), "p95 <= 1s")

    assert result.verdict is RuleVerdict.FAIL
    assert result.samples == 19 * 60 + 61


def test_unfinished_requests_younger_than_the_limit_are_left_out_and_counted():
    """Up to (1-q)/10 of the samples may be left out; they are named."""
    run = run_of(LIMIT, latencies=[FAST] * 20).answer([90_000] * 6, [59], outcome=Outcome.UNFINISHED)
    judgement = run.judge()
    result = rule_of(judgement, LIMIT)

    assert result.verdict is RuleVerdict.PASS
    assert result.samples == 1_200
    assert "6 left out" in result.reason


def test_too_many_left_out_is_no_data():
    """Above (1-q)/10 of a rule's samples it is NO_DATA, and the run INVALID."""
    run = run_of(LIMIT, latencies=[FAST] * 20).answer([90_000] * 7, [59], outcome=Outcome.UNFINISHED)
    judgement = run.judge()
    result = rule_of(judgement, LIMIT)

    assert result.verdict is RuleVerdict.NO_DATA
    assert "7 of 1,207 requests were ended by us" in result.reason
    assert judgement.verdict is Verdict.INVALID


def test_left_out_requests_do_not_hide_a_broken_limit():
    """A limit that is broken even with all left-out requests fast is FAIL, not NO_DATA."""
    run = run_of(LIMIT, latencies=[SLOW] * 20).answer([90_000] * 30, [59], outcome=Outcome.UNFINISHED)

    assert rule_of(run.judge(), LIMIT).verdict is RuleVerdict.FAIL


def test_left_out_requests_that_could_keep_a_limit_make_it_no_data():
    """Broken by what was measured, but not if the many that we ended had been fast: nobody can tell."""
    run = run_of(LIMIT, latencies=[FAST] * 20).answer([90_000] * 100, [59], outcome=Outcome.UNFINISHED)
    for second in range(61):
        run.requests["eu-west-1-01"][second % 60][second // 60] = (SLOW, Outcome.OK, {})

    assert rule_of(run.judge(), LIMIT).verdict is RuleVerdict.NO_DATA


@pytest.mark.parametrize(("left_out", "verdict"), [(12, RuleVerdict.PASS), (13, RuleVerdict.NO_DATA)])
def test_a_mean_can_spare_one_request_in_a_hundred(left_out, verdict):
    """12 of 1,200 may be left out of a mean, 13 of 1,201 not."""
    run = run_of("mean <= 100ms", latencies=[FAST] * 20)
    run.requests["eu-west-1-01"][0] = [(FAST, Outcome.OK, {})] * 8
    run.answer([90_000] * left_out, [59], outcome=Outcome.UNFINISHED)

    assert rule_of(run.judge(), "mean <= 100ms").verdict is verdict


def test_a_maximum_can_spare_no_request():
    """A single left-out request makes `max` NO_DATA, a single slow one FAIL."""
    run = run_of("max <= 100ms")
    left_out = run_of("max <= 100ms").answer([90_000], [30], outcome=Outcome.UNFINISHED)
    slow = run_of("max <= 100ms").answer([100_001], [30])

    assert rule_of(run.judge(), "max <= 100ms").verdict is RuleVerdict.PASS
    assert rule_of(left_out.judge(), "max <= 100ms").verdict is RuleVerdict.NO_DATA
    assert rule_of(slow.judge(), "max <= 100ms").verdict is RuleVerdict.FAIL


@pytest.mark.parametrize(("quantile", "needed"), [("p95", 72), ("p99", 368), ("p99.9", 3_688)])
def test_too_few_samples_are_no_data(quantile, needed):
    """One sample short of a finite bound is NO_DATA with `n of m samples`, and the run INVALID."""
    rule = f"{quantile} <= 100ms"
    few, enough = run_of(rule, latencies=()), run_of(rule, latencies=())
    for run, count in ((few, needed - 1), (enough, needed)):
        for number in range(count):
            run.answer([FAST], [number % 60])
    judgement = few.judge()
    result = rule_of(judgement, rule)

    assert result.verdict is RuleVerdict.NO_DATA
    assert f"{needed - 1:,} of {needed:,} samples" in result.reason
    assert judgement.verdict is Verdict.INVALID
    assert rule_of(enough.judge(), rule).verdict is RuleVerdict.PASS


def test_a_broken_limit_needs_no_number_of_samples():
    """Ten requests beyond the limit are FAIL: no small sample turns a broken limit into anything else."""
    run = run_of(LIMIT, latencies=()).answer([SLOW] * 10, [5])

    assert rule_of(run.judge(), LIMIT).verdict is RuleVerdict.FAIL


def test_clustered_slow_requests_need_more_samples():
    """Slow requests that all came in one second tell little about others: the needed count grows."""
    run = run_of(LIMIT, latencies=[FAST] * 20)
    run.requests["eu-west-1-01"][30] = [(SLOW, Outcome.OK, {})] * 20
    result = rule_of(run.judge(), LIMIT)

    assert result.verdict is RuleVerdict.NO_DATA
    assert "1,200 of" in result.reason
    assert "came together" in result.reason


def test_whether_samples_are_enough_is_asked_at_the_limit():
    """Seconds that are slow together, but far below the limit, leave no doubt of it; the shown interval is wide."""
    rules = ("p95 <= 2s", "p90 <= 20ms")
    load, slow = [phase(seconds=120)], {0, 7, 30, 71, 90, 101}
    run = Run(plan_of(*rules, load=load)).answer([10_000] * 20, set(range(120)) - slow)
    run.answer([25_000] * 20, slow)
    judgement = run.judge()
    alone = Run(plan_of("p95 <= 2s", load=load))
    alone.requests = run.requests

    assert rule_of(judgement, "p95 <= 2s").verdict is RuleVerdict.PASS
    assert rule_of(judgement, "p95 <= 2s").confidence[1] <= 25_100
    assert rule_of(judgement, "p90 <= 20ms").verdict is RuleVerdict.WARN
    assert rule_of(alone.judge(), "p95 <= 2s").verdict is RuleVerdict.PASS


def test_under_20_seconds_there_is_no_interval_and_warn_at_best():
    """19 non-empty seconds of ample samples give no interval and no PASS; 20 give both."""
    results = []
    for seconds in (19, 20):
        run = Run(plan_of(LIMIT, load=[phase(seconds=60)])).answer([FAST] * 100, range(seconds))
        results.append(rule_of(run.judge(), LIMIT))

    assert [result.verdict for result in results] == [RuleVerdict.WARN, RuleVerdict.PASS]
    assert results[0].confidence is None
    assert "only 19 seconds have samples" in results[0].reason


def test_a_missed_goal_is_warn():
    """The limit is kept and the goal is not."""
    rule = "p95 <= 100ms, goal < 50ms"
    missed = rule_of(run_of(rule, latencies=[50_000] * 20).judge(), rule)
    reached = rule_of(run_of(rule, latencies=[49_999] * 20).judge(), rule)

    assert missed.verdict is RuleVerdict.WARN
    assert "goal < 50ms is missed" in missed.reason
    assert reached.verdict is RuleVerdict.PASS


def test_strict_limits_exclude_their_own_value():
    """`< 100ms` is broken by exactly 100 ms, `<= 100ms` is not."""
    judgement = run_of("p95 < 100ms", LIMIT, latencies=[100_000] * 20).judge()

    assert rule_of(judgement, "p95 < 100ms").verdict is RuleVerdict.FAIL
    assert rule_of(judgement, LIMIT).verdict is RuleVerdict.PASS


def test_lower_limits_look_the_other_way():
    """`p50 >= 10ms` is kept by slow requests and broken by fast ones."""
    rules = ("p50 >= 10ms", "p50 > 50ms")
    judgement = run_of(*rules, latencies=[FAST] * 20).judge()

    assert rule_of(judgement, rules[0]).verdict is RuleVerdict.PASS
    assert rule_of(judgement, rules[1]).verdict is RuleVerdict.FAIL


def test_warm_up_is_outside_latency_rules():
    """Slow requests that began in warm-up do not count, even where they ended after it."""
    load = [phase("ramp", 30, 0, 100, warmup=True), phase("steady", 30)]
    run = Run(plan_of(LIMIT, load=load))
    run.answer([FAST] * 20, range(30, 60)).answer([SLOW] * 20, range(30))
    run.answer([SLOW] * 20, range(30, 60), phase="ramp")
    result = rule_of(run.judge(), LIMIT)

    assert result.verdict is RuleVerdict.PASS
    assert result.samples == 600


def test_a_phase_in_the_selector_judges_that_phase():
    """Named explicitly, warm-up is judged as well."""
    load = [phase("ramp", 30, 100, warmup=True), phase("steady", 30)]
    rule = "p95{phase=ramp} <= 100ms"
    run = Run(plan_of(rule, load=load)).answer([SLOW] * 20, range(30)).answer([FAST] * 20, range(30, 60))

    assert rule_of(run.judge(), rule).verdict is RuleVerdict.FAIL


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ("scenario=Writer", 60),
        ("name=/a b", 60),
        ("method=PUT", 60),
        ("outcome=ok", 1_260),
        ("region=eu-west-1", 1_260),
    ],
)
def test_selectors_take_what_they_name(selector, count):
    """A rule judges exactly the requests that have all its labels."""
    rule = f"max{{{selector}}} <= 100ms"
    run = run_of(rule).steadily([FAST], scenario="Writer", name="/a b", method="PUT")

    assert rule_of(run.judge(), rule).samples == count


def test_an_outcome_in_the_selector_is_judged_alone():
    """`outcome=failed` looks at the latencies of failures, which otherwise never count."""
    rule = "p95{outcome=failed} <= 100ms"
    run = run_of(rule).steadily([SLOW] * 3, outcome=Outcome.FAILED)

    assert rule_of(run.judge(), rule).verdict is RuleVerdict.FAIL
    assert rule_of(run.judge(), rule).samples == 180


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("name=GET /polices/:id", "did you mean 'GET /policies/:id'?"),
        ("scenario=Writer", "nothing with the scenario 'Writer' ever occurred"),
        ("region=us-east-1", "nothing with the region 'us-east-1' ever occurred"),
        ("phase=stedy", "did you mean 'steady'?"),
        ("method=PUT", "nothing with the method 'PUT' ever occurred"),
    ],
)
def test_a_name_that_never_occurs_is_no_data(selector, hint):
    """A selector that takes nothing makes the run INVALID in one sentence that names the label."""
    rule = f"p95{{{selector}}} <= 100ms"
    judgement = run_of(rule).judge()
    result = rule_of(judgement, rule)

    assert result.verdict is RuleVerdict.NO_DATA
    assert result.value is None
    assert hint in result.reason
    assert judgement.verdict is Verdict.INVALID
    assert any(hint in reason.text and reason.code == "no_data" for reason in judgement.reasons)


def test_labels_that_never_meet_are_no_data():
    """Two names that each occur, but never on one request, take nothing."""
    rule = "p95{scenario=Reader, method=PUT} <= 100ms"
    run = run_of(rule).steadily([FAST], scenario="Writer", method="PUT")

    assert rule_of(run.judge(), rule).verdict is RuleVerdict.NO_DATA


def test_an_optional_rule_without_data_leaves_the_run_alone():
    """NO_DATA of an optional rule is shown and is no reason; its failure would be one."""
    rule = "p95{name=nowhere} <= 100ms"
    judgement = run_of(LIMIT, optional=[rule]).judge()
    broken = run_of(LIMIT, optional=["p95 <= 1ms"]).judge()

    assert rule_of(judgement, rule).optional
    assert rule_of(judgement, rule).verdict is RuleVerdict.NO_DATA
    assert judgement.verdict is Verdict.PASS
    assert broken.verdict is Verdict.FAIL


def test_the_mean_counts_every_request_due():
    """Timeouts enter the mean with their age, so one in ten of 10 s breaks a limit of 1 s."""
    rules = ("mean <= 1s", "error_ratio <= 50%")
    run = run_of(*rules, latencies=[FAST] * 9).steadily([10_000_000], outcome=Outcome.TIMEOUT)
    result = rule_of(run.judge(), "mean <= 1s")

    assert result.verdict is RuleVerdict.FAIL
    assert result.value == pytest.approx((9 * FAST + 10_000_000) / 10)


def test_a_timeout_shorter_than_the_limit_still_counts_as_slower():
    """A mean of nothing but early timeouts breaks any limit."""
    rules = ("mean <= 5s", "error_ratio < 100%")
    run = run_of(*rules, latencies=()).steadily([10_000] * 20, outcome=Outcome.TIMEOUT)

    assert rule_of(run.judge(), "mean <= 5s").verdict is RuleVerdict.FAIL


def test_a_mean_that_hangs_on_unanswered_requests_is_warn():
    """Had the timeouts taken the whole run the mean would be broken, so keeping it is not proven."""
    rules = ("mean <= 1s", "error_ratio <= 50%")
    run = run_of(*rules, latencies=[FAST] * 29).steadily([10_000_000], outcome=Outcome.TIMEOUT)
    result = rule_of(run.judge(), "mean <= 1s")

    assert result.verdict is RuleVerdict.WARN
    assert "how long the requests without an answer would have taken" in result.reason


def test_a_mean_is_decided_exactly():
    """A mean of exactly the limit keeps it; a microsecond more over all requests breaks it."""
    kept = run_of("mean <= 50ms", latencies=[49_999, 50_001] * 10).judge()
    run = run_of("mean <= 50ms", latencies=[49_999, 50_001] * 10)
    run.requests["eu-west-1-01"][0][0] = (50_000, Outcome.OK, {})

    assert rule_of(kept, "mean <= 50ms").verdict is RuleVerdict.WARN
    assert rule_of(run.judge(), "mean <= 50ms").verdict is RuleVerdict.FAIL


def test_latency_rules_imply_errors_and_stall():
    """Without rules of its own a latency rule brings `error_ratio <= 1%` and a stall limit, shown as implied."""
    judgement = run_of("p95 <= 2s", "p99 <= 5s").judge()
    implied = {result.rule for result in judgement.rules if result.implied}

    assert implied == {"error_ratio <= 1%", "stall <= 5s"}


def test_an_implied_rule_can_fail_the_run():
    """Two percent of failures break a run whose only rule is a kept percentile."""
    judgement = run_of(LIMIT, latencies=[FAST] * 98).steadily([1_000] * 2, outcome=Outcome.FAILED).judge()

    assert rule_of(judgement, LIMIT).verdict is RuleVerdict.PASS
    assert judgement.verdict is Verdict.FAIL
    assert codes(judgement) == {"rule"}


@pytest.mark.parametrize(
    ("rules", "implied"),
    [
        (["p95 <= 2s", "error_ratio <= 5%", "stall <= 20s"], set()),
        (["growth(p95) <= 5ms per hour"], {"error_ratio <= 1%"}),
        (["p95 <= 2s", "error_ratio <= 20% for 10s"], {"error_ratio <= 1%", "stall <= 2s"}),
        (["p95{name=x} <= 2s", "error_ratio <= 5%"], {"error_ratio{name=x} <= 1%", "stall <= 2s"}),
        (
            ["p95{name=x, outcome=ok} <= 2s", "p99{name=x} <= 3s"],
            {"error_ratio{name=x} <= 1%", "stall <= 3s"},
        ),
        (["p50 >= 1ms"], {"error_ratio <= 1%"}),
        (["p95 <= 200ms"], {"error_ratio <= 1%", "stall <= 1s"}),
        (["rate >= 1/s"], set()),
    ],
)
def test_rules_are_implied_for_exactly_the_selections_that_need_them(rules, implied):
    """Only an error rule over the whole run on just that selection replaces the implied one."""
    judgement = run_of(*rules).judge()

    assert {result.rule for result in judgement.rules if result.implied} == implied


def test_evidence_may_come_in_any_order():
    """The same intervals in reverse order are judged alike, to the last digit."""
    run = run_of(LIMIT, "mean <= 60ms", "rate >= 10/s for 10s", "check(compliance) >= 95%").check(19, 1)
    forward = run.judge()
    backward = Evidence(run.plan, run.limits_us)
    for worker, region in run.workers:
        for interval in reversed(run.intervals[worker]):
            backward.add(worker, region, interval)
    rules = [parse_rule(text.text) for text in run.plan.rules]

    assert judge(run.plan, rules, backward, run.run_facts()) == forward
