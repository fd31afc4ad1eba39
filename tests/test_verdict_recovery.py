"""Known outages and known heals: what is measured of them agrees with what was planted."""

from dataclasses import replace

import pytest
from judging import SCENARIO, SECOND, Run, open_phase, phase, plan_of, rule_of
from outages import (
    BASE_US,
    USERS,
    Target,
    errors,
    fault_of,
    hangs,
    heals,
    is_dead,
    run_with,
    slow,
)

from loadproof.measure.interval import ArrivalKey, Arrivals, Outcome
from loadproof.plan.model import ArrivalProcess
from loadproof.verdict.band import LEAST_S, band_of
from loadproof.verdict.case import Case
from loadproof.verdict.facts import FaultTimes, Stop
from loadproof.verdict.fault_shares import functionality
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge, judge_rules
from loadproof.verdict.pulse import Second
from loadproof.verdict.recovery import HELD_S, first_held, overshoot, recoveries, residue
from loadproof.verdict.result import RuleVerdict, Verdict

DETECTION = "detection_time{fault=outage} <= 5s"
FUNCTIONALITY = "functionality{fault=outage} >= 80%"
RECOVERY = "recovery_time{fault=outage} <= 10s"
OVERSHOOT = "overshoot{fault=outage} <= 50%"
BURNT = "budget_burnt{fault=outage} <= 50%"
RESIDUE = "residue{fault=outage} <= 5%"
ALL = (DETECTION, FUNCTIONALITY, RECOVERY, OVERSHOOT, BURNT, RESIDUE)
FAULT = fault_of(at=30, length=10)


def result(rule, target, **options):
    return rule_of(run_with(rule, target=target, **options).judge(), rule)


@pytest.mark.parametrize(
    ("target", "detection_s", "recovery_s"),
    [
        (Target((errors(30, 40),)), 0, 0),
        (Target((hangs(30, 40),)), 0, 0),
        (Target((errors(33.4, 40),)), 3.4, 0),
        (Target((hangs(32.95, 40),)), 2.95, 0),
        (Target((errors(30, 35),)), 0, 0),
        (Target((errors(30, 47.3),)), 0, 7.3),
        (Target((errors(30, 40), errors(40, 52.5, share=0.5))), 0, 12.5),
        (Target((hangs(30, 44.6),)), 0, 4.6),
        (Target((slow(30, 48.2, 400_000),)), 0, 8.2),
        (Target((errors(30.2, 40), heals(40, 55.0))), 0.2, 14.7),
        (Target((errors(36.9, 38.1), slow(40, 43, 300_000))), 6.9, 3.3),
        (Target((errors(30, 40), slow(41.1, 41.9, 400_000))), 0, 2.3),
    ],
    ids=[
        "refuses at once and is well at once",
        "hangs and answers all when it is over",
        "begins to refuse late",
        "begins to hang late",
        "is well before the fault is over",
        "refuses after it",
        "refuses half of all after it",
        "hangs after it",
        "is slow after it",
        "heals slowly",
        "is slow after it was well again",
        "is well for a second, and then not",
    ],
)
def test_detection_and_recovery_agree_with_what_was_planted(target, detection_s, recovery_s):
    """Whatever the shape of the outage, both times lie within a second of the planted ones.

    A target is well when its last ill answer has come. A straight heal from ten times the latency comes into the band
    of a fifth above it 2 % before it is done.
    """
    judged = run_with(DETECTION, RECOVERY, target=target).judge()

    assert abs(rule_of(judged, DETECTION).value / SECOND - detection_s) < 1
    assert abs(rule_of(judged, RECOVERY).value / SECOND - recovery_s) < 1


@pytest.mark.long
@pytest.mark.parametrize("begin", [30 + tenth / 10 for tenth in range(10)])
@pytest.mark.parametrize("kind", [errors, hangs])
def test_the_part_of_a_second_at_which_it_happens_does_not_matter(kind, begin):
    """A fault of a fractional begin, onset and heal is told to a second at every tenth of one."""
    fault = fault_of(at=begin, length=10)
    for onset in (0.0, 1.0, 2.5, 3.9):
        for heal in (0.0, 1.3, 4.8):
            target = Target((kind(begin + onset, begin + 10 + heal),))
            judged = run_with(DETECTION, RECOVERY, target=target, faults=[fault]).judge()
            assert abs(rule_of(judged, DETECTION).value / SECOND - onset) < 1
            assert abs(rule_of(judged, RECOVERY).value / SECOND - heal) < 1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9, 1.0])
