"""Rules on the requests of one fault's window, or of none: what they count, and what they must not overlook."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import SCENARIO, SECOND, Run, codes, open_phase, phase, plan_of, rule_of
from outages import USERS, Target, errors, fault_of, hangs, is_dead, run_with, slow

from loadproof.measure.interval import ArrivalKey, Arrivals, Outcome
from loadproof.verdict.facts import FaultTimes
from loadproof.verdict.result import RuleVerdict, Verdict

OUTAGE = fault_of(at=20, length=20)
FAST = [50_000] * 20
BEGUN = {"faults_begun": frozenset({"outage"})}


def made(*rules, load=None, faults=(OUTAGE,), **facts):
    """A run of 60 s whose requests lay in the fault's window exactly if they ended in its seconds."""
    plan = plan_of(*rules, load=load).model_copy(update={"faults": tuple(faults)})
    run = Run(plan)
    run.facts |= BEGUN | facts
    for second in range(60):
        inside = ("outage",) if 20 <= second < 40 else ()
        run.answer(FAST, [second], faults=inside)
    return run


def test_each_request_counts_where_it_lay():
    """`fault=NAME` takes what lay in the window, `fault=none` what lay in none, and nothing else both."""
    rules = (
        "count{fault=outage} >= 1",
        "count{fault=none} >= 1",
        "count >= 1",
        "error_ratio{fault=outage} <= 60%",
        "error_ratio{fault=none} <= 5%",
        "p95{fault=outage} <= 1s",
        "p95{fault=none} <= 100ms",
        "mean{fault=outage} <= 1s",
        "max{scenario=Reader, fault=none} <= 100ms",
    )
    run = made(*rules)
    run.answer([500_000] * 20, range(20, 40), faults=("outage",))
    run.answer([1_000] * 40, range(20, 40), Outcome.FAILED, faults=("other", "outage"))
    found = {one.rule: one for one in run.judge().rules}

    assert [found[rule].value for rule in rules[:5]] == [800, 800, 1_600, 0.5, 0.0]
    assert found["p95{fault=none} <= 100ms"].value == pytest.approx(50_000, rel=0.001)
    assert found["p95{fault=outage} <= 1s"].value == pytest.approx(500_000, rel=0.001)
    assert found["mean{fault=outage} <= 1s"].value == pytest.approx(275_000, rel=0.001)
    assert {found[rule].verdict for rule in rules} == {RuleVerdict.PASS}


def test_rate_is_what_was_done_in_that_time():
    """Of a fault what ended in its window's full seconds, outside what lay in none, each over its own time."""
    rules = ("rate{fault=outage} >= 1/s", "rate{fault=none} >= 1/s")
    run = made(*rules, faults=[fault_of(at=20.5, length=18.75)])
    run.requests[run.workers[0][0]] = {
        second: [
            (us, outcome, {"faults": ("outage",) if second in range(20, 45) else ()})
            for us, outcome, _ in ended
        ]
        for second, ended in run.requests[run.workers[0][0]].items()
    }
    inside, outside = (rule_of(run.judge(), rule) for rule in rules)

    assert (inside.value, inside.samples) == (20.0, 18 * 20)
    assert outside.value == pytest.approx(35 * 20 / (60 - 18.75))
    assert inside.verdict is RuleVerdict.WARN, "18 seconds are fewer than an interval needs"


def test_what_hung_in_a_fault_is_no_rate_of_it():
    """A hundred answers that come when it is over were not given while it was on."""
    rule = "rate{fault=outage} >= 1/s"
    found = rule_of(run_with(rule, target=Target((hangs(30, 40),))).judge(), rule)

    assert found.value < 1
    assert found.verdict is RuleVerdict.FAIL


def test_a_window_without_a_full_second_has_no_rate():
    """Nothing is divided by a part of a second."""
    rule = "rate{fault=outage} >= 1/s"
    found = rule_of(made(rule, faults=[fault_of(at=20.5, length=1)]).judge(), rule)

    assert found.verdict is RuleVerdict.NO_DATA
    assert "no full second" in found.reason


@pytest.mark.parametrize("fault", ["outage", "none"])
def test_a_fault_that_was_not_begun_leaves_nothing_of_it_to_judge(fault):
    """Whatever lay in the window of a fault that never was says nothing of it; what lay outside does."""
    rule = f"error_ratio{{fault={fault}}} <= 5%"
    judged = made(rule, faults_begun=frozenset()).judge()

    assert rule_of(judged, rule).verdict is (RuleVerdict.PASS if fault == "none" else RuleVerdict.NO_DATA)
    assert judged.verdict is Verdict.INVALID


