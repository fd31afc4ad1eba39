"""Open plans before the judge: starts that were offered, dropped or missing, and what rules make of them."""

from math import sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import NAME, SCENARIO, SECOND, Run, codes, open_phase, phase, plan_of, rule_of

from loadproof.measure.interval import ArrivalKey, Arrivals, Outcome
from loadproof.plan.model import ArrivalProcess, Region
from loadproof.verdict.facts import Stop
from loadproof.verdict.result import RuleVerdict, Verdict

FAST = 50_000
LIMIT = "p95 <= 100ms"
TWO = (("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1"))
TWO_REGIONS = (Region(name="eu-west-1"), Region(name="us-east-1"))


def open_run(*rules, load=None, **options):
    """20 starts a second, each with one fast request, unless told otherwise."""
    return Run(plan_of(*rules, load=load or [open_phase()], **options)).steadily([FAST] * 20)


def texts(judgement, code="load_not_offered"):
    return [reason.text for reason in judgement.reasons if reason.code == code]


def starts(change, seconds=None):
    """Alters the counts of starts in some seconds: a function of the counts."""

    def alter(worker, second, interval):
        if seconds is None or second in seconds:
            for counts in interval.arrivals.values():
                change(counts)

    return alter


def scaled(percent):
    def change(counts):
        counts.taken = counts.taken * percent // 100

    return change


def drop(no_user=0, late=0, seconds=range(60)):
    """In each of these seconds so many starts are dropped instead of taken."""

    def change(counts):
        counts.taken -= no_user + late
        counts.no_user += no_user
        counts.late += late

    return starts(change, seconds)


def delayed(first, until):
    """Starts from second `first` on wait for a user until second `until`, when they are all taken at once."""
    waiting = []

    def alter(worker, second, interval):
        if first <= second < until:
            waiting.append((second, sum(counts.taken for counts in interval.arrivals.values())))
            interval.arrivals, interval.user_wait = {}, type(interval.user_wait)()
        elif second == until:
            for since, count in waiting:
                key = ArrivalKey(SCENARIO, "steady")
                interval.arrivals.setdefault(key, Arrivals()).taken += count
                for number in range(count):
                    due_us = since * SECOND + (2 * number + 1) * SECOND // (2 * count)
                    interval.user_wait.record(until * SECOND - due_us)

    return alter


def test_an_open_run_that_offered_its_starts_passes():
    """Constant starts, each taken and answered: nothing to say, whatever its users did between them."""
    judgement = open_run(LIMIT, "user_wait <= 100ms").judge()

    assert (judgement.verdict, codes(judgement)) == (Verdict.PASS, set())


@pytest.mark.parametrize(
    ("percent", "verdict"),
    [(95, Verdict.PASS), (90, Verdict.INVALID), (105, Verdict.PASS), (110, Verdict.INVALID)],
)
def test_starts_must_be_within_5_percent_of_the_plan(percent, verdict):
    """Under 95 % or over 105 % of the planned starts is INVALID; users' time is not asked."""
    judgement = open_run(LIMIT).change(starts(scaled(percent))).judge()

    assert judgement.verdict is verdict
    if verdict is Verdict.INVALID:
        said = f"phase steady had {12 * percent:,} starts where the plan has 1,200 ({percent} %)"
        assert said in texts(judgement)


@pytest.mark.parametrize("counts", [Arrivals(0, 20, 0), Arrivals(10, 10, 0)])
def test_dropped_starts_were_offered(counts):
    """Drops count as offered: it is the error ratio that breaks, and it makes the run FAIL."""

    def change(interval_counts):
        interval_counts.taken, interval_counts.no_user = counts.taken, counts.no_user

    judgement = open_run(LIMIT).change(starts(change, range(20, 60))).judge()

    assert judgement.verdict is Verdict.FAIL
    assert "load_not_offered" not in codes(judgement)


def test_ten_seconds_without_starts_are_enough():
    """A gap that the phase as a whole hides is INVALID, with its second."""
    run = open_run(LIMIT, load=[open_phase(seconds=300)]).change(starts(scaled(0), range(200, 204)))
    run.steadily([FAST] * 20)

    assert texts(run.judge()) == ["the 10 s from second 194 had 120 starts where the plan has 200 (60 %)"]


