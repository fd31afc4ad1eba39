"""What a probe of a search says, what the search comes to, and how a run that searched is judged."""

from dataclasses import replace

import pytest
from judging import SCENARIO, SECOND, Run, codes, open_phase, phase, plan_of, rule_of

from loadproof.measure.interval import ArrivalKey, Arrivals, Outcome
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.model import Guard, Search
from loadproof.verdict.probes import Step, evidence_of, judge_probe
from loadproof.verdict.result import RuleVerdict, Verdict
from loadproof.verdict.search import Asked, Ending, Word
from loadproof.verdict.search import Search as CapacitySearch
from loadproof.verdict.searched import Shape, searched

FAST, SLOW = 20_000, 400_000
HOLD = 4
EACH = 20
RULES = ("p95 <= 100ms", "error_ratio <= 1%")


def searching(*levels, rules=RULES, more=("capacity >= 30",), ending=Ending.FOUND, bad=(), highest=None):
    """A run of 5 s a level, the last 4 of which are looked at; levels in `bad` are slow."""
    load = EditedLoad(
        (phase("search", 5 * len(levels), users=200),),
        [LoadEdit(5 * at * SECOND, level) for at, level in enumerate(levels)],
    )
    plan = plan_of(*rules, *more, load=load)
    plan = plan.model_copy(update={"load": load, "search": Search(highest=highest or max(levels), confirm=1)})
    run = Run(plan)
    steps = []
    for at, level in enumerate(levels):
        first = 5 * at + 1
        run.answer([SLOW if at in bad else FAST] * EACH, range(5 * at, 5 * at + 5))
        steps.append(Step(level, 5 * at * SECOND, first * SECOND, (first + HOLD) * SECOND))
    return run, steps, ending


def probed(run, step):
    """The probe, from the intervals of its seconds."""
    if not run.intervals:
        run.evidence()
    evidence = evidence_of(run.plan, 1, step, run.limits_us)
    for worker, region in run.workers:
        for interval in run.intervals[worker]:
            if interval.second in step.seconds:
                evidence.add(worker, region, interval)
    return judge_probe(evidence, step, run.run_facts())


def judged(run, steps, ending):
    run.evidence()
    found = searched(run.plan, [probed(run, step) for step in steps], ending)
    run.facts["searched"] = found
    return run.judge(), found


def test_a_probe_keeps_the_rules_or_breaks_them_by_its_own_seconds():
    """What the seconds before and after it saw is no matter; it is told which rule broke, with rate, P95 and errors."""
    run, steps, _ = searching(10, 20, 10, bad={1})
    first, second, third = (probed(run, step) for step in steps)

    assert (first.word, first.broken, first.requests) == (Word.HELD, (), HOLD * EACH)
    assert (second.word, second.broken) == (Word.BROKE, ("p95 <= 100ms",))
    assert "p95 is 400 ms" in second.why
    assert (third.word, third.p95_us) == (Word.HELD, FAST)
    assert (first.rate_per_s, first.error_ratio) == (EACH, 0)


def test_errors_break_a_probe_and_so_does_a_guard_on_the_target():
    """A guard's level is a limit of the search before it is the end of the run."""
    run, steps, _ = searching(10, 20)
    run.answer([FAST], range(5, 10), Outcome.FAILED)
    assert probed(run, steps[1]).broken == ("error_ratio <= 1%",)
    warned = probed(run, replace(steps[0], guard="target.cpu is 91 %", guarded="target.cpu"))
    assert (warned.word, warned.broken[0]) == (Word.BROKE, "guard target.cpu")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _, __, one: one.pacer_lag.record(90_000, 500), "the P99 of pacer_lag"),
        (lambda _, __, one: setattr(one, "throttled_us", 10_000), "CPU quota"),
        (lambda _, __, one: setattr(one, "length_us", 2_100_000), "too busy"),
        (lambda _, __, one: setattr(one, "user_us", {SCENARIO: 5 * SECOND}), "the load was not there"),
        (lambda _, __, one: one.series.clear(), "no request ended"),
    ],
)
def test_a_probe_that_the_generator_spoiled_says_nothing(change, why):
    """Whether its rules broke or not: the target is not blamed, and not praised."""
    for bad in ((), {1}):
        run, steps, _ = searching(10, 20, bad=bad)
        run.change(change)
        found = probed(run, steps[1])
        assert (found.word, found.broken) == (Word.NOTHING, ())
        assert why in found.why
    run, steps, _ = searching(10, 20)
    own = probed(run, replace(steps[0], guard="generator.cpu is 99 %", guarded="generator.cpu"))
    assert own.word is Word.NOTHING


