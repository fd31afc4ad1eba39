"""Rules with windows, and stalls: what happened when, not only how often."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import SECOND, Run, hang, phase, plan_of, rule_of, run_of

from loadproof.measure.interval import Outcome
from loadproof.plan.model import Region
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge
from loadproof.verdict.result import RuleVerdict, Verdict
from loadproof.verdict.stall import stalls
from loadproof.verdict.tallies import Flow
from loadproof.verdict.timeline import Stretch

FAST = 50_000
SLOW = 150_000


def verdicts(run):
    return {result.rule: result.verdict for result in run.judge().rules}


def slow_between(first, stop, *rules):
    run = Run(plan_of(*rules)).answer([FAST] * 20, [*range(first), *range(stop, 60)])
    return run.answer([SLOW] * 20, range(first, stop))


def test_for_wants_every_full_window():
    """Ten slow seconds break one window and with it the rule, though the whole run would keep it."""
    rules = ("p75 <= 100ms for 10s", "p75 <= 100ms")
    found = verdicts(slow_between(30, 34, *rules))
    kept = verdicts(slow_between(30, 32, *rules))

    assert found["p75 <= 100ms for 10s"] is RuleVerdict.FAIL
    assert found["p75 <= 100ms"] is not RuleVerdict.FAIL
    assert kept["p75 <= 100ms for 10s"] is RuleVerdict.PASS


def test_within_wants_some_window():
    """One good window is enough, none is not."""
    rule = "p95 <= 100ms within 10s"

    assert verdicts(slow_between(0, 50, rule))[rule] is RuleVerdict.PASS
    assert verdicts(slow_between(0, 51, rule))[rule] is RuleVerdict.FAIL


def test_over_wants_the_last_window():
    """Only the last ten seconds count."""
    rule = "p95 <= 100ms over 10s"

    assert verdicts(slow_between(0, 50, rule))[rule] is RuleVerdict.PASS
    assert verdicts(slow_between(59, 60, rule))[rule] is RuleVerdict.FAIL


def test_window_rules_have_no_interval():
    """Their result names the worst window and carries no confidence."""
    rule = "error_ratio <= 20% for 10s"
    run = run_of(rule).answer([FAST] * 60, range(20, 25), outcome=Outcome.FAILED)
    result = rule_of(run.judge(), rule)

    assert result.verdict is RuleVerdict.FAIL
    assert result.confidence is None
    assert result.value == pytest.approx(300 / 500)
    assert "errors were 300 of 500" in result.reason


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("mean <= 60ms for 10s", [FAST] * 20),
        ("mean <= 40ms for 10s", None),
        ("rate >= 20/s for 10s", [FAST] * 20),
        ("rate > 20/s for 10s", None),
        ("rate <= 20/s for 10s", [FAST] * 20),
        ("error_ratio <= 0 for 10s", [FAST] * 20),
        ("users >= 100 for 10s", [FAST] * 20),
        ("users > 100 within 10s", None),
        ("check(compliance) >= 90% for 10s", [FAST] * 20),
        ("check(compliance) > 95% for 10s", None),
        ("p50 > 40ms for 10s", [FAST] * 20),
        ("p50 >= 60ms for 10s", None),
    ],
)
def test_every_windowed_statistic_is_judged(text, good):
    """A steady run keeps or breaks each statistic in every window, goals included."""
    run = run_of(text, latencies=[FAST] * 20).check(19, 1)
    expected = RuleVerdict.PASS if good else RuleVerdict.FAIL

    assert verdicts(run)[str(parse_rule(text))] is expected


@pytest.mark.parametrize(
    ("rule", "value", "verdict"),
    [
        ("count{outcome=failed} <= 5 for 10s", 5, RuleVerdict.PASS),
        ("count{outcome=failed} <= 4 for 10s", 5, RuleVerdict.FAIL),
        ("count{outcome=failed} <= 0 within 30s", 0, RuleVerdict.PASS),
        ("count{outcome=timeout} <= 0 for 1s", 0, RuleVerdict.PASS),
        ("count >= 195 for 10s", 195, RuleVerdict.PASS),
        ("count >= 200 over 10s", 200, RuleVerdict.PASS),
    ],
)
def test_requests_are_counted_in_windows(rule, value, verdict):
    """Of twenty a second three fail in second 20 and two in second 21: known counts of any ten seconds."""
    run = run_of(rule, "error_ratio <= 90%")
    for second, failed in ((20, 3), (21, 2)):
        for number in range(failed):
            run.requests["eu-west-1-01"][second][number] = (FAST, Outcome.FAILED, {})
    result = rule_of(run.judge(), rule)

    assert (result.value, result.verdict) == (value, verdict)


def test_a_goal_of_a_window_rule_is_judged_in_its_windows():
    """Every window keeps the limit, one misses the goal: WARN."""
    rule = "rate >= 10/s for 10s, goal >= 20/s"
    run = run_of(rule)
    run.requests["eu-west-1-01"][30] = []

    assert verdicts(run)[rule] is RuleVerdict.WARN


def test_a_second_without_completions_is_a_breach():
    """A hung target completes nothing, so no slow request shows; its silent seconds break the window."""
    rule = "p95 <= 2s for 10s"
    run = hang(run_of(rule, "stall <= 1h"), range(30, 36))
    for requests in run.requests.values():
        requests.pop(36)
    result = rule_of(run.judge(), rule)

    assert result.verdict is RuleVerdict.FAIL
    assert "nothing was answered in second 32" in result.reason


def test_a_silent_second_within_the_limit_is_no_breach():
    """A second without completions whose oldest request is younger than the limit breaks nothing."""
    rule = "p95 <= 2s for 10s"
    run = hang(run_of(rule), range(30, 32))

    assert verdicts(run)[rule] is RuleVerdict.PASS


def test_requests_that_end_in_the_drain_belong_to_the_last_windows():
    """What began in time and ended after the plan's end still counts under `for` and `over`."""
    for rule in ("p95 <= 2s for 10s", "p95 <= 2s over 10s"):
        run = run_of(rule, "stall <= 1h")
        run.tail = 20
        run.answer([15 * SECOND] * 100, [70])

        assert verdicts(run)[rule] is RuleVerdict.FAIL