@pytest.mark.parametrize(("first", "until"), [(20, 21), (20, 25), (5, 35), (0, 59)])
def test_starts_that_waited_for_a_user_were_offered_when_they_were_due(first, until):
    """A target that keeps all users busy delays starts; that is no load that was not offered."""
    judgement = open_run(LIMIT).change(delayed(first, until)).judge()

    assert "load_not_offered" not in codes(judgement)


def test_a_gap_is_no_wait():
    """A burst after a gap makes up for it only if its starts waited that long."""

    def burst(worker, second, interval):
        for counts in interval.arrivals.values():
            counts.taken = {20: 0, 21: 0, 22: 0, 23: 80}.get(second, counts.taken)

    judgement = open_run(LIMIT).change(burst).judge()

    assert codes(judgement) == {"load_not_offered"}


def test_ramps_are_held_against_their_line():
    """Each second of a ramp has its own number of starts, also in warm-up."""
    load = [open_phase("ramp", 60, 0, 100, warmup=True), open_phase("steady", 60, 100)]
    judgement = open_run(LIMIT, load=load).judge()
    flat = open_run(LIMIT, load=load).change(starts(lambda counts: setattr(counts, "taken", 50), range(60)))

    assert codes(judgement) == set()
    assert any("from second 0 had 500 starts where the plan has 83" in text for text in texts(flat.judge()))


def test_few_starts_are_compared_as_a_phase():
    """One start every 4 s: a window is never one short, a phase without any is."""
    load = [open_phase(rate=0.25, seconds=120)]

    assert codes(open_run(LIMIT, load=load).judge()) == set()
    nobody = open_run(LIMIT, load=load).change(starts(scaled(0)))
    assert "phase steady had 0 starts where the plan has 30 (0 %)" in texts(nobody.judge())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rate", [0.2, 2, 20])
def test_poisson_starts_may_scatter(seed, rate):
    """Numbers that chance makes are not INVALID, a third too few are."""
    random = Random(seed)
    plan = [open_phase(rate=rate, seconds=300)]
    times = [random.expovariate(rate)]
    while times[-1] < 300:
        times.append(times[-1] + random.expovariate(rate))
    by_second = [sum(int(due) == second for due in times[:-1]) for second in range(300)]

    def chance(worker, second, interval):
        interval.arrivals = {ArrivalKey(SCENARIO, "steady"): Arrivals(by_second[second])}

    run = open_run(LIMIT, load=plan, process=ArrivalProcess.POISSON).change(chance)
    assert codes(run.judge()) == set()
    if rate == 20:
        run.change(starts(scaled(67)))
        assert codes(run.judge()) == {"load_not_offered"}


def test_the_allowance_of_poisson_starts_is_four_deviations():
    """A phase of n starts may miss 5 % and 4 sqrt(n) + 16/3 + 1 more; constant starts may not."""
    for process, expected in (
        (ArrivalProcess.POISSON, set()),
        (ArrivalProcess.CONSTANT, {"load_not_offered"}),
    ):
        run = open_run(LIMIT, load=[open_phase(rate=100)], process=process).change(starts(scaled(92)))
        assert codes(run.judge()) == expected
    least = 0.95 * 6000 - 4 * sqrt(6000) - 16 / 3 - 1
    run = open_run(LIMIT, load=[open_phase(rate=100)], process=ArrivalProcess.POISSON)
    assert codes(run.change(starts(scaled(int(least / 60)))).judge()) == {"load_not_offered"}


def test_the_region_that_missed_its_starts_is_named():
    """In a plan of several regions the reason says which was furthest off."""

    def miss(worker, second, interval):
        if worker == "us-east-1-01":
            scaled(50)(next(iter(interval.arrivals.values())))

    run = Run(plan_of(LIMIT, load=[open_phase()], regions=TWO_REGIONS), workers=TWO).steadily([FAST] * 20)
    found = texts(run.change(miss).judge())

    assert (
        found[0] == "phase steady had 900 starts where the plan has 1,200 (75 %), furthest off in us-east-1"
    )


def test_starts_in_more_than_one_percent_late_are_the_generators():
    """Up to 1 % of a phase's starts may be dropped by our own timer; more is a saturated generator, not FAIL."""
    few = open_run("p50 <= 100ms", "error_ratio <= 5%").change(drop(late=1, seconds=range(0, 60, 5)))
    many = open_run(LIMIT, "error_ratio <= 5%").change(drop(late=2, seconds=range(60)))

    assert few.judge().verdict is Verdict.PASS
    judgement = many.judge()
    assert judgement.verdict is Verdict.INVALID
    assert (
        "120 of 1,200 starts (10 %) in phase steady were dropped because the workers' own timers were late"
        in (texts(judgement, "generator_saturated"))
    )


