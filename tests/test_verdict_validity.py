"""What makes a run INVALID or WARN, and when a broken limit still counts."""

from dataclasses import replace
from fractions import Fraction

import pytest
from judging import SCENARIO, SECOND, Run, codes, hang, open_phase, phase, plan_of, rule_of, run_of

from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    CheckCounts,
    CheckKey,
    Endpoint,
    Exchanges,
    Outcome,
)
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.flows import Flow
from loadproof.plan.model import Region
from loadproof.units import ABSENT
from loadproof.verdict.case import Case
from loadproof.verdict.facts import Absence, Edited, Epoch, GuardTrip, Sample, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge
from loadproof.verdict.result import RuleVerdict, Verdict

FAST = 50_000
SLOW = 150_000
LIMIT = "p95 <= 100ms"
TWO = (("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1"))
TWO_REGIONS = (Region(name="eu-west-1"), Region(name="us-east-1"))


def two(*rules, **options):
    return Run(plan_of(*rules, regions=TWO_REGIONS, **options), workers=TWO).steadily([FAST] * 20)


def reason(judgement, code):
    return next(reason for reason in judgement.reasons if reason.code == code)


def lagging(seconds, lag_us, which="pacer_lag"):
    def change(worker, second, interval):
        if second in seconds:
            getattr(interval, which).record(lag_us, 100)

    return change


def test_a_killed_worker_makes_the_run_invalid():
    """A torn epoch is INVALID and named with where its journal ends."""
    run = two(LIMIT)
    run.cut = {"us-east-1-01": 57}
    run.facts["lost"] = {"us-east-1-01": "its process was killed by signal 9"}
    judgement = run.judge()

    assert judgement.verdict is Verdict.INVALID
    assert "us-east-1-01 (epoch 1) is torn" in reason(judgement, "torn_epoch").text
    assert "after 57 s" in reason(judgement, "torn_epoch").text
    assert "killed by signal 9" in reason(judgement, "torn_epoch").text


@pytest.mark.parametrize(("tolerated", "verdict"), [(0, Verdict.INVALID), (1, Verdict.WARN)])
def test_a_tolerated_torn_epoch_is_warn_at_best(tolerated, verdict):
    """`tolerate: {torn_epochs: 1}` makes one of them a warning; the load must have been offered all the same."""
    run = two(LIMIT, torn_epochs=tolerated)
    run.cut = {"us-east-1-01": 60}
    judgement = run.judge()

    assert judgement.verdict is verdict
    assert codes(judgement) == {"torn_epoch"}