def test_a_good_drain_is_no_window_for_within():
    """A few fast answers after the plan's end do not make a window."""
    rule = "p95 <= 100ms within 10s"
    run = run_of(rule, "stall <= 1h", latencies=[SLOW] * 20)
    run.tail = 20
    run.answer([FAST], range(60, 80))

    assert verdicts(run)[rule] is RuleVerdict.FAIL


def test_no_full_window_is_no_data():
    """A phase shorter than the window cannot be judged."""
    rule = "p95 <= 100ms for 2m"
    judgement = run_of(rule).judge()

    assert rule_of(judgement, rule).verdict is RuleVerdict.NO_DATA
    assert "no full window of 2m" in rule_of(judgement, rule).reason
    assert judgement.verdict is Verdict.INVALID


def test_windows_do_not_reach_over_an_unjudged_phase():
    """Windows lie in neighbouring judged phases, never across a warm-up between them."""
    load = [phase("one", 20), phase("again", 20, warmup=True), phase("two", 20)]
    rule = "rate >= 10/s for 15s"
    run = Run(plan_of(rule, load=load)).answer([FAST] * 10, [*range(20), *range(40, 60)])

    assert verdicts(run)[rule] is RuleVerdict.PASS


def test_a_limit_that_was_not_counted_has_no_windows():
    """Seconds hold counts, not histograms: a latency rule given later cannot be judged in windows."""
    run = run_of("p95 <= 100ms")
    judgement = judge(run.plan, [parse_rule("p95 <= 70ms for 10s")], run.evidence(), run.run_facts())

    assert judgement.rules[0].verdict is RuleVerdict.NO_DATA
    assert "did not count against 70ms" in judgement.rules[0].reason


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=12, max_size=12), st.sampled_from(["for", "within", "over"]))
def test_windows_agree_with_a_plain_search(counts, kind):
    """Rates in windows equal those of a direct search over all runs of four seconds."""
    rule = f"rate >= 1.5/s {kind} 4s"
    run = Run(plan_of(rule, load=[phase(seconds=12)]))
    for second, count in enumerate(counts):
        run.answer([FAST] * count, [second])
    sums = [sum(counts[first : first + 4]) >= 6 for first in range(9)]
    expected = {"for": all(sums), "within": any(sums), "over": sums[-1]}[kind]
    found = verdicts(run)[rule]

    if not any(counts):
        assert found is RuleVerdict.NO_DATA
    else:
        assert (found is RuleVerdict.PASS) is expected


def test_a_target_dead_for_30_of_120_seconds_fails_though_answers_look_fast():
    """100 closed users wait, so only 100 of 9,100 requests are slow; the implied stall says FAIL."""
    run = hang(Run(plan_of("p95 <= 2s", load=[phase(seconds=120)])).steadily([FAST] * 100), range(40, 70))
    judgement = run.judge()
    stall = rule_of(judgement, "stall <= 2s")

    assert judgement.verdict is Verdict.FAIL
    assert rule_of(judgement, "p95 <= 2s").verdict is not RuleVerdict.FAIL
    assert stall.implied
    assert stall.verdict is RuleVerdict.FAIL
    assert stall.value == pytest.approx(30 * SECOND, abs=SECOND)
    assert judgement.reasons[0].verdict is Verdict.FAIL


def test_a_target_that_dies_for_good_fails():
    """Nothing is answered from second 60 on and every request ends unfinished: FAIL by several rules."""
    run = Run(plan_of("p95 <= 2s", load=[phase(seconds=120)]), tail=30).answer([FAST] * 100, range(60))

    def stuck(worker, second, interval):
        if second >= 60:
            interval.in_flight = 100 if second < 149 else 0
            interval.oldest_us = (second - 59) * SECOND if second < 149 else None

    run.answer([90 * SECOND] * 100, [149], outcome=Outcome.UNFINISHED)
    judgement = run.change(stuck).judge()

    assert judgement.verdict is Verdict.FAIL
    assert rule_of(judgement, "stall <= 2s").verdict is RuleVerdict.FAIL
    assert rule_of(judgement, "error_ratio <= 1%").verdict is RuleVerdict.FAIL