def test_a_probe_of_arrivals_counts_starts():
    """Fewer than planned are no probe of that load, unless they stand in a queue for users that the target holds."""
    plan = plan_of(*RULES, load=(open_phase("search", 10, rate=200, users=50),))
    plan = plan.model_copy(update={"search": Search()})
    step = Step(20, 0, 2 * SECOND, 6 * SECOND)

    def judge(starts, wait_us=10):
        run = Run(plan.model_copy(update={"load": (open_phase("search", 10, rate=20, users=50),)}))
        run.answer([FAST] * 20, range(10))

        def offer(_, __, interval):
            interval.arrivals = {ArrivalKey(SCENARIO, "search"): Arrivals(starts)}
            interval.user_wait.record(wait_us, starts)

        run.change(offer).evidence()
        evidence = evidence_of(plan, 1_000_000, step, run.limits_us)
        for interval in run.intervals["eu-west-1-01"]:
            if interval.second in step.seconds:
                evidence.add("eu-west-1-01", "eu-west-1", interval)
        return judge_probe(evidence, step, run.run_facts())

    assert judge(20).word is Word.HELD
    assert "the load was not there" in judge(10).why
    assert judge(10, wait_us=900_000).word is Word.HELD


def test_a_found_capacity_is_judged_with_its_interval():
    """PASS well above the limit, WARN within the interval, FAIL below; rules of the searched phase judge no run."""
    machine = CapacitySearch(Asked(10, 200, 0.05, 1))
    while machine.level is not None:
        machine.tell(Word.HELD if machine.level <= 45 else Word.BROKE)
    levels = [probe.level for probe in machine.probes]
    bad = {at for at, level in enumerate(levels) if level > 45}
    verdicts = {}
    for limit in (30, 44, 60):
        run, steps, ending = searching(*levels, bad=bad, more=(f"capacity >= {limit}",), highest=200)
        judgement, found = judged(run, steps, ending)
        verdicts[limit] = rule_of(judgement, f"capacity >= {limit}").verdict
        assert [result.rule for result in judgement.rules] == [f"capacity >= {limit}"]
        assert found.interval[0] <= found.capacity <= found.interval[1]
        assert 40 <= found.capacity <= 46
        assert (found.shape, found.limited_by) == (Shape.KNEE, "p95 <= 100ms")
        assert found.found.recovered
    assert verdicts == {30: RuleVerdict.PASS, 44: RuleVerdict.WARN, 60: RuleVerdict.FAIL}


def test_a_bound_is_never_taken_for_more_than_it_shows():
    """The highest load held: enough for limits up to it, silent above; cut off: WARN at best, and no FAIL."""
    run, steps, _ = searching(50, 100, 200, 200, more=("capacity >= 200",))
    judgement, found = judged(run, steps, Ending.CEILING)
    assert (found.capacity, found.interval[1], found.at_least) == (200, None, True)
    assert rule_of(judgement, "capacity >= 200").verdict is RuleVerdict.PASS
    for limit, verdict in ((10, RuleVerdict.WARN), (30, RuleVerdict.NO_DATA)):
        run, steps, _ = searching(10, 20, 40, bad={2}, more=(f"capacity >= {limit}",))
        judgement, found = judged(run, steps, Ending.TIME)
        assert rule_of(judgement, f"capacity >= {limit}").verdict is verdict
    assert judgement.verdict is Verdict.INVALID