def test_more_torn_epochs_than_tolerated_are_invalid():
    """The tolerance is a count of all torn epochs."""
    run = two(LIMIT, torn_epochs=1)
    run.cut = {"us-east-1-01": 60, "eu-west-1-01": 60}

    assert run.judge().verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("percent", "verdict"),
    [(95, Verdict.PASS), (94, Verdict.INVALID), (105, Verdict.PASS), (106, Verdict.INVALID)],
)
def test_offered_load_must_be_within_5_percent_of_the_plan(percent, verdict):
    """Under 95 % or over 105 % of the plan's user time is INVALID, both ends are within."""

    def offer(worker, second, interval):
        interval.user_us = {name: us * percent // 100 for name, us in interval.user_us.items()}

    judgement = run_of(LIMIT).change(offer).judge()

    assert judgement.verdict is verdict
    assert codes(judgement) == (set() if verdict is Verdict.PASS else {"load_not_offered"})


def test_ten_seconds_without_load_are_enough():
    """One bad stretch of ten seconds is INVALID though the phase as a whole is within 5 %."""

    def pause(worker, second, interval):
        if second in range(200, 206):
            interval.user_us = {}

    run = run_of(LIMIT, load=[phase(seconds=300)]).change(pause)
    judgement = run.judge()
    texts = [one.text for one in judgement.reasons]

    assert judgement.verdict is Verdict.INVALID
    assert texts == ["the 10 s from second 196 had 40 users on average where the plan has 100 (40 %)"]


def test_the_region_that_missed_its_load_is_named():
    """In a plan of several regions the reason says which was furthest off."""

    def miss(worker, second, interval):
        if worker == "us-east-1-01":
            interval.user_us = {name: us // 2 for name, us in interval.user_us.items()}

    judgement = two(LIMIT).change(miss).judge()

    assert "75 users on average where the plan has 100 (75 %), furthest off in us-east-1" in (
        reason(judgement, "load_not_offered").text
    )


def test_load_is_held_against_the_plan_in_ramps_and_warm_up():
    """A ramp is compared second by second with what it plans, also in warm-up."""
    load = [phase("ramp", 60, 0, 100, warmup=True), phase("steady", 60)]
    good = Run(plan_of(LIMIT, load=load)).steadily([FAST] * 20)
    bad = Run(plan_of(LIMIT, load=load)).steadily([FAST] * 20)

    def all_at_once(worker, second, interval):
        interval.user_us = {"Reader": 100 * SECOND}

    assert good.judge().verdict is Verdict.PASS
    assert "phase ramp" in reason(bad.change(all_at_once).judge(), "load_not_offered").text


def test_late_closed_intervals_still_offer_their_load():
    """User time is spread over the seconds that an interval covers, so a late close shifts nothing."""

    def late(worker, second, interval):
        if second % 2 == 0:
            interval.length_us = 1_600_000
            interval.user_us = {"Reader": 160 * SECOND}
        else:
            interval.start_us += 600_000
            interval.length_us = 400_000
            interval.user_us = {"Reader": 40 * SECOND}

    assert run_of(LIMIT).change(late).judge().verdict is Verdict.PASS


def test_a_region_that_never_came_is_invalid():
    """A planned region without a worker is named, and its workers are not listed one by one."""
    run = two(LIMIT)
    run.absent = ("us-east-1-01",)
    judgement = run.judge()

    assert judgement.verdict is Verdict.INVALID
    assert reason(judgement, "region_missing").text == "no worker of region us-east-1 ever came"
    assert "worker_missing" not in codes(judgement)


def test_a_worker_that_never_came_is_named():
    """If others took its load it is a warning; if not, the load says INVALID."""
    workers = (("eu-west-1-01", "eu-west-1"), ("eu-west-1-02", "eu-west-1"))
    run = Run(plan_of(LIMIT), workers=workers, absent=("eu-west-1-02",)).steadily([FAST] * 20)
    run.facts["lost"] = {"eu-west-1-02": "never joined"}

    def take_over(worker, second, interval):
        interval.user_us = {name: 2 * us for name, us in interval.user_us.items()}

    alone = run.judge()
    run.change(take_over)
    taken_over = run.judge()

    assert alone.verdict is Verdict.INVALID
    assert taken_over.verdict is Verdict.WARN
    assert reason(taken_over, "worker_missing").text == "eu-west-1-02 never came: never joined"


def pair(share):
    """Two workers of a region; the second ends after 8 of 20 seconds, and the first has `share` times its users then."""
    workers = (("eu-west-1-01", "eu-west-1"), ("eu-west-1-02", "eu-west-1"))
    run = Run(plan_of(LIMIT), workers=workers).steadily([FAST] * 20)

    def leave(worker, second, interval):
        if second >= 8:
            factor = share if worker.endswith("01") else 0
            interval.user_us = {name: factor * us for name, us in interval.user_us.items()}

    return run.change(leave)


def left_after(run, seconds):
    """The journal of the second worker ends in order after so many seconds."""
    run.evidence()
    ends = {"eu-west-1-01": run.seconds, "eu-west-1-02": seconds}
    run.facts["epochs"] = tuple(
        Epoch(worker, "eu-west-1", 0, len(run.intervals[worker]), complete=True, last_us=end * SECOND)
        for worker, end in ends.items()
    )
    return run.judge()


def test_a_worker_that_left_in_order_is_a_warning_if_others_took_its_load():
    """It is named with its time; where nobody took the load, that makes the run INVALID."""
    taken_over, lost = left_after(pair(2), 8), left_after(pair(1), 8)

    assert taken_over.verdict is Verdict.WARN
    text = reason(taken_over, "worker_left").text
    assert text == "eu-west-1-02 left in order after 8 s, and others carried its load"
    assert lost.verdict is Verdict.INVALID


def test_a_worker_that_ends_with_the_plan_has_not_left():
    """Clocks of two workers need not agree to the millisecond."""
    run = pair(2)

    assert "worker_left" not in codes(left_after(run, run.seconds - 1))


def test_a_worker_that_was_away_is_a_warning():
    """With the times and the reason."""
    run = run_of(LIMIT)
    run.facts["absences"] = (Absence("local-01", 5 * SECOND, 9 * SECOND, "its lease has lapsed"),)
    judgement = run.judge()

    assert judgement.verdict is Verdict.WARN
    assert reason(judgement, "worker_away").text == (
        "local-01 was not heard of from 5 s to 9 s (its lease has lapsed), and others carried its load"
    )


@pytest.mark.parametrize(("until", "says"), [(9 * SECOND, "from 5 s to 9 s"), (None, "from 5 s to the end")])
def test_a_quorum_that_was_lost_is_invalid(until, says):
    """However short, and however whole the load."""
    run = run_of(LIMIT)
    run.facts["quorum_lost"] = (Absence("local", 5 * SECOND, until),)
    judgement = run.judge()

    assert judgement.verdict is Verdict.INVALID
    assert reason(judgement, "quorum_lost").text == f"region local had fewer workers than its quorum {says}"


@pytest.mark.parametrize("which", ["pacer_lag", "receive_lag"])
def test_a_generator_that_lags_ten_seconds_is_saturated(which):
    """A P99 lag above max(5 ms, 10 % of the tightest limit) for ten seconds in a row is INVALID; nine are not."""
    nine = run_of(LIMIT).change(lagging(range(20, 29), 10_001, which)).judge()
    ten = run_of(LIMIT).change(lagging(range(20, 30), 10_001, which)).judge()
    within = run_of(LIMIT).change(lagging(range(60), 10_000, which)).judge()

    assert nine.verdict is within.verdict is Verdict.PASS
    assert ten.verdict is Verdict.INVALID
    assert f"P99 of {which} on eu-west-1-01" in reason(ten, "generator_saturated").text
    assert "from second 20 to 29" in reason(ten, "generator_saturated").text


def test_the_lag_limit_has_a_floor_of_5_ms():
    """With a limit of 20 ms, 10 % of it would be 2 ms: 5 ms are allowed all the same."""
    rule = "p95 <= 20ms"

    assert (
        run_of(rule, latencies=[5_000] * 20).change(lagging(range(60), 4_900)).judge().verdict is Verdict.PASS
    )
    assert codes(run_of(rule, latencies=[5_000] * 20).change(lagging(range(60), 5_100)).judge()) == {
        "generator_saturated"
    }


def test_seconds_that_measured_no_lag_neither_end_nor_lengthen_a_streak():
    """Ten late seconds with silent ones between are ten late seconds in a row."""
    run = run_of(LIMIT)

    def empty(worker, second, interval):
        interval.pacer_lag = type(interval.pacer_lag)()

    run.change(empty).change(lagging(range(10, 30, 2), 50_000))

    assert "generator_saturated" in codes(run.judge())


@pytest.mark.parametrize(("length_us", "is_saturated"), [(2_000_000, False), (2_000_001, True)])
def test_an_interval_over_2_seconds_is_saturation(length_us, is_saturated):
    """A worker that could not close its second within two was not fit."""

    def slow(worker, second, interval):
        if second == 30:
            interval.length_us = length_us
            interval.user_us = {"Reader": 100 * length_us}
        if second == 31:
            interval.start_us += SECOND
            interval.length_us = 1
            interval.user_us = {}

    judgement = run_of(LIMIT).change(slow).judge()

    assert ("generator_saturated" in codes(judgement)) is is_saturated


def test_a_throttled_cgroup_is_saturation():
    """Any time that a CPU quota held the worker back is INVALID; no quota and no throttling are not."""

    def throttle(worker, second, interval):
        interval.throttled_us = 30_000 if second == 5 else 0

    judgement = run_of(LIMIT).change(throttle).judge()

    assert "CPU quota of eu-west-1-01's container" in reason(judgement, "generator_saturated").text


@pytest.mark.parametrize(
    ("field", "share", "code"),
    [
        ("cpu_us", 899_999, None),
        ("cpu_us", 900_000, "generator_busy"),
        ("steal_us", 50_000, None),
        ("steal_us", 50_001, "machine_steal"),
    ],
)
def test_a_busy_processor_and_steal_are_warn(field, share, code):
    """CPU of 90 % of a core and steal over 5 %, averaged over ten seconds, are warnings."""

    def busy(worker, second, interval):
        setattr(interval, field, share if second in range(30, 40) else 0)

    judgement = run_of(LIMIT).change(busy).judge()

    assert codes(judgement) == ({code} if code else set())
    assert judgement.verdict is (Verdict.WARN if code else Verdict.PASS)


def test_after_saturation_latency_rate_and_count_rules_cannot_fail():
    """The generator may have broken them itself: INVALID, and each says so; error and check rules can FAIL."""
    rules = (LIMIT, "rate >= 1000/s", "peak_rate >= 1000/s", "count >= 1000000", "stall <= 20s")
    saturated = lagging(range(60), 500_000)
    ours = run_of(*rules, "mean <= 1ms", "max <= 1ms", latencies=[SLOW] * 20).change(saturated).judge()
    errors = (
        run_of(LIMIT, latencies=[FAST] * 90).steadily([FAST] * 10, outcome=Outcome.FAILED).change(saturated)
    )
    checks = run_of(LIMIT, "check(compliance) >= 95%").check(1, 1).change(saturated)

    assert ours.verdict is Verdict.INVALID
    assert sum(one.code == "rule" for one in ours.reasons) == 6
    assert all("the generator was saturated" in one.text for one in ours.reasons if one.code == "rule")
    assert rule_of(ours, LIMIT).verdict is RuleVerdict.FAIL
    assert errors.judge().verdict is Verdict.FAIL
    assert checks.judge().verdict is Verdict.FAIL


def test_after_load_not_offered_a_broken_latency_cannot_fail():
    """Too much load breaks a limit by itself: INVALID, while wrong answers are FAIL under any load."""

    def overload(worker, second, interval):
        interval.user_us = {name: 2 * us for name, us in interval.user_us.items()}

    slow = run_of(LIMIT, latencies=[SLOW] * 20).change(overload).judge()
    wrong = run_of("check(compliance) >= 100%").check(1, 1).change(overload).judge()

    assert slow.verdict is Verdict.INVALID
    assert any("did not offer the planned load" in one.text for one in slow.reasons)
    assert wrong.verdict is Verdict.FAIL
    assert [one.verdict for one in wrong.reasons] == [Verdict.FAIL, Verdict.INVALID, Verdict.INVALID]


def torn_at_the_end(*rules, latencies=(FAST,) * 20):
    """Two workers of which one loses its last second: 50 of 6,000 user-seconds, so 20 of 2,400 requests."""
    run = Run(plan_of(*rules, regions=TWO_REGIONS), workers=TWO).steadily(latencies)
    run.cut = {"us-east-1-01": 59}
    return run


def test_fail_outranks_invalid_where_missing_requests_cannot_rescue_it():
    """All slow: with every lost request taken as fast the limit stays broken, so the run is FAIL."""
    judgement = torn_at_the_end(LIMIT, latencies=[SLOW] * 20).judge()

    assert judgement.verdict is Verdict.FAIL
    assert [one.verdict for one in judgement.reasons] == [Verdict.FAIL, Verdict.INVALID]


@pytest.mark.parametrize(("slow", "verdict"), [(120, Verdict.INVALID), (121, Verdict.FAIL)])
def test_invalid_outranks_a_fail_that_missing_requests_could_rescue(slow, verdict):
    """Of 2,380 requests 119 may be slow, with the 20 lost ones taken as fast 120."""
    run = torn_at_the_end(LIMIT)
    for number in range(slow):
        run.requests["eu-west-1-01"][number % 60][number // 60] = (SLOW, Outcome.OK, {})
    judgement = run.judge()

    assert rule_of(judgement, LIMIT).verdict is RuleVerdict.FAIL
    assert judgement.verdict is verdict
    if verdict is Verdict.INVALID:
        assert any("what is missing from the run could have kept it" in one.text for one in judgement.reasons)


@pytest.mark.parametrize(("failed", "verdict"), [(24, Verdict.INVALID), (25, Verdict.FAIL)])
def test_missing_requests_dilute_an_error_ratio(failed, verdict):
    """24 of 2,380 are over 1 %, with the 20 lost ones taken as ok they are not; 25 of 2,400 are."""
    run = torn_at_the_end("error_ratio <= 1%")
    for number in range(failed):
        run.requests["eu-west-1-01"][number][0] = (FAST, Outcome.FAILED, {})
    judgement = run.judge()

    assert rule_of(judgement, "error_ratio <= 1%").verdict is RuleVerdict.FAIL
    assert judgement.verdict is verdict


def test_what_a_torn_epoch_had_in_flight_is_missing_too():
    """Requests without a known end could have been as fast as any."""
    run = torn_at_the_end(LIMIT)
    for number in range(121):
        run.requests["eu-west-1-01"][number % 60][number // 60] = (SLOW, Outcome.OK, {})

    def begin(worker, second, interval):
        interval.started += 30 * (worker == "us-east-1-01" and second == 58)

    assert run.judge().verdict is Verdict.FAIL
    assert run.change(begin).judge().verdict is Verdict.INVALID


def test_the_best_rate_is_taken_where_the_load_was_offered():
    """Ten seconds with next to no users but many answers are no yardstick of what a user does."""
    run = run_of(LIMIT, latencies=[FAST] * 10)
    run.change(
        lambda worker, second, interval: interval.user_us.update(
            Reader=SECOND if second >= 50 else 100 * SECOND
        )
    )
    case = Case(run.plan, run.evidence(), run.run_facts())

    # The five last seconds of full load with the five first ones of 1 user: 505 of 1,000 user-seconds.
    assert case.shortfall.best_rate(dict.fromkeys(range(60), 10), None) == Fraction(100, 505 * SECOND)


def test_a_violated_census_stands_whatever_is_missing():
    """No lost request undoes one that was slower than a maximum, or one failed check."""
    slowest = torn_at_the_end("max <= 1s", latencies=[FAST] * 20).answer([2_000_000], [7]).judge()
    census = (
        torn_at_the_end("check(compliance) >= 100%", latencies=[FAST] * 20).check(5, 1, seconds=[7]).judge()
    )

    assert slowest.verdict is Verdict.FAIL
    assert census.verdict is Verdict.FAIL


def test_a_stall_does_not_stand_while_a_worker_is_missing():
    """The lost worker's answers could have fallen into the pause."""
    run = hang(torn_at_the_end("stall <= 2s", latencies=[FAST] * 20), range(30, 40), users=50)
    judgement = run.judge()

    assert rule_of(judgement, "stall <= 2s").verdict is RuleVerdict.FAIL
    assert judgement.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("rule", "latencies", "verdict"),
    [
        ("rate >= 40/s", [FAST] * 20, Verdict.INVALID),
        ("rate > 40/s", [FAST] * 20, Verdict.FAIL),
        ("count >= 2400", [FAST] * 20, Verdict.INVALID),
        ("count >= 2401", [FAST] * 20, Verdict.FAIL),
        ("peak_rate > 40/s", [FAST] * 20, Verdict.FAIL),
        ("rate > 40/s for 10s", [FAST] * 20, Verdict.FAIL),
        ("rate >= 40/s for 10s", [FAST] * 20, Verdict.INVALID),
        ("mean <= 100ms", [SLOW] * 20, Verdict.FAIL),
        ("p95 <= 100ms for 10s", [SLOW] * 20, Verdict.FAIL),
    ],
)
def test_missing_requests_come_at_the_planned_rate(rule, latencies, verdict):
    """Missing users are taken to have made requests at the run's best rate, and no faster."""
    judgement = torn_at_the_end(rule, latencies=latencies).judge()

    assert "torn_epoch" in codes(judgement)
    assert "load_not_offered" not in codes(judgement)
    assert judgement.verdict is verdict


def test_windows_are_filled_where_load_is_missing():
    """A window that the torn worker left thin is not held against the target; a bad one before it is."""
    thin = torn_at_the_end("rate >= 40/s for 10s")
    bad = torn_at_the_end("error_ratio <= 20% for 10s")
    bad.answer([FAST] * 200, range(20, 22), outcome=Outcome.FAILED, worker="eu-west-1-01")

    assert thin.judge().verdict is Verdict.INVALID
    assert bad.judge().verdict is Verdict.FAIL


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM", "guard", "hand", "failure"])
def test_a_stopped_run_is_never_pass(by):
    """Stopped by signal, guard or hand it is FAIL or INVALID, even if only the drain was cut short."""
    for at_s in (30, 60):
        good = run_of(LIMIT)
        good.facts["stop"] = Stop(by, "stopped", at_s * SECOND)
        bad = run_of(LIMIT, latencies=[SLOW] * 20)
        bad.facts["stop"] = Stop(by, "stopped", at_s * SECOND)
        judgement = good.judge()

        assert judgement.verdict is Verdict.INVALID
        assert f"stopped by {by} after {at_s} s of 60 s" in reason(judgement, "stopped").text
        assert bad.judge().verdict is Verdict.FAIL


def edited(plan, users=20):
    """The plan as somebody changed its users in the middle, and the fact."""
    half = plan.duration_us // 2
    load = EditedLoad(plan.load, [LoadEdit(half, users)])
    return plan.model_copy(update={"load": load}), Edited(half, 100, users, "the web UI, from 127.0.0.1")


def test_a_run_whose_users_were_edited_is_warn_at_best():
    """It offered what was asked for last, which was another load than the plan's, and says who wanted that."""
    run = run_of(LIMIT)
    run.plan, fact = edited(run.plan)
    run.facts["users_edited"] = (fact,)
    judgement = run.judge()

    assert judgement.verdict is Verdict.WARN
    assert codes(judgement) == {"users_edited"}
    assert "100 users were made 20 by hand after 30 s" in reason(judgement, "users_edited").text
    assert "127.0.0.1" in reason(judgement, "users_edited").text


def test_an_edit_that_the_load_did_not_follow_is_load_not_offered():
    """Who went on with the plan's users, or went with an edit that nobody made, offered another load than judged."""
    kept, made = run_of(LIMIT), run_of(LIMIT)
    kept_evidence = kept.evidence()
    made.plan, _ = edited(made.plan)
    made_evidence = made.evidence()
    plan, fact = edited(kept.plan)

    for judged, evidence, facts in (
        (plan, kept_evidence, replace(kept.run_facts(), users_edited=(fact,))),
        (kept.plan, made_evidence, made.run_facts()),
    ):
        judgement = judge(judged, [parse_rule(LIMIT)], evidence, facts)
        assert judgement.verdict is Verdict.INVALID
        assert "load_not_offered" in codes(judgement)


def stopped(*rules, at_s, latencies=(FAST,) * 20, seconds=120):
    run = Run(plan_of(*rules, load=[phase(seconds=seconds)])).answer(latencies, range(at_s))
    run.cut = {}
    run.facts["stop"] = Stop("hand", "enough", at_s * SECOND)

    def end(worker, second, interval):
        if second >= at_s:
            interval.user_us = {}

    return run.change(end)


def test_a_stopped_run_is_held_to_the_load_until_the_stop():
    """What was not run is one reason, not a missing load as well."""
    assert codes(stopped(LIMIT, at_s=40).judge()) == {"stopped"}


def test_a_rate_over_the_part_that_ran_says_so():
    """A shorter run keeps no rate silently: its rate is over the part that ran, and the rule is WARN at best."""
    judgement = stopped("rate >= 15/s", "count >= 100", "count <= 5000", at_s=40).judge()

    assert rule_of(judgement, "rate >= 15/s").value == 20
    assert rule_of(judgement, "rate >= 15/s").verdict is RuleVerdict.WARN
    assert "only 40 s of the 2 min to judge were run" in rule_of(judgement, "rate >= 15/s").reason
    assert rule_of(judgement, "count >= 100").verdict is RuleVerdict.PASS
    assert rule_of(judgement, "count <= 5000").verdict is RuleVerdict.WARN


def test_a_fail_of_a_stopped_run_must_stand_with_the_rest():
    """Broken in the first third, the rest taken as fast: only a limit broken beyond that is FAIL."""
    rescued = stopped("p50 <= 100ms", at_s=40, latencies=[SLOW] * 11 + [FAST] * 9).judge()
    hopeless = stopped("p50 <= 100ms", at_s=100, latencies=[SLOW] * 20).judge()

    assert rescued.verdict is Verdict.INVALID
    assert hopeless.verdict is Verdict.FAIL


def test_a_rate_of_a_stopped_run_must_stand_over_the_whole_plan():
    """20/s in the part that ran would be 20/s in the rest: 21/s is broken either way, 20/s kept."""
    assert stopped("rate >= 21/s", at_s=40).judge().verdict is Verdict.FAIL
    assert stopped("rate > 20/s", at_s=40, latencies=[FAST] * 21).judge().verdict is Verdict.INVALID


def test_a_phase_that_was_never_reached_is_no_data():
    """A rule on a phase behind the stop has nothing to judge and says why."""
    rules = ("p95{phase=late} <= 100ms", "rate{phase=late} >= 1/s")
    run = Run(plan_of(*rules, load=[phase("early", 60), phase("late", 60)])).answer([FAST] * 20, range(40))
    run.facts["stop"] = Stop("hand", "", 40 * SECOND)
    judgement = run.judge()

    for rule in rules:
        assert rule_of(judgement, rule).verdict is RuleVerdict.NO_DATA
        assert "ended before late began" in rule_of(judgement, rule).reason


def test_a_resource_mean_of_a_stopped_run_does_not_stand():
    """The rest of the run could have brought the mean down; a maximum cannot come down."""
    for rule, value, verdict in (
        ("resource(target.cpu) <= 80%", 0.9, Verdict.INVALID),
        ("resource(target.rss) <= 1GB", 2e9, Verdict.FAIL),
    ):
        run = stopped(rule, at_s=40)
        name = rule.partition("(")[2].partition(")")[0]
        run.facts["resources"] = {name: tuple(Sample(second * SECOND, value) for second in range(40))}
        judgement = run.judge()

        assert rule_of(judgement, rule).verdict is RuleVerdict.FAIL
        assert judgement.verdict is verdict


def test_a_smoke_run_is_warn_at_best():
    """It follows no plan: load and rates are not judged, few samples are no defect, broken answers are."""
    rules = (LIMIT, "rate >= 1000/s", "users >= 100", "check(compliance) >= 100%")
    load = [phase("ramp", 30, 0, 100, warmup=True), phase("steady", 600)]

    def smoke(**checks):
        run = Run(plan_of(*rules, load=load)).answer([FAST] * 3, [0]).check(**checks, seconds=[0])
        run.facts["smoke"] = True
        run.change(lambda worker, second, interval: interval.user_us.clear())
        return run.judge()

    good, bad = smoke(passed=3), smoke(passed=2, failed=1)

    assert good.verdict is Verdict.WARN
    assert "smoke" in codes(good)
    assert rule_of(good, LIMIT).verdict is RuleVerdict.NO_DATA
    assert rule_of(good, "rate >= 1000/s").verdict is RuleVerdict.NO_DATA
    assert rule_of(good, "check(compliance) >= 100%").verdict is RuleVerdict.PASS
    assert bad.verdict is Verdict.FAIL


def test_a_smoke_run_without_what_a_rule_names_is_invalid():
    """A name that never occurs is what a smoke run is there to find."""
    run = run_of("p95{name=nowhere} <= 1s")
    run.facts["smoke"] = True

    assert run.judge().verdict is Verdict.INVALID


def test_nothing_at_all_is_invalid():
    """No journal, or journals without a request, prove nothing, with or without rules."""
    silent = run_of(latencies=()).judge()
    run = run_of(LIMIT)
    run.absent = ("eu-west-1-01",)
    nothing = run.judge()

    assert codes(silent) == {"no_requests", "no_rules"}
    assert silent.verdict is Verdict.INVALID
    assert nothing.verdict is Verdict.INVALID
    assert {"no_evidence", "no_data", "region_missing"} <= codes(nothing)


def test_a_run_without_a_judged_rule_is_warn():
    """A run that judged nothing must not read as if it had."""
    judgement = run_of(optional=["resource(x) <= 5"]).judge()

    assert judgement.verdict is Verdict.WARN
    assert codes(judgement) == {"no_rules"}


@pytest.mark.parametrize(
    ("rule", "error_us", "doubtful"),
    [
        ("p95 <= 2s for 10s", 100_000, False),
        ("p95 <= 2s for 10s", 100_001, True),
        ("p95{phase=steady} <= 2s", 600_000, False),
        ("p95{phase=steady} <= 2s", 600_001, True),
        ("p95{phase=steady} <= 2s within 5s", 50_001, True),
        ("p95 <= 2s", 3_000_000, False),
    ],
)
def test_a_clock_that_is_not_known_well_enough_is_warn(rule, error_us, doubtful):
    """For rules on windows and phases, from an error of a hundredth of their length on; others do not hang on it."""
    run = run_of(rule)
    run.facts["clock_error_us"] = error_us
    judgement = run.judge()

    assert ("clock" in codes(judgement)) is doubtful
    assert judgement.verdict is (Verdict.WARN if doubtful else Verdict.PASS)


def test_a_guard_that_warned_is_warn():
    """The one that stopped the run is told by the stop alone."""
    run = run_of(LIMIT)
    trips = [GuardTrip("memory", level, 30 * SECOND, "memory is 2 GB") for level in ("warn", "stop", "blind")]
    run.facts["guards"] = tuple(trips)
    judgement = run.judge()

    assert judgement.verdict is Verdict.WARN
    assert [one.code for one in judgement.reasons] == ["guard", "guard"]


def test_exceptions_in_tasks_are_warn_with_their_count():
    """Scenario defects are no verdict on the target, and no PASS."""

    def raises(worker, second, interval):
        interval.task_errors["KeyError: 'id'"] = 2

    judgement = run_of(LIMIT).change(raises).judge()

    assert judgement.verdict is Verdict.WARN
    assert "120 exceptions left tasks" in reason(judgement, "task_errors").text


def test_undeclared_names_are_invalid_and_untracked_requests_warn():
    """A check that nobody declared cannot be judged; a request seen only at its end could hide a loss."""

    def undeclared(worker, second, interval):
        interval.undeclared.add("Reader uses the check 'x', which it does not declare")

    def untracked(worker, second, interval):
        interval.untracked = 1

    assert run_of(LIMIT).change(undeclared).judge().verdict is Verdict.INVALID
    assert run_of(LIMIT).change(untracked).judge().verdict is Verdict.WARN


def test_every_reason_is_listed_worst_first():
    """FAIL, then INVALID, then WARN, each a sentence of its own."""

    def trouble(worker, second, interval):
        interval.task_errors["boom"] = 1
        interval.cpu_us = 950_000

    run = run_of(LIMIT, "check(compliance) >= 100%", "p95{name=x} <= 1s").check(1, 1).change(trouble)
    run.facts["locust_counted"] = 7
    judgement = run.judge()

    assert [one.verdict for one in judgement.reasons] == sorted(
        (one.verdict for one in judgement.reasons),
        key=[Verdict.FAIL, Verdict.INVALID, Verdict.WARN].index,
    )
    assert codes(judgement) == {"rule", "no_data", "books_open", "task_errors", "generator_busy"}
    assert judgement.verdict is Verdict.FAIL


def test_books_that_do_not_close_are_invalid():
    """A started request without an end, and a count of the target's that does not fit, are each INVALID."""

    def lose(worker, second, interval):
        interval.started += second == 5

    run = run_of(LIMIT)
    run.facts["target_counts"] = {"GET /policies/:id": 1_199}

    assert codes(run_of(LIMIT).change(lose).judge()) == {"books_open"}
    assert codes(run.judge()) == {"books_open"}
    assert run.judge().verdict is Verdict.INVALID


def test_an_epoch_whose_intervals_were_not_judged_is_invalid():
    """The judge must have seen as many intervals as the journals hold."""
    run = run_of(LIMIT)
    evidence = run.evidence()
    facts = run.run_facts()
    more = replace(facts, epochs=(*facts.epochs, Epoch("eu-west-1-01", "eu-west-1", 2, 5, complete=True)))
    judgement = judge(run.plan, [parse_rule(LIMIT)], evidence, more)

    assert codes(judgement) == {"books_open"}


def test_exchanges_of_a_user_without_a_connection_do_not_matter():
    """An endpoint that never reached the wire is on neither side's book."""

    def on_start(worker, second, interval):
        interval.exchanges[Endpoint("USER", "on_start")] = Exchanges(0, 0)

    run = run_of(LIMIT).change(on_start)
    run.facts["target_counts"] = {"GET /policies/:id": 1_200, "GET /other": 0}

    assert run.judge().verdict is Verdict.PASS


def mixed(**weights):
    """A run of 100 users whose scenarios have these weights in the plan, and all whose users are of one."""
    run = run_of("p95 <= 1s")
    run.plan = run.plan.model_copy(update={"scenarios": {SCENARIO: 95.0, **weights}})
    return run


def test_a_scenario_that_never_had_a_user_is_invalid():
    """Five users of a hundred could not be made: the sum is within 5 %, and still a whole scenario is missing."""
    judgement = mixed(IntegrityUser=5.0).judge()

    assert judgement.verdict is Verdict.INVALID
    [reason] = [reason for reason in judgement.reasons if reason.code == "load_not_offered"]
    assert "IntegrityUser had 0 user-seconds" in reason.text


def test_a_mix_that_is_another_than_planned_is_invalid():
    """A scenario with a tenth of its users is named, though some of them ran."""

    def few(worker, second, interval):
        active = interval.user_us[SCENARIO]
        interval.user_us = {SCENARIO: active * 97 // 100, "IntegrityUser": active * 3 // 100}

    judgement = mixed(IntegrityUser=30.0).change(few).judge()

    assert judgement.verdict is Verdict.INVALID
    assert any("IntegrityUser had" in reason.text for reason in judgement.reasons)


def test_the_planned_mix_is_no_reason():
    """A fifth of the users in a scenario that asks for a fifth: nothing to say."""

    def planned(worker, second, interval):
        active = interval.user_us[SCENARIO]
        interval.user_us = {SCENARIO: active * 4 // 5, "IntegrityUser": active // 5}

    run = mixed(IntegrityUser=95.0 / 4).change(planned)

    assert "load_not_offered" not in codes(run.judge())


def test_a_count_that_the_target_owes_is_invalid():
    """A target that counts and could not be asked at the end leaves the second book open."""
    run = run_of("p95 <= 1s")
    run.facts["target_count_lost"] = "the target's count could not be read: timed out"
    judgement = run.judge()

    assert judgement.verdict is Verdict.INVALID
    assert [reason.text for reason in judgement.reasons if reason.code == "books_open"] == [
        "the target's count could not be read: timed out"
    ]


@pytest.mark.parametrize(
    ("planned", "others", "silent"), [(True, SCENARIO, True), (True, ABSENT, False), (False, SCENARIO, False)]
)
def test_users_that_never_ask_are_told_of(planned, others, silent):
    """A scenario whose users were there and did nothing is WARN, unless requests do not tell whose they are."""
    run = run_of("error_ratio <= 1%", load=[phase(users=50)])

    def beside(worker, second, interval):
        if planned:
            interval.user_us["Waiter"] = interval.user_us[SCENARIO] // 2
            interval.user_us[SCENARIO] -= interval.user_us["Waiter"]
        for key in list(interval.series):
            interval.series[key._replace(scenario=others)] = interval.series.pop(key)

    judgement = run.change(beside).judge()

    assert judgement.verdict is (Verdict.WARN if silent else Verdict.PASS)
    assert codes(judgement) == ({"silent"} if silent else set())
    assert not silent or "scenario Waiter had 1,500 user-seconds" in reason(judgement, "silent").text


def test_users_that_only_check_are_not_silent():
    """A scenario of checks alone has done something."""
    run = run_of("error_ratio <= 1%")

    def beside(worker, second, interval):
        interval.user_us["Auditor"] = interval.user_us[SCENARIO] // 2
        interval.user_us[SCENARIO] -= interval.user_us["Auditor"]
        interval.checks[CheckKey("Auditor", "chain", "steady")] = CheckCounts(passed=1)

    assert run.change(beside).judge().verdict is Verdict.PASS


@pytest.mark.parametrize("asks", [True, False])
def test_a_user_of_an_open_plan_is_silent_only_where_it_took_starts(asks):
    """Of a pool it is the starts that tell whether a scenario had anything to do."""
    run = Run(plan_of("error_ratio <= 1%", load=[open_phase(rate=20)])).steadily([FAST] * 20)

    def beside(worker, second, interval):
        interval.user_us["Waiter"] = interval.user_us[SCENARIO]
        if asks:
            interval.arrivals[ArrivalKey("Waiter", "steady", ())] = Arrivals(taken=1)

    assert ("silent" in codes(run.change(beside).judge())) is asks


@pytest.mark.parametrize(("failed", "is_told"), [(1, True), (0, False)])
def test_passes_of_a_flow_that_end_early_are_told_of(failed, is_told):
    """Where an answer lacks the value of a capture, the rest of the flow is not asked, so the load was another."""
    flow = Flow(name=SCENARIO, weight=1, steps=())
    run = run_of("error_ratio <= 1%")
    run.plan = run.plan.model_copy(update={"flows": (flow,)})
    judgement = run.check(passed=9, failed=failed, name="capture(id)").judge()

    assert codes(judgement) == ({"passes_cut"} if is_told else set())
    assert not is_told or "60 of 600" in reason(judgement, "passes_cut").text


@pytest.mark.parametrize(("endpoints", "folded"), [(2_000, True), (1_000, False)])
def test_endpoints_beyond_what_a_worker_tells_apart_are_told_of(endpoints, folded):
    """Whatever a rule by name says then, some of its requests may stand as `other`; an endpoint of that name is none."""
    run = Run(plan_of("error_ratio <= 1%")).steadily([FAST], name="other").steadily([FAST] * 9)
    for number in range(endpoints):
        run.answer([FAST], [number % 50], name=f"GET /{number}")
    judgement = run.judge()

    assert judgement.verdict is (Verdict.WARN if folded else Verdict.PASS)
    assert codes(judgement) == ({"names_folded"} if folded else set())
