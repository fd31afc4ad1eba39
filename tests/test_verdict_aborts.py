"""Abort rules: which are broken by what is known so far, and what a run is that one of them ended."""

import pytest
from judging import SECOND, Run, codes, phase, plan_of, rule_of, run_of

from loadproof.measure.interval import Outcome
from loadproof.plan.model import RuleText
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import broken_aborts, judge, with_implied
from loadproof.verdict.result import RuleVerdict, Verdict

ABORT = "error_ratio <= 20% for 10s"
FAST = 50_000
WARM = [phase("ramp", 20, 100, warmup=True), phase("steady", 40)]


def aborting(*rules, delay_s=0, load=None, abort=ABORT):
    plan = plan_of(*rules, load=load)
    text = RuleText(text=abort, abort=True, delay_us=delay_s * SECOND)
    return Run(plan.model_copy(update={"rules": (*plan.rules, text)}))


def failing(run, seconds, share=1.0):
    """100 requests a second; in these seconds so many of them fail."""
    bad = round(100 * share)
    for second in range(60):
        if second in seconds:
            run.answer([FAST] * bad, [second], outcome=Outcome.FAILED).answer([FAST] * (100 - bad), [second])
        else:
            run.answer([FAST] * 100, [second])
    return run


def first_fired(run):
    """The second after which the master would end the run: it looks after each second of every worker."""
    run.evidence()
    evidence = Evidence(run.plan, run.limits_us)
    epochs = tuple(Epoch(worker, region, 0, 0, complete=True) for worker, region in run.workers)
    for second in range(run.seconds):
        for worker, region in run.workers:
            if second < len(run.intervals[worker]):
                evidence.add(worker, region, run.intervals[worker][second])
        now_us = (second + 1) * SECOND
        facts = RunFacts("live", run.workers, epochs, stop=Stop("hand", "", now_us), goes_on=True)
        if broken_aborts(run.plan, evidence, facts, now_us):
            return second + 1
    return None


def test_it_fires_with_the_first_window_that_breaks_the_limit():
    """All requests fail from second 30 on: after the third such second 30 of 100 in the window are over 20 %."""
    assert first_fired(failing(aborting(), range(30, 60))) == 33
    assert first_fired(failing(aborting(), range(30, 32))) is None
    assert first_fired(failing(aborting(), ())) is None


def test_warm_up_is_inside():
    """An abort rule looks at all phases, the same rule without abort at the judged ones."""
    run = failing(aborting("error_ratio <= 90%", load=WARM), range(5, 15))

    assert first_fired(run) == 10, "the first full window has 50 of 100"
    facts = run.run_facts()
    found = judge(run.plan, [parse_rule(text.text) for text in run.plan.rules], run.evidence(), facts)
    assert rule_of(found, ABORT).verdict is RuleVerdict.FAIL
    plain = failing(Run(plan_of(ABORT, load=WARM)), range(5, 15))
    assert rule_of(plain.judge(), ABORT).verdict is not RuleVerdict.FAIL


@pytest.mark.parametrize(("delay_s", "second"), [(0, 10), (5, 15), (7, 17), (8, None), (30, None)])
def test_windows_that_begin_before_the_delay_do_not_count(delay_s, second):
    """Ten bad seconds at the start: windows from the delay on hold the rest of them, at the end too."""
    run = failing(aborting(delay_s=delay_s), range(10), 1.0)

    assert first_fired(run) == second
    verdict = rule_of(run.judge(), ABORT).verdict
    assert (verdict is RuleVerdict.FAIL) is (second is not None)


@pytest.mark.parametrize(
    ("abort", "second"),
    [
        ("error_ratio <= 20%", 38),
        ("p95 <= 1s for 5s", 32),
        ("max <= 1s", 31),
        ("count{outcome=failed} <= 0", 31),
        ("rate >= 80/s for 5s", 32),
        ("check(compliance) >= 99%", 31),
        ("stall <= 5s", None),
    ],
)
def test_any_statistic_can_end_a_run(abort, second):
    """From second 30 on all fail and a tenth is slow: each statistic is broken as soon as the judge would say so."""
    run = failing(aborting(abort=abort), range(30, 60))
    run.answer([2 * SECOND] * 10, range(30, 60)).check(98, 2, seconds=range(30, 60))

    assert first_fired(run) == second