def test_functionality_is_the_share_that_was_planted(share):
    """Of requests that lay in the window so many were ok as the target let be, within 1 %."""
    found = result(FUNCTIONALITY, Target((errors(30, 40, share),)))

    assert found.value == pytest.approx(1 - share, abs=0.01)
    assert found.verdict is (RuleVerdict.PASS if share < 0.2 else RuleVerdict.FAIL)
    assert found.samples > 500


def test_functionality_of_a_scenario_counts_its_requests_alone():
    """With `scenario=` nothing of another scenario counts, and one without a request in the window has no data."""
    run = run_with(
        "functionality{scenario=Writer, fault=outage} >= 80%",
        "functionality{scenario=Nobody, fault=outage} >= 80%",
        target=Target((errors(30, 40),)),
    )
    run.answer([BASE_US] * 30, range(30, 40), scenario="Writer", faults=("outage",))
    of_writer, of_nobody = run.judge().rules

    assert (of_writer.value, of_writer.samples, of_writer.verdict) == (1.0, 300, RuleVerdict.PASS)
    assert of_nobody.verdict is RuleVerdict.NO_DATA
    assert "no request of Nobody lay in the window of outage" in of_nobody.reason


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target((errors(30, 1_000),)), "when the run ended"),
        (Target((is_dead(30),)), "when the run ended"),
        (Target((hangs(30, 1_000),)), "when the run ended"),
        (Target((errors(30, 40), errors(40, 1_000, 0.05))), "when the run ended"),
        (Target((errors(30, 40), slow(40, 1_000, 150_000))), "when the run ended"),
        (Target((errors(30, 87),)), "though it was as before for the last 3 s"),
    ],
    ids=["refuses", "is dead", "hangs", "a twentieth fails", "stays slow", "too late"],
)
def test_a_target_that_never_heals_fails(target, said):
    """That it never was as before is the worst value there is, said with the time it had, and no lack of data."""
    run = run_with(RECOVERY, target=target)
    judged = run.judge()
    found = rule_of(judged, RECOVERY)

    assert found.verdict is RuleVerdict.FAIL
    assert "not recovered in 50 s after outage was over" in found.reason
    assert said in found.reason
    assert judged.verdict is Verdict.FAIL


def test_a_fault_that_never_shows_was_not_detected():
    """A rule on detection is broken by a fault that left no trace; the others are kept."""
    judged = run_with(*ALL, target=Target()).judge()

    assert rule_of(judged, DETECTION).verdict is RuleVerdict.FAIL
    assert "never showed in the 60 s after its begin" in rule_of(judged, DETECTION).reason
    assert {rule_of(judged, rule).verdict for rule in ALL[1:]} == {RuleVerdict.PASS}


def test_a_pause_of_the_plan_is_no_trace_of_a_fault():
    """That nobody asks is not the fault's doing: what it did not do to those who asked was not detected."""
    load = [phase("steady", 33, USERS), phase("pause", 20, 0), phase("again", 37, USERS)]
    found = result(DETECTION, Target(), load=load)
    ill = result("detection_time{fault=outage} <= 30s", Target((errors(30, 60),)), load=load)

    assert found.verdict is RuleVerdict.FAIL
    assert "never showed" in found.reason
    assert (ill.verdict, ill.value) == (RuleVerdict.PASS, 0)


@pytest.mark.parametrize(
    ("ill_s", "verdict"), [(27, RuleVerdict.WARN), (28.9, RuleVerdict.WARN), (30, RuleVerdict.PASS)]
)
def test_an_illness_that_was_there_before_a_fault_is_no_sure_detection(ill_s, verdict):
    """What shows at once, and did so in the second before, may have come without the fault."""
    found = result(DETECTION, Target((errors(ill_s, 40),)))

    assert (found.value, found.verdict) == (0, verdict)
    assert verdict is RuleVerdict.PASS or "in the second before it already" in found.reason