def test_a_fault_that_began_late_is_doubted():
    """Where more than a twentieth of the window had gone before it began, what is judged is in part of no fault."""
    rules = ("error_ratio{fault=outage} <= 5%", "functionality{fault=outage} >= 80%")
    early = {"outage": FaultTimes(20 * SECOND + 900_000, 40 * SECOND)}
    late = {"outage": FaultTimes(21 * SECOND + 100_000, 40 * SECOND)}
    words = [
        [rule_of(made(*rules, fault_times=times).judge(), rule) for rule in rules] for times in (early, late)
    ]

    assert [one.verdict for one in words[0]] == [RuleVerdict.PASS] * 2
    assert [one.verdict for one in words[1]] == [RuleVerdict.WARN] * 2
    assert all("1.1 s of the 20 s of its window had gone" in one.reason for one in words[1])


def test_a_phase_and_a_fault_take_what_is_in_both():
    """Both labels hold together, and a fault in warm-up leaves nothing to judge."""
    load = [phase("warm", 30, warmup=True), phase("steady", 30)]
    rules = (
        "count{phase=steady, fault=outage} >= 1",
        "count{fault=outage} >= 1",
        "rate{fault=outage} >= 1/s",
    )
    judged = made(*rules, load=load).judge()
    in_warm_up = made(
        "p95{fault=outage} <= 1s", load=[phase("warm", 45, warmup=True), phase("b", 15)]
    ).judge()

    assert [rule_of(judged, rule).value for rule in rules] == [200, 200, 20.0]
    assert in_warm_up.rules[0].verdict is RuleVerdict.NO_DATA


@pytest.mark.parametrize(
    ("rules", "implied"),
    [
        (
            ["p95{fault=outage} <= 5s"],
            ["error_ratio{fault=outage} <= 1%", "stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{fault=outage} <= 5s", "functionality{fault=outage} >= 80%"],
            ["stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{fault=outage} <= 5s", "functionality >= 80%"],
            ["stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{fault=outage} <= 5s", "functionality{fault=outage} <= 80%"],
            ["error_ratio{fault=outage} <= 1%", "stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{region=eu-west-1, fault=outage} <= 5s", "functionality{fault=outage} >= 80%"],
            ["error_ratio{region=eu-west-1, fault=outage} <= 1%", "stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{fault=none} <= 2s", "error_ratio{fault=none} <= 5%"],
            ["stall{fault=none} <= 2s"],
        ),
        (
            ["p95 <= 3s", "p95{fault=outage} <= 5s", "error_ratio <= 5%", "error_ratio{fault=outage} <= 5%"],
            ["stall <= 5s", "stall{fault=outage} <= 5s"],
        ),
        (
            ["p95{fault=outage} <= 5s", "error_ratio{fault=outage} <= 5%", "stall <= 9s"],
            [],
        ),
        (
            ["p95{fault=none} <= 5s", "error_ratio{fault=none} <= 5%", "stall{fault=none} <= 9s"],
            [],
        ),
        (
            ["p95{fault=none} <= 5s", "error_ratio <= 5%", "stall{fault=outage} <= 9s"],
            ["error_ratio{fault=none} <= 1%", "stall{fault=none} <= 5s"],
        ),
    ],
)
def test_latency_rules_of_faults_imply_errors_and_stalls_of_theirs(rules, implied):
    """Nobody keeps a latency limit of a fault, or outside of all, by refusing or hanging in just that time."""
    judged = made(*rules).judge()

    assert [one.rule for one in judged.rules if one.implied] == implied


def test_a_pause_counts_where_it_lies():
    """A stall of a fault is the part in its window, one of `none` what lies outside of all."""
    rules = ("stall{fault=outage} <= 5s", "stall{fault=none} <= 5s", "stall <= 5s")
    judged = run_with(*rules, target=Target((hangs(38, 52),)), faults=[fault_of(at=30, length=10)]).judge()
    inside, outside, whole = (rule_of(judged, rule).value / SECOND for rule in rules)

    assert 1 <= inside <= 2, "the run tells when answers came by their second"
    assert outside == pytest.approx(12, abs=0.2)
    assert whole == pytest.approx(inside + outside)
    assert [one.verdict for one in judged.rules] == [RuleVerdict.PASS, RuleVerdict.FAIL, RuleVerdict.FAIL]


@pytest.mark.parametrize("spells", [(is_dead(30),), (hangs(30, 1_000),)], ids=["dead", "hangs"])
@pytest.mark.parametrize(
    "rule",
    [
        "p95{fault=none} <= 100ms",
        "mean{fault=none} <= 100ms",
        "error_ratio{fault=none} <= 5%",
        "count{fault=none} <= 10000",
    ],
)
def test_a_target_that_hangs_ever_after_passes_no_rule_of_none(spells, rule):
    """All that is under way then began in the fault: that nothing lay outside is no proof of how it was there."""
    judged = run_with(rule, target=Target(spells)).judge()

    assert rule_of(judged, rule).verdict in {RuleVerdict.NO_DATA, RuleVerdict.FAIL}
    assert judged.verdict in {Verdict.INVALID, Verdict.FAIL}