def test_what_has_not_come_in_yet_ends_no_run():
    """A worker that lags behind by its load could have kept every limit, and does not fire one."""
    workers = (("eu-west-1-01", "eu-west-1"), ("eu-west-1-02", "eu-west-1"))
    run = aborting(abort="rate >= 150/s for 5s")
    run.workers = workers
    failing(run, ())
    run.cut = {"eu-west-1-02": 30}

    assert first_fired(run) is None


def aborted(run, at_s=33):
    why = "in the worst of 24 windows of 10s, from second 23, errors were 300 of 1,000, which breaks <= 20%"
    run.facts["stop"] = Stop("abort", why, at_s * SECOND, ABORT)
    run.cut = {}
    run.change(lambda worker, second, interval: None)
    return why


def test_a_run_that_was_ended_by_a_rule_is_fail_and_says_which_and_when():
    """FAIL with the rule and the time, although the rest of the plan was never run; nothing says `stopped`."""
    run = failing(aborting("p95 <= 1s"), range(30, 60))
    why = aborted(run)
    judgement = run.judge()

    assert judgement.verdict is Verdict.FAIL
    assert judgement.reasons[0].code == "abort"
    assert judgement.reasons[0].text == f"the abort rule {ABORT} ended the run after 33 s: {why}"
    assert "stopped" not in codes(judgement)
    found = rule_of(judgement, ABORT)
    assert (found.verdict, found.abort) == (RuleVerdict.FAIL, True)
    assert found.reason == f"it ended the run after 33 s: {why}"


def test_what_came_in_while_it_drained_takes_nothing_back():
    """The same verdict where the last answers bring the rule within its limit again."""
    run = failing(aborting("p95 <= 1s"), ())
    aborted(run)
    judgement = run.judge()

    assert judgement.verdict is Verdict.FAIL
    assert rule_of(judgement, ABORT).verdict is RuleVerdict.FAIL


def test_a_rule_that_never_fired_is_a_rule_like_others():
    """It passes with the run, and is judged once."""
    judgement = failing(aborting("p95 <= 1s"), ()).judge()

    assert judgement.verdict is Verdict.PASS, judgement.reasons
    assert [one.abort for one in judgement.rules if one.rule == ABORT] == [True]


def test_a_loose_abort_rule_loosens_no_implied_rule():
    """The stall that latency rules imply goes by those that judge, not by the one that ends a hopeless run."""
    run = aborting("p95 <= 2s", abort="p95 <= 1m for 10s")
    rules = [parse_rule(text.text) for text in run.plan.rules]
    alone = aborting(abort="p95 <= 1m for 10s").plan

    assert [str(by) for by in with_implied(run.plan, rules) if by.implied] == [
        "error_ratio <= 1%",
        "stall <= 2s",
    ]
    assert [str(by) for by in with_implied(alone, rules[1:]) if by.implied] == [
        "error_ratio <= 1%",
        "stall <= 1m",
    ]


def test_the_same_text_may_stand_twice():
    """Once to judge, once to end the run: warm-up counts for the second only."""
    run = failing(aborting(ABORT, load=WARM), range(5, 15))
    found = [one for one in run.judge().rules if one.rule == ABORT]

    assert [(one.abort, one.verdict is RuleVerdict.FAIL) for one in found] == [(False, False), (True, True)]


def test_other_stops_stay_as_they_are():
    """A signal is no abort."""
    run = run_of("p95 <= 1s")
    run.facts["stop"] = Stop("SIGINT", "stopped by SIGINT", 30 * SECOND)

    assert "stopped" in codes(run.judge())