def test_detection_within_a_second_of_its_limit_is_not_proven():
    """Of the second that shows a fault first nobody knows which part: a limit inside it is WARN."""
    target = Target((errors(33.5, 40),))
    verdicts = {
        limit: result(f"detection_time{{fault=outage}} <= {limit}s", target).verdict for limit in (2, 3, 4)
    }

    assert verdicts == {2: RuleVerdict.FAIL, 3: RuleVerdict.WARN, 4: RuleVerdict.PASS}


def test_overshoot_and_residue_tell_how_much_and_where():
    """Latency four times as high for a moment overshoots by 300 %; a tenth more that stays is the residue."""
    target = Target((errors(30, 40), slow(40, 43, 200_000), slow(43, 1_000, 55_000)))
    judged = run_with(OVERSHOOT, RESIDUE, target=target).judge()

    assert rule_of(judged, OVERSHOOT).value == pytest.approx(3.0, abs=0.1)
    assert "latency was 2" in rule_of(judged, OVERSHOOT).reason
    assert rule_of(judged, RESIDUE).value == pytest.approx(0.1, abs=0.02)
    assert {one.verdict for one in judged.rules if not one.implied} == {RuleVerdict.FAIL}


def test_a_millisecond_is_neither_overshoot_nor_residue():
    """Where answers take a millisecond, twice that is the machine's noise; eleven times is not."""
    before = [Second(10.0, 100, 100, 100, 100 * us, 0) for us in (1_000, 1_100, 900) * 5]
    band = band_of(before)
    found = {
        us: [
            one(band, [Second(10.0, 100, 100, 100, 100 * us, 0)] * 5)
            for one in (residue, lambda *told: overshoot(*told, 0))
        ]
        for us in (2_000, 11_000)
    }

    assert [one.value for one in found[2_000]] == [0, 0]
    assert [one.value for one in found[11_000]] == pytest.approx([10, 10])


def test_a_storm_of_requests_is_an_overshoot():
    """Users whom errors send back at once ask three times as often as before, which is beyond the load before."""
    found = result(OVERSHOOT, Target((errors(30, 45),)), users=USERS)

    assert found.value == pytest.approx(150 / 102 - 1, abs=0.05)
    assert "requests were begun in second" in found.reason


def test_a_target_that_answers_nobody_after_a_fault_tells_of_no_overshoot():
    """Without any ok request there is no latency, and so no proof that it was low; who waited in the fault is no proof."""
    for target in (Target((is_dead(35),)), Target((hangs(30, 40), is_dead(40)))):
        found = result(OVERSHOOT, target)

        assert found.verdict is RuleVerdict.NO_DATA
        assert "no request was ok that began after outage" in found.reason


@pytest.mark.parametrize(
    ("length", "verdict"), [(55, RuleVerdict.PASS), (56, RuleVerdict.NO_DATA), (58, RuleVerdict.NO_DATA)]
)
def test_what_cannot_show_a_recovery_shows_neither_overshoot_nor_residue(length, verdict):
    """In fewer seconds than a recovery takes nobody knows what was to come; what broke a limit in them has broken it."""
    fault = fault_of(at=30, length=length)
    rules = (OVERSHOOT, "residue{fault=outage} <= 10%")
    well = run_with(*rules, target=Target((errors(30, 30 + length),)), faults=[fault]).judge()
    ill = run_with(*rules, target=Target((errors(30, 30 + length), slow(30, 99, 400_000))), faults=[fault])

    assert [rule_of(well, rule).verdict for rule in rules] == [verdict] * 2
    assert [rule_of(ill.judge(), rule).verdict for rule in rules] == [RuleVerdict.FAIL] * 2