def test_a_probe_that_broke_below_the_limit_leaves_a_doubt():
    """However many held above it: what troubles a target now and then is no reason to promise that load."""
    machine = CapacitySearch(Asked(10, 200, 0.05, 1))
    while machine.level is not None:
        is_trouble = sum(probe.level <= 45 for probe in machine.probes) == 3
        machine.tell(Word.HELD if machine.level <= 45 and not is_trouble else Word.BROKE)
    levels = [probe.level for probe in machine.probes]
    bad = {at for at, probe in enumerate(machine.probes) if probe.word is Word.BROKE}
    lowest = min(levels[at] for at in bad)
    assert lowest == 40
    found = {}
    for limit in (lowest - 1, lowest):
        more = (f"capacity >= {limit}",)
        run, steps, _ = searching(*levels, bad=bad, more=more, highest=200)
        judgement, known = judged(run, steps, Ending.FOUND)
        assert known.interval[0] > lowest
        found[limit - lowest] = rule_of(judgement, more[0])
    assert found[-1].verdict is RuleVerdict.PASS
    assert found[0].verdict is RuleVerdict.WARN
    assert f"broke, at {lowest} users" in found[0].reason


def test_where_even_the_lowest_load_breaks_the_run_fails():
    """With a rule on the capacity and without one."""
    for more in (("capacity >= 30",), ()):
        run, steps, _ = searching(10, 10, bad={0, 1}, more=more)
        judgement, found = judged(run, steps, Ending.LOWEST_BREAKS)
        assert judgement.verdict is Verdict.FAIL
        assert found.capacity is None


def test_a_search_without_a_result_proves_nothing():
    """It never began, or found no capacity: INVALID; one with a capacity but no rule on it is WARN."""
    run, steps, _ = searching(10, 20, bad=(), more=())
    run.evidence()
    assert "search" in codes(run.judge())
    judgement, _ = judged(run, [], Ending.STOPPED)
    assert judgement.verdict is Verdict.INVALID
    judgement, _ = judged(run, steps, Ending.CEILING)
    assert (judgement.verdict, codes(judgement)) == (Verdict.WARN, {"no_rules"})


def test_a_census_counts_under_every_load_and_other_phases_are_judged_as_ever():
    """A wrong answer in an overloaded second is FAIL; the same latency rule judges the phase before the search."""
    run, steps, _ = searching(
        10, 20, bad={1}, more=("check(hash) >= 100%", "check(soft) >= 90%", "capacity >= 10")
    )
    run.check(failed=1, name="hash", seconds={7}).check(failed=1, name="soft", seconds={7})
    judgement, _ = judged(run, steps, Ending.TIME)
    assert rule_of(judgement, "check(hash) >= 100%").verdict is RuleVerdict.FAIL
    assert "check(soft) >= 90%" not in [result.rule for result in judgement.rules]

    load = EditedLoad(
        (phase("calm", 30, users=10), phase("search", 10, users=20)), [LoadEdit(30 * SECOND, 20)]
    )
    plan = plan_of(*RULES, "capacity >= 10", load=load)
    run = Run(plan.model_copy(update={"load": load, "search": Search(highest=20, confirm=1)}))
    run.answer([SLOW] * EACH, range(30)).answer([FAST] * EACH, range(30, 40))
    step = Step(20, 30 * SECOND, 34 * SECOND, 38 * SECOND)
    judgement, _ = judged(run, [step, step], Ending.CEILING)
    assert rule_of(judgement, "p95 <= 100ms").verdict is RuleVerdict.FAIL
    assert rule_of(judgement, "capacity >= 10").verdict is RuleVerdict.PASS