def test_users_who_think_are_no_stall():
    """Seconds in which nothing is in flight are quiet, not stalled."""
    run = Run(plan_of("p95 <= 2s", load=[phase(seconds=60)])).answer([FAST] * 20, range(0, 60, 5))

    assert rule_of(run.judge(), "stall <= 2s").value == 0


def test_one_worker_alone_is_no_stall_of_the_run():
    """While another worker's requests are answered the target does not stall, except where the region is named."""
    rules = ("stall <= 2s", "stall{region=us-east-1} <= 2s")
    regions = (Region(name="eu-west-1"), Region(name="us-east-1"))
    workers = (("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1"))
    run = Run(plan_of(*rules, regions=regions), workers=workers).steadily([FAST] * 5, worker="eu-west-1-01")

    def stuck(worker, second, interval):
        if worker == "us-east-1-01":
            interval.started += second == 10
            interval.in_flight = 5 if second >= 10 else 0
            interval.oldest_us = (second - 9) * SECOND if second >= 10 else None

    found = verdicts(run.change(stuck))

    assert found[rules[0]] is RuleVerdict.PASS
    assert found[rules[1]] is RuleVerdict.FAIL


def test_a_stall_in_warm_up_is_not_judged():
    """Only the part of a stall that lies in judged phases counts, and the drain after the last of them."""
    load = [phase("ramp", 30, 100, warmup=True), phase("steady", 30)]
    early = hang(Run(plan_of("stall <= 2s", load=load)).steadily([FAST] * 20), range(10, 20))
    across = hang(Run(plan_of("stall <= 2s", load=load)).steadily([FAST] * 20), range(25, 35))

    assert rule_of(early.judge(), "stall <= 2s").verdict is RuleVerdict.PASS
    assert rule_of(across.judge(), "stall <= 2s").value == pytest.approx(5 * SECOND, abs=SECOND)


def test_a_stall_in_the_drain_counts():
    """Who was asked before the plan's end and is never answered stalls the target, plan or not."""
    run = Run(plan_of("stall <= 2s"), tail=20).steadily([FAST] * 20)

    def stuck(worker, second, interval):
        if second >= 59:
            interval.in_flight = 100 if second < 79 else 0
            interval.oldest_us = (second - 58) * SECOND if second < 79 else None

    assert rule_of(run.change(stuck).judge(), "stall <= 2s").value == pytest.approx(19 * SECOND, abs=SECOND)


def test_a_stall_limit_below_a_second_cannot_be_proven():
    """Pauses within one interval are invisible, so such a limit is WARN at best."""
    result = rule_of(run_of("stall <= 500ms").judge(), "stall <= 500ms")

    assert result.verdict is RuleVerdict.WARN
    assert "no limit below 1 s can be proven" in result.reason


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_stalls_agree_with_a_timeline_drawn_by_hand(seconds):
    """Answers at fixed points of some seconds and requests in flight at some ends give the gaps between."""
    flow = {}
    answers = []
    for second, (is_answered, in_flight) in enumerate(seconds):
        start = second * SECOND
        done = (start + 200_000, start + 800_000) if is_answered else (None, None)
        answers += [(start + 200_000, start + 800_000)] if is_answered else []
        oldest = start + 900_000 if in_flight else None
        flow[second] = Flow(1, int(in_flight), oldest, *done, start + SECOND, 1)
    found = stalls(flow)

    for pause in found:
        assert 0 <= pause.from_us < pause.to_us <= len(seconds) * SECOND
        assert not any(pause.from_us < point < pause.to_us for pair in answers for point in pair)
    for second, (_, in_flight) in enumerate(seconds):
        if in_flight and second + 1 < len(seconds) and not seconds[second + 1][0] and seconds[second + 1][1]:
            end = (second + 1) * SECOND
            assert any(pause.from_us < end < pause.to_us for pause in found)


def test_a_stall_runs_from_the_last_answer_to_the_next():
    """With requests in flight all along, the pause is exact to the microsecond."""
    flow = {
        0: Flow(5, 3, 400_000, 100_000, 700_000, SECOND, 1),
        1: Flow(0, 3, 400_000, None, None, 2 * SECOND, 1),
        2: Flow(0, 0, None, 2_250_000, 2_300_000, 3 * SECOND, 1),
    }

    assert stalls(flow) == [Stretch(700_000, 2_250_000)]


def test_an_oldest_request_that_began_later_begins_the_stall():
    """Before any request was in flight nothing could stall."""
    flow = {
        0: Flow(5, 0, None, 100_000, 200_000, SECOND, 1),
        1: Flow(1, 1, 1_600_000, None, None, 2 * SECOND, 1),
        2: Flow(0, 0, None, 2_400_000, 2_400_000, 3 * SECOND, 1),
    }

    assert stalls(flow) == [Stretch(1_600_000, 2_400_000)]