def test_a_fault_that_was_begun_late_is_doubtful_in_all_that_is_said_of_it():
    """One that lasted for a tenth of its window is no proof of how the target takes all of it; a little late it is."""
    rules = ("functionality >= 10%", "detection_time <= 5s", *(rule for rule in ALL[2:] if rule != BURNT))
    rules = (*rules, "budget_burnt <= 1000%")
    words = {}
    for late_s in (0.4, 9):
        run = run_with(*rules, target=Target((errors(30 + late_s, 40),)))
        run.facts["fault_times"] = {"outage": FaultTimes(round((30 + late_s) * SECOND), 40 * SECOND)}
        judged = run.judge()
        words[late_s] = [(rule_of(judged, rule).verdict, rule_of(judged, rule).reason) for rule in rules]

    assert [verdict for verdict, _ in words[9]] == [RuleVerdict.WARN] * 6
    assert all("9 s of the 10 s of its window had gone" in reason for _, reason in words[9])
    assert not any("had gone" in reason for _, reason in words[0.4])


@pytest.mark.parametrize(
    ("rules", "burnt"),
    [((BURNT,), 1.0), ((BURNT, "error_ratio <= 4%", "error_ratio{fault=none} <= 1%"), 0.25)],
)
def test_the_budget_is_what_the_plan_lets_fail(rules, burnt):
    """A hundredth of all requests, or what the plan's own error ratio allows; the fault's errors are held against it."""
    run = run_with(*rules, target=Target())
    total = sum(len(ended) for seconds in run.requests.values() for ended in seconds.values())
    ended = [one for second in range(31, 39) for one in run.requests[run.workers[0][0]][second]]
    for at in range(total // 100):
        ended[at][2]["faults"] = ("outage",)
    failing = {id(one) for one in ended[: total // 100]}
    for seconds in run.requests.values():
        for second, requests in seconds.items():
            seconds[second] = [
                (us, Outcome.FAILED if id(one) in failing else outcome, key)
                for one in requests
                for us, outcome, key in (one,)
            ]

    assert rule_of(run.judge(), BURNT).value == pytest.approx(burnt, rel=0.01)


def test_who_hangs_for_most_of_a_fault_is_no_proof_that_it_works():
    """Requests that wait for the fault's end are ok; that nothing was answered meanwhile is a doubt."""
    found = result(FUNCTIONALITY, Target((hangs(30, 40),)))

    assert (found.value, found.verdict) == (1.0, RuleVerdict.WARN)
    assert "nothing at all was answered in 9" in found.reason


@pytest.mark.parametrize(
    ("rule", "is_enough"),
    [
        ("stall <= 20s", True),
        ("stall{fault=outage} <= 20s", True),
        ("max{fault=outage} <= 20s", True),
        ("stall{fault=none} <= 20s", False),
        ("max <= 20s", False),
    ],
)
def test_a_plan_that_limits_the_waiting_has_no_doubt(rule, is_enough):
    """Who has said how long nothing may be answered is not asked to say it."""
    run = run_with(FUNCTIONALITY, rule, target=Target((hangs(30, 40),)))
    found = rule_of(run.judge(), FUNCTIONALITY)

    assert found.verdict is (RuleVerdict.PASS if is_enough else RuleVerdict.WARN)


def test_what_began_in_a_fault_is_no_illness_after_it():
    """Requests of the fault that fail when it is over do not put off the recovery; new ones that fail do."""
    run = run_with(RECOVERY, target=Target((errors(30, 40),)))
    run.answer([9_000_000] * 60, range(41, 45), Outcome.FAILED, faults=("outage",))
    late = run_with(RECOVERY, target=Target((errors(30, 40),)))
    late.answer([9_000] * 60, range(41, 45), Outcome.FAILED)

    assert rule_of(run.judge(), RECOVERY).value < SECOND
    assert rule_of(late.judge(), RECOVERY).value == 5 * SECOND


def test_a_fault_at_the_begin_has_nothing_to_compare_with():
    """With fewer seconds before it than a band needs nothing is told of it but its functionality and budget."""
    faults = [fault_of(at=LEAST_S - 1, length=5)]
    judged = run_with(*ALL, target=Target((errors(9, 14),)), faults=faults).judge()
    found = {one.statistic: one.verdict for one in judged.rules if not one.implied}

    assert [name for name, verdict in found.items() if verdict is RuleVerdict.NO_DATA] == [
        "detection_time",
        "recovery_time",
        "overshoot",
        "residue",
    ]
    assert (
        f"only 9 s before it can tell how the target is, and {LEAST_S} are needed" in judged.rules[0].reason
    )


def test_warm_up_is_nothing_to_compare_with():
    """Seconds of warm-up are not like those after it, and so are not those before a fault."""
    load = [phase("warm", 25, USERS, warmup=True), phase("steady", 65, USERS)]
    found = result(RECOVERY, Target(), load=load)

    assert found.verdict is RuleVerdict.NO_DATA
    assert "only 5 s before it" in found.reason


@pytest.mark.parametrize(
    ("length", "left"), [(57, "3 s"), (60, "0 µs")], ids=["fewer seconds than needed", "none"]
)
def test_a_run_that_ends_too_soon_after_a_fault_could_not_show_recovery(length, left):
    """Fewer seconds than must be as before in a row are no opportunity."""
    found = result(RECOVERY, Target(), faults=[fault_of(at=30, length=length)])

    assert found.verdict is RuleVerdict.NO_DATA
    assert f"outage was over {left} before the run ended" in found.reason


def test_a_run_that_ends_within_a_fault_has_no_recovery():
    """What was not over is not recovered from, and not failed to."""
    run = run_with(*ALL, target=Target((errors(30, 40),)))
    run.facts["stop"] = Stop("hand", "enough", 36 * SECOND)
    run.facts["fault_times"] = {"outage": FaultTimes(30 * SECOND, 36 * SECOND + 500_000)}
    judged = run.judge()

    assert "the run ended before outage did" in rule_of(judged, RECOVERY).reason
    assert rule_of(judged, RECOVERY).verdict is RuleVerdict.NO_DATA
    assert rule_of(judged, DETECTION).verdict is RuleVerdict.PASS
    assert rule_of(judged, FUNCTIONALITY).verdict is RuleVerdict.FAIL


@pytest.mark.parametrize(
    ("second", "until_s", "verdict", "said"),
    [
        (fault_of("again", 60, 5), 60, RuleVerdict.FAIL, "not recovered in 20 s"),
        (fault_of("again", 40, 5), 40, RuleVerdict.NO_DATA, "0 µs before the fault again began"),
        (fault_of("again", 35, 10), 35, RuleVerdict.NO_DATA, "0 µs before the fault again began"),
        (fault_of("again", 20, 30), 20, RuleVerdict.NO_DATA, "0 µs before the fault again began"),
    ],
    ids=["after it", "touching", "overlapping", "around it"],
)
def test_the_next_fault_ends_the_time_to_recover(second, until_s, verdict, said):
    """Who is ill when the next fault begins has not recovered; whom it gave no time has no data."""
    target = Target((errors(min(30, until_s), 70),))
    found = result(RECOVERY, target, faults=[FAULT, second])

    assert found.verdict is verdict
    assert said in found.reason


def test_a_fault_within_another_does_not_end_its_recovery():
    """One that is over before the other is hides nothing of what comes after both."""
    target = Target((errors(30, 44),))
    found = result(RECOVERY, target, faults=[fault_of(at=30, length=12), fault_of("inner", 33, 4)])

    assert found.value == 2 * SECOND


def test_two_faults_are_told_apart_and_compared_with_health():
    """The second is compared with seconds in which the target was well, and without `fault=` the worse one counts."""
    rules = (
        "recovery_time{fault=first} <= 10s",
        "recovery_time{fault=second} <= 10s",
        "recovery_time <= 10s",
    )
    faults = [fault_of("first", 20, 5), fault_of("second", 50, 5)]
    target = Target((errors(20, 28), slow(28, 34, 400_000), errors(50, 68)))
    judged = run_with(*rules, target=target, faults=faults).judge()
    first, second, both = (rule_of(judged, rule) for rule in rules)

    assert [round(one.value / SECOND) for one in (first, second, both)] == [9, 13, 13]
    assert [one.verdict for one in (first, second, both)] == [
        RuleVerdict.PASS,
        RuleVerdict.FAIL,
        RuleVerdict.FAIL,
    ]
    assert "the worst of 2 faults" in both.reason


def test_what_shows_while_another_fault_is_on_is_nobodys():
    """A fault that begins before the target is well again, or that another joins before it shows, has no detection."""
    rules = ("detection_time{fault=second} <= 5s",)
    judged = run_with(
        *rules,
        target=Target((errors(30, 70),)),
        faults=[fault_of("first", 30, 20), fault_of("second", 55, 5)],
    ).judge()
    joined = run_with(
        *rules,
        target=Target((errors(44, 50),)),
        faults=[fault_of("second", 40, 10), fault_of("third", 43, 2)],
    ).judge()

    assert "what shows of second may be the fault first" in judged.rules[0].reason
    assert "what shows of second may be the fault third" in joined.rules[0].reason
    assert {one.rules[0].verdict for one in (judged, joined)} == {RuleVerdict.NO_DATA}


def test_two_faults_at_once_are_recovered_from_together():
    """Each has the same recovery, and neither a detection of its own, whichever was begun first."""
    rules = (*(f"recovery_time{{fault={name}}} <= 10s" for name in "ab"), "detection_time <= 5s")
    faults = [fault_of("a", 30, 10), fault_of("b", 30, 10)]
    run = run_with(*rules, target=Target((errors(30, 44),)), faults=faults)
    run.facts["fault_times"] = {
        "a": FaultTimes(30 * SECOND + 300, 40 * SECOND + 900),
        "b": FaultTimes(30 * SECOND + 100, 40 * SECOND + 1_500_000),
    }
    judged = run.judge()

    assert [rule_of(judged, rule).value for rule in rules[:2]] == [4 * SECOND] * 2
    assert rule_of(judged, rules[2]).verdict is RuleVerdict.NO_DATA
    assert "may be the fault" in rule_of(judged, rules[2]).reason


def test_more_users_after_a_fault_are_compared_by_what_each_of_them_got():
    """A step of the load within a fault is no illness and hides none."""
    load = [phase("steady", 35, USERS), phase("more", 55, 2 * USERS)]
    well = result(RECOVERY, Target((errors(30, 40),)), load=load)
    ill = result(RECOVERY, Target((errors(30, 46),)), load=load)

    assert (well.verdict, well.value < SECOND) == (RuleVerdict.PASS, True)
    assert ill.value == 6 * SECOND


def test_a_recovery_under_less_load_is_doubtful():
    """Half the users are easier to serve: what they got is no proof for all of them."""
    load = [phase("steady", 35, USERS), phase("less", 55, USERS // 2)]
    found = result(RECOVERY, Target((errors(30, 40),)), load=load)

    assert found.verdict is RuleVerdict.WARN
    assert "the load was 50 % less by then than before outage" in found.reason


def test_an_unsteady_target_has_no_band():
    """Where seconds before are not like each other, nothing after can be like them."""
    spells = [errors(second, second + 1) for second in range(2, 30, 4)]
    found = result(RECOVERY, Target(tuple(spells)))

    assert found.verdict is RuleVerdict.NO_DATA
    assert "unlike the others" in found.reason


@pytest.mark.parametrize("known", [None, "failed"])
def test_a_fault_that_nobody_began_has_no_recovery(known):
    """Without the event of its begin nothing is told of a fault, however the numbers look."""
    run = run_with(
        *ALL, "p95{fault=outage} <= 100ms", "error_ratio{fault=outage} <= 1%", target=Target(), known=False
    )
    judged = run.judge()

    assert {one.verdict for one in judged.rules if "fault" in one.selector} == {RuleVerdict.NO_DATA}
    assert all(
        "the fault outage was never begun" in one.reason for one in judged.rules if "outage" in one.rule
    )


@pytest.mark.parametrize(("ended_s", "recovery_s"), [(40.2, 0), (47.5, 12)])
def test_who_falls_ill_again_before_all_is_whole_had_not_recovered(ended_s, recovery_s):
    """A fault that took longer to begin than its window breaks the target when the plan has it over."""
    run = run_with(RECOVERY, target=Target((errors(46, 52),)))
    run.facts["fault_times"] = {"outage": FaultTimes(30 * SECOND, round(ended_s * SECOND))}
    found = rule_of(run.judge(), RECOVERY)

    assert found.value == recovery_s * SECOND
    assert found.verdict is (RuleVerdict.FAIL if recovery_s else RuleVerdict.PASS)


def test_no_seed_makes_a_healthy_target_ill():
    """Of six targets that fail in the fault alone each is well at once, or a second later."""
    values = [result(RECOVERY, Target((errors(30, 40),), seed=seed)).value for seed in range(6)]

    assert max(values) <= SECOND


def look(run, known_s, *rules):
    """What the rules say of the run while it goes on, as far as it is known."""
    evidence = run.evidence()
    facts = run.run_facts()
    stop = Stop("hand", "a look", known_s * SECOND)
    facts = replace(facts, goes_on=True, stop=stop, faults_begun=frozenset(), fault_times={})
    return judge_rules(run.plan, [parse_rule(rule) for rule in rules], evidence, facts)


def test_a_run_that_goes_on_is_not_broken_before_its_time():
    """While a fault is on and while a recovery may still be in time there is no word on them."""
    words = {}
    for known_s in (29, 35, 45, 49, 51, 53, 60):
        run = run_with(*ALL, target=Target((errors(30, 52),)))
        run.cut["eu-west-1-01"] = known_s
        results = look(run, known_s, *ALL)
        words[known_s] = [one.verdict.value for one in results]

    waiting = "NO_DATA"
    assert words[29] == [waiting] * 6
    assert words[35] == ["PASS", *[waiting] * 5]
    assert words[45][2] == words[49][2] == waiting
    assert words[51][2] == words[53][2] == words[60][2] == "FAIL"
    assert words[60][4:] == [waiting] * 2


def test_a_recovery_that_has_begun_is_waited_for():
    """Seconds as before that began in time may yet become a recovery; at the end of the run they did not."""
    run = run_with(RECOVERY, target=Target((errors(30, 48),)))
    run.cut["eu-west-1-01"] = 51
    (found,) = look(run, 51, RECOVERY)

    assert found.verdict is RuleVerdict.NO_DATA
    assert "has not recovered from outage yet, 8 s on" in found.reason
    assert HELD_S > 3


def test_torn_evidence_makes_no_verdict_on_recovery():
    """A worker whose journal has no end may have seen the target well."""
    run = run_with(RECOVERY, target=Target((errors(30, 1_000),)))
    run.cut["eu-west-1-01"] = 80
    judged = judge(run.plan, [parse_rule(RECOVERY)], run.evidence(), run.run_facts())

    assert judged.verdict is Verdict.INVALID


def test_the_counts_of_functionality_are_exact():
    """Every request that lay in the window counts once, by how it ended."""
    run = run_with(FUNCTIONALITY, target=Target((errors(30, 40, 0.3),)))
    inside = [
        outcome
        for seconds in run.requests.values()
        for ended in seconds.values()
        for _, outcome, key in ended
        if key["faults"]
    ]

    assert functionality(Case(run.plan, run.evidence(), run.run_facts()), "outage") == (
        inside.count(Outcome.OK),
        len(inside),
    )


@pytest.mark.parametrize(
    ("process", "ill"),
    [
        (ArrivalProcess.CONSTANT, "errors"),
        (ArrivalProcess.POISSON, "errors"),
        (ArrivalProcess.CONSTANT, "drops"),
    ],
)
def test_an_open_plan_is_compared_with_the_starts_that_were_due(process, ill):
    """Errors, or starts that are dropped for want of users, end seven seconds after the fault, on a slope of arrivals."""
    load = [open_phase(seconds=90, rate=20, rate_to=65)]
    plan = plan_of(DETECTION, RECOVERY, FUNCTIONALITY, load=load, process=process)
    run = Run(plan.model_copy(update={"faults": (FAULT,)}))
    run.facts |= {"faults_begun": frozenset({"outage"})}
    for second in range(90):
        inside = ("outage",) if 30 <= second < 40 else ()
        rate = 20 + second // 2
        if 30 <= second < 47 and ill == "drops":
            continue
        run.answer(
            [50_000] * rate, [second], Outcome.FAILED if 30 <= second < 47 else Outcome.OK, faults=inside
        )

    def drop(worker, second, interval):
        if ill == "drops" and 30 <= second < 47:
            key = ArrivalKey(SCENARIO, "steady", ("outage",) if second < 40 else ())
            interval.arrivals = {key: Arrivals(0, 20 + second // 2, 0)}

    judged = run.change(drop).judge()

    assert rule_of(judged, DETECTION).value == 0
    assert rule_of(judged, RECOVERY).value == 7 * SECOND
    assert rule_of(judged, FUNCTIONALITY).value == 0


def test_as_before_is_at_best_as_good_as_counted():
    """A tenth more latency or a tenth fewer answers are within the band, a third are not, and better ones always."""
    before = [Second(10.0, 100, 100, 100, 100 * us, 0) for us in (50_000, 51_000, 49_000) * 5]
    band = band_of(before)
    told = {
        "a tenth fewer": Second(10.0, 90, 90, 90, 90 * 50_000, 0),
        "a tenth slower": Second(10.0, 100, 100, 100, 100 * 55_000, 0),
        "twice as many, twice as quick": Second(10.0, 200, 200, 200, 200 * 25_000, 0),
        "half the load, half the answers": Second(5.0, 50, 50, 50, 50 * 50_000, 0),
        "a hundredth fails": Second(10.0, 100, 99, 99, 99 * 50_000, 1),
    }
    ill = {
        "fewer requests were ok": Second(10.0, 100, 66, 66, 66 * 50_000, 0),
        "they took": Second(10.0, 100, 100, 100, 100 * 67_000, 0),
        "were errors": Second(10.0, 100, 97, 97, 97 * 50_000, 3),
        "no request was ok": Second(10.0, 0, 0, 0, 0, 0),
        "there was no load": Second(0.0, 0, 0, 0, 0, 0),
    }

    assert {name: band.why_out(second) for name, second in told.items()} == dict.fromkeys(told)
    assert all(word in (band.why_out(second) or "") for word, second in ill.items())


def test_a_row_of_seconds_has_a_narrower_band_than_each_of_them():
    """What a noisy second may be, five of them together may not."""
    before = [
        Second(10.0, 100, ok, ok, ok * 50_000, 0) for ok in (60, 140, 80, 120, 100, 70, 130, 90, 110, 100)
    ]
    band = band_of(before)
    half = Second(10.0, 50, 50, 50, 50 * 50_000, 0)

    assert band.why_out(half) is None
    assert first_held(band, [half] * 20, 0) is None
    assert first_held(band, [half] * 4 + before, 0) is not None


@pytest.mark.parametrize(
    ("late_us", "slower_us", "well"), [(0, 2_500, False), (3_000, 2_500, True), (60_000, 6_000, False)]
)
def test_what_we_were_late_ourselves_is_no_illness(late_us, slower_us, well):
    """A busy machine of ours slows answers of a quick target too; by more than a fit generator lags it hides nothing."""
    before = [Second(10.0, 100, 100, 100, 100 * us, 0) for us in (2_400, 2_500, 2_600) * 5]
    after = [Second(10.0, 100, 100, 100, 100 * (2_500 + slower_us), 0, late_us)] * HELD_S
    band = band_of(before)

    assert (first_held(band, after, 0) is not None) is well
    assert (overshoot(band, after, 0).value == 0) is well
    assert (residue(band, after).value == 0) is well


def test_how_late_a_worker_was_is_told_by_the_second():
    """It is that of its own interval, and of the latest worker."""
    run = run_with(RECOVERY, target=Target((errors(30, 40),)))
    run.change(lambda worker, second, interval: interval.pacer_lag.record(1_000 * second, 100))
    pulse = recoveries(Case(run.plan, run.evidence(), run.run_facts()))["outage"].pulse

    assert [told.late_us for told in pulse.seconds(3, 6)] == pytest.approx([3_000, 4_000, 5_000], rel=0.001)