def test_rules_without_samples_enough_prove_no_capacity():
    """A P99 of too few requests in every probe is neither broken nor kept: NO DATA, and the run INVALID."""
    run, steps, _ = searching(50, 100, 200, 200, rules=("p99 <= 100ms",))
    judgement, found = judged(run, steps, Ending.CEILING)
    assert found.unproven == ("p99 <= 100ms",)
    assert rule_of(judgement, "capacity >= 30").verdict is RuleVerdict.NO_DATA
    assert judgement.verdict is Verdict.INVALID


def test_where_no_rule_limits_the_load_nothing_is_shown():
    """Every load holds where nothing can break it: no capacity rule passes, and without one the run is WARN."""
    for rules in ((), ("pacer_lag <= 1s",)):
        run, steps, _ = searching(50, 100, 200, 200, rules=rules)
        judgement, _ = judged(run, steps, Ending.CEILING)
        assert rule_of(judgement, "capacity >= 30").verdict is RuleVerdict.NO_DATA
        assert judgement.verdict is Verdict.INVALID
    run, steps, _ = searching(50, 100, 200, 200, rules=(), more=())
    judgement, found = judged(run, steps, Ending.CEILING)
    assert judgement.verdict is Verdict.WARN
    assert found.lack in [reason.text for reason in judgement.reasons]


def test_of_guards_alone_that_of_errors_limits_a_load():
    """One of a resource may never see it, and what holds would show nothing."""
    for name, limits in (("target.memory", False), ("errors", True)):
        run, steps, _ = searching(50, 100, 200, 200, rules=())
        run.plan = run.plan.model_copy(update={"guards": (Guard(name=name, stop=1),)})
        _, found = judged(run, steps, Ending.CEILING)
        assert (found.lack is None) is limits


def test_a_check_that_is_never_made_in_a_search_proves_no_capacity():
    """A rule on it is kept by nobody: the capacity is NO DATA, unless one probe of all has made it."""
    for seconds, verdict in ((set(), RuleVerdict.NO_DATA), ({7}, RuleVerdict.PASS)):
        run, steps, _ = searching(50, 100, 200, 200, more=("check(soft) >= 90%", "capacity >= 30"))
        if seconds:
            run.check(passed=1, name="soft", seconds=seconds)
        judgement, _ = judged(run, steps, Ending.CEILING)
        assert rule_of(judgement, "capacity >= 30").verdict is verdict


def test_optional_rules_without_data_limit_no_load():
    """An optional rule that never has data leaves nothing to limit the load: no capacity is shown."""
    run, steps, _ = searching(50, 100, 200, 200, rules=("p95{name=nowhere} <= 1s",))
    rules = tuple(
        rule.model_copy(update={"optional": rule.text.startswith("p95")}) for rule in run.plan.rules
    )
    run.plan = run.plan.model_copy(update={"rules": rules})
    judgement, found = judged(run, steps, Ending.CEILING)
    assert found.unproven[0] == "p95{name=nowhere} <= 1s"
    assert rule_of(judgement, "capacity >= 30").verdict is RuleVerdict.NO_DATA


def test_lag_of_the_searched_phase_is_told_by_the_probes_alone():
    """A generator that lagged under an overload does not make the run INVALID: its probes say nothing instead."""
    run, steps, _ = searching(50, 100, 200, 200, more=("capacity >= 30",))
    run.change(lambda _, __, one: one.pacer_lag.record(90_000, 500))
    judgement, found = judged(run, steps, Ending.GENERATOR)
    assert {one.word for one in found.probes} == {Word.NOTHING}
    assert "generator_saturated" not in codes(judgement)
    assert rule_of(judgement, "capacity >= 30").verdict is RuleVerdict.NO_DATA


def test_a_capacity_of_a_plan_that_searches_none_has_no_data():
    """A rule on it without a search, as a report with other rules may have."""
    run = Run(plan_of("capacity >= 3")).steadily([FAST])
    assert rule_of(run.judge(), "capacity >= 3").verdict is RuleVerdict.NO_DATA