def test_starts_without_a_user_are_the_targets():
    """More than 1 % is said even where no rule counts them; counted by a rule it is FAIL."""
    name = f"p95{{name={NAME}}} <= 100ms"
    quiet = open_run(name).change(drop(no_user=5)).judge()
    loud = open_run(LIMIT).change(drop(no_user=5)).judge()

    assert (quiet.verdict, codes(quiet)) == (Verdict.WARN, {"starts_dropped"})
    assert loud.verdict is Verdict.FAIL


def test_a_pool_that_was_not_there_is_no_verdict_on_the_target():
    """Starts that found no user while users were missing are INVALID, not the target's."""

    def halve(worker, second, interval):
        interval.user_us = {name: us // 2 for name, us in interval.user_us.items()}

    judgement = open_run(LIMIT, "error_ratio <= 1%").change(drop(no_user=5)).change(halve).judge()

    assert judgement.verdict is Verdict.INVALID
    assert (
        "phase steady had 50 users on average to serve its starts where the plan has 100"
        in texts(judgement)[0]
    )
    assert open_run(LIMIT).change(halve).judge().verdict is Verdict.PASS


def test_a_scenario_without_its_starts_is_invalid():
    """The mix of an open plan is that of its starts."""
    weights = {SCENARIO: 3.0, "Writer": 1.0}

    def mix(writers):
        def change(worker, second, interval):
            [(key, counts)] = interval.arrivals.items()
            counts.taken -= writers
            interval.arrivals[ArrivalKey("Writer", key.phase)] = Arrivals(writers)

        return change

    assert open_run(LIMIT, scenarios=weights).change(mix(5)).judge().verdict is Verdict.PASS
    for writers, expected in ((4, "240"), (0, "0")):
        judgement = open_run(LIMIT, scenarios=weights).change(mix(writers)).judge()
        assert texts(judgement) == [
            f"scenario Writer had {expected} starts, its weight asks for 300: its users could not be made, or ended"
        ]


@pytest.mark.parametrize("drops", [{"no_user": 2}, {"late": 2}])
def test_the_error_ratio_counts_drops_on_both_sides(drops):
    """(errors + dropped) / (ended + dropped)."""
    run = open_run("error_ratio <= 20%").answer([FAST] * 3, range(60), Outcome.FAILED).change(drop(**drops))
    result = rule_of(run.judge(), "error_ratio <= 20%")

    assert result.samples == 60 * 25
    assert result.value == 5 / 25


@pytest.mark.parametrize(
    ("selector", "counts"),
    [
        ("", True),
        ("{phase=steady}", True),
        ("{region=eu-west-1}", True),
        (f"{{scenario={SCENARIO}}}", True),
        ("{scenario=Nobody}", False),
        ("{phase=ramp}", False),
        (f"{{name={NAME}}}", False),
        ("{method=GET}", False),
    ],
)
@pytest.mark.parametrize("rule", ["p95{0} <= 100ms", "mean{0} <= 100ms", "error_ratio{0} <= 1%"])
def test_drops_count_where_their_selector_can_know_them(rule, selector, counts):
    """Scenario, region and phase of a dropped start are known, its name and method never came to be."""
    load = [open_phase("ramp", 30), open_phase("steady", 60)]
    text = rule.format(selector)
    run = open_run(text, load=load).change(drop(no_user=4, seconds=range(30, 90)))
    result = rule_of(run.judge(), text)

    assert (result.verdict is RuleVerdict.FAIL) is counts


def test_an_outcome_leaves_drops_out():
    """A rule on the latency of ok requests knows no drops."""
    text = "p95{outcome=ok} <= 100ms"

    assert rule_of(open_run(text).change(drop(no_user=4)).judge(), text).verdict is RuleVerdict.PASS


@pytest.mark.parametrize(
    "text", ["p95 <= 100ms for 10s", "mean <= 100ms for 10s", "error_ratio <= 5% for 10s"]
)
def test_windows_count_drops_in_their_second(text):
    """One second in which everything is dropped breaks the windows that hold it."""
    run = open_run(text).change(drop(no_user=20, seconds=[30]))

    assert rule_of(run.judge(), text).verdict is RuleVerdict.FAIL
    assert rule_of(open_run(text).judge(), text).verdict is RuleVerdict.PASS


def test_rates_know_no_drops():
    """Rate and count are those of requests that ended."""
    run = open_run("rate >= 20/s", "peak_rate >= 20/s", "count >= 1200").change(drop(no_user=10))

    assert {result.verdict for result in run.judge().rules} == {RuleVerdict.PASS}


def test_a_target_that_took_nothing_has_a_rate_of_0():
    """With every start dropped there is a rate, and it is none."""
    run = Run(plan_of("rate >= 1/s", load=[open_phase()])).change(drop(no_user=20))

    assert rule_of(run.judge(), "rate >= 1/s").value == 0


@pytest.mark.parametrize(
    ("wait_us", "no_user", "verdict"),
    [(50_000, 0, RuleVerdict.PASS), (200_000, 0, RuleVerdict.FAIL), (50_000, 1, RuleVerdict.FAIL)],
)
def test_user_wait_is_the_p99_of_waits(wait_us, no_user, verdict):
    """Waits are read from the workers; who got no user waited longer than any limit."""
    text = "user_wait{phase=steady} <= 100ms"

    def wait(worker, second, interval):
        interval.user_wait = type(interval.user_wait)()
        interval.user_wait.record(wait_us, 20)

    run = open_run(text).change(wait).change(drop(no_user=no_user))
    assert rule_of(run.judge(), text).verdict is verdict


def test_user_wait_has_no_meaning_in_a_closed_plan():
    """There it is NO DATA, with the reason."""
    run = Run(plan_of("user_wait <= 1s", load=[phase()])).steadily([FAST] * 20)

    assert "open model only" in rule_of(run.judge(), "user_wait <= 1s").reason


def test_a_stopped_run_is_compared_as_far_as_it_got():
    """What was due before the stop was offered; the rest of the phase is nobody's fault."""
    run = open_run(LIMIT)
    run.facts["stop"] = Stop("hand", "enough", 30 * SECOND + 400_000)
    run.change(lambda worker, second, interval: interval.arrivals.clear() if second > 30 else None)

    assert codes(run.judge()) == {"stopped"}


def cut_run(rule, lost_s=30):
    """Two workers of which one is killed so long before the end; what it did not start is missing."""
    run = Run(plan_of(rule, load=[open_phase()], regions=TWO_REGIONS), workers=TWO).steadily([FAST] * 10)
    run.cut = {"us-east-1-01": 60 - lost_s}
    return run


def test_missing_starts_could_have_kept_a_limit():
    """Load that was not offered is no verdict on how much was done."""
    judgement = cut_run("count >= 1100").judge()

    assert judgement.verdict is Verdict.INVALID
    assert any("did not offer the planned load" in text for text in texts(judgement, "rule"))


def test_errors_stand_if_missing_starts_could_not_outweigh_them():
    """Missing are 300 starts with one request each: 10 errors vanish among them, 300 do not."""
    few = cut_run("error_ratio <= 1%").answer([FAST], [5, 6, 7, 8, 9], Outcome.FAILED).judge()
    many = cut_run("error_ratio <= 1%").answer([FAST] * 10, range(15), Outcome.FAILED).judge()

    assert few.verdict is Verdict.INVALID
    assert many.verdict is Verdict.FAIL


def test_drops_never_make_an_invalid_run_fail():
    """Where evidence is missing, a drop may be ours: taken as ok, they leave the limit unbroken."""
    judgement = cut_run("error_ratio <= 1%", lost_s=1).change(drop(no_user=5)).judge()

    assert judgement.verdict is Verdict.INVALID
    assert any("could have kept it" in text for text in texts(judgement, "rule"))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 10), st.integers(0, 3), st.integers(1, 59))
def test_a_fail_stays_one_with_the_missing_worker_back(errors, dropped, late, lost_s):
    """Soundness: whatever the torn worker had done well, a FAIL of the part is one of the whole."""
    rule = "error_ratio <= 2%"

    def made():
        run = cut_run(rule, lost_s=lost_s).answer(
            [FAST], range(errors % 20), Outcome.FAILED, worker=TWO[0][0]
        )
        return run.change(
            lambda worker, second, interval: (
                drop(dropped, late, range(20))(worker, second, interval) if worker == TWO[0][0] else None
            )
        )

    part, whole = made(), made()
    whole.cut = {}
    judged = rule_of(whole.judge(), rule)
    if part.judge().verdict is Verdict.FAIL:
        assert judged.verdict is RuleVerdict.FAIL