def test_users_that_hang_on_after_a_fault_count_outside_of_it():
    """Requests of a fault that outlive it by more than the limit are slow outside too, among quick ones of others."""
    rule, errors_rule = "p95{fault=none} <= 100ms", "error_ratio{fault=none} <= 1%"
    run = run_with(rule, errors_rule, target=Target(), tail=31)
    run.answer([61 * SECOND] * 1_000, [100], Outcome.UNFINISHED, faults=("outage",))
    judged = run.judge()

    assert rule_of(judged, rule).verdict is RuleVerdict.FAIL
    assert (
        "where 1,000 requests of a fault outlived it by more than the limit" in rule_of(judged, rule).reason
    )
    assert rule_of(judged, errors_rule).verdict is RuleVerdict.FAIL
    assert (
        "with 1,000 of a fault that outlived it by more than the stop timeout"
        in rule_of(judged, errors_rule).reason
    )


@pytest.mark.parametrize(("outlived_s", "verdict"), [(3, RuleVerdict.PASS), (60, RuleVerdict.WARN)])
def test_a_mean_counts_what_a_fault_left_behind_with_its_time_after_it(outlived_s, verdict):
    """That is known to the second: it is not taken as if each had lasted the whole run, which could be anything."""
    rule = "mean{fault=none} <= 1s"
    run = run_with(rule, target=Target(), tail=31)
    run.answer([outlived_s * SECOND] * 300, [40 + outlived_s], faults=("outage",))
    found = rule_of(run.judge(), rule)

    assert found.verdict is verdict, found.reason
    assert "300 of which had no answer" in found.reason


@pytest.mark.parametrize(("limit", "is_kept"), [("1s", False), ("3s", True)])
def test_what_a_fault_leaves_behind_in_time_is_its_own(limit, is_kept):
    """Requests of a fault that end within the limit after it say nothing of the time outside; later ones do."""
    rule = f"max{{fault=none}} <= {limit}"
    found = rule_of(run_with(rule, target=Target((slow(39, 40, 3_000_000),))).judge(), rule)

    assert (found.verdict is not RuleVerdict.FAIL) is is_kept
    assert not is_kept or found.value <= 60_000


@pytest.mark.parametrize(
    ("faults", "inside", "outside"), [(("outage",), 0.2, 0.0), ((), 0.0, 1 / 9), (("outage", "x"), 0.2, 0.0)]
)
def test_a_dropped_start_counts_where_it_waited(faults, inside, outside):
    """A start of an open plan that was dropped is an error of the fault in whose window it had waited, and of no other."""
    rules = ("error_ratio{fault=outage} <= 50%", "error_ratio{fault=none} <= 50%")
    run = made(*rules, load=[open_phase(seconds=60, rate=20)])

    def drop(worker, second, interval):
        if 20 <= second < 40:
            key = ArrivalKey(SCENARIO, "steady", faults)
            interval.arrivals[key] = Arrivals(0, 5, 0) if faults else Arrivals(20, 5, 0)

    judged = run.change(drop).judge()

    assert rule_of(judged, rules[0]).value == pytest.approx(inside)
    assert rule_of(judged, rules[1]).value == pytest.approx(outside)


def test_a_broken_limit_of_a_fault_fails_the_run():
    """Errors in a fault's window alone break its rule, and leave that of the rest."""
    rules = ("error_ratio{fault=outage} <= 20%", "error_ratio{fault=none} <= 1%")
    judged = run_with(*rules, target=Target((errors(30, 40, 0.5),))).judge()

    assert [rule_of(judged, rule).verdict for rule in rules] == [RuleVerdict.FAIL, RuleVerdict.PASS]
    assert judged.verdict is Verdict.FAIL


def test_missing_requests_are_those_of_the_window():
    """Where a worker's evidence is torn outside of the window, what is missing cannot have mended the fault's errors."""
    rule = "error_ratio{fault=outage} <= 20%"
    run = run_with(rule, target=Target((errors(30, 40),)), users=USERS)
    run.cut["eu-west-1-01"] = 70
    judged = run.judge()

    assert judged.verdict is Verdict.FAIL
    assert {"torn_epoch", "rule"} <= codes(judged)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([(), ("outage",), ("other",), ("other", "outage")]), min_size=1, max_size=30))
def test_parts_make_the_whole(labels):
    """Ok requests of a fault and those of no fault are all there are, but for those of other faults alone."""
    rules = ("count{fault=outage} >= 0.5", "count{fault=none} >= 0.5", "count >= 0.5")
    run = Run(plan_of(*rules).model_copy(update={"faults": (OUTAGE, fault_of("other", 41, 5))}))
    run.facts["faults_begun"] = frozenset({"outage", "other"})
    for second, faults in enumerate(labels):
        run.answer([1_000], [second], faults=faults)
    inside, outside, whole = (rule_of(run.judge(), rule).value or 0 for rule in rules)

    assert (inside, outside, whole) == (
        sum("outage" in one for one in labels),
        labels.count(()),
        len(labels),
    )
