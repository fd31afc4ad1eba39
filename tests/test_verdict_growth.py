"""Rules on growth: found where it is, not where it is not, and no word where the samples do not tell."""

import math

import numpy as np
import pytest
from judging import SECOND, Run, open_phase, phase, plan_of, rule_of

from loadproof.measure.interval import Outcome
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.model import Fault
from loadproof.verdict.facts import Edited, Sample, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.growth import sampled_for
from loadproof.verdict.judge import broken_aborts
from loadproof.verdict.result import RuleVerdict, Verdict

RSS = "growth(target.rss) <= 1MB per 1000 requests"
MB = 1_000_000
MINUTE = (phase(seconds=60),)


def sampled(rule, values, load=MINUTE, requests=20, more=None, **facts):
    """The result of one rule of a run in which `target.rss` had these values, one a second."""
    run = Run(plan_of(rule, load=load)).steadily((50_000,) * requests)
    resources = {"target.rss": values, **(more or {})}
    run.facts = {
        "resources": {
            name: tuple(Sample(second * SECOND, float(value)) for second, value in enumerate(series))
            for name, series in resources.items()
        },
        **facts,
    }
    return rule_of(run.judge(), rule)


def test_what_grows_faster_than_the_limit_fails():
    """100 kB a second at 20 requests a second are 5 MB per 1,000 requests and 360 MB an hour, and so they are shown."""
    values = [50 * MB + 100_000 * second for second in range(60)]
    found = sampled(RSS, values)
    hourly = sampled("growth(target.rss) <= 100MB per hour", values)

    assert (found.verdict, hourly.verdict) == (RuleVerdict.FAIL, RuleVerdict.FAIL)
    assert found.value == pytest.approx(5 * MB)
    assert hourly.value == pytest.approx(360 * MB)
    assert (found.per, hourly.per) == ("1000 requests", "hour")
    assert found.reason.startswith("growth(target.rss) is 5 MB per 1000 requests, between 4.9")


def test_what_does_not_grow_passes():
    """Flat but for a page now and then, over 1,200 requests, keeps a megabyte per 1,000."""
    found = sampled(RSS, [50 * MB + 4096 * (second % 7 == 0) for second in range(60)])

    assert found.verdict is RuleVerdict.PASS
    assert found.samples == 60
    assert abs(found.value) < 10_000


def test_a_limit_inside_the_interval_is_a_warning():
    """A growth that is sure, and within its own uncertainty of the limit, is WARN on the near side and FAIL beyond."""
    noise = np.random.default_rng(5).normal(0, 200_000, 60)
    values = [50 * MB + 100_000 * second + noise[second] for second in range(60)]
    value = sampled(RSS, values).value
    near = f"growth(target.rss) <= {round(value * 1.02)}B per 1000 requests"
    under = f"growth(target.rss) <= {round(value * 0.98)}B per 1000 requests"

    assert sampled(near, values).verdict is RuleVerdict.WARN
    assert "too close to call" in sampled(near, values).reason
    assert sampled(under, values).verdict is RuleVerdict.FAIL


@pytest.mark.parametrize("seed", range(8))
def test_noise_neither_accuses_nor_passes(seed):
    """Where the interval holds 0 and the limit, whatever the value is, the rule has no data and says how many it takes."""
    rng = np.random.default_rng(seed)
    found = sampled("growth(target.rss) <= 1MB per hour", 50 * MB + rng.normal(0, MB, 60))

    assert found.verdict is RuleVerdict.NO_DATA
    assert found.confidence[0] < 0 < MB < found.confidence[1]
    assert "60 of about " in found.reason
    assert "to tell a growth of 1MB per hour from none" in found.reason


def test_few_samples_are_no_data():
    """A run of 12 seconds has 12 of the 20 samples that it takes, however straight they lie."""
    values = [50 * MB + MB * second for second in range(12)]
    found = sampled(RSS, values, load=(phase(seconds=12),))

    assert found.verdict is RuleVerdict.NO_DATA
    assert found.reason == "only 12 of 20 samples that growth(target.rss) needs"


def test_what_was_never_sampled_is_named():
    """A resource that nobody reads has no data, and those that are read are told."""
    found = sampled("growth(target.heap) <= 1MB per hour", [1.0] * 60)

    assert found.verdict is RuleVerdict.NO_DATA
    assert "sampled were: target.rss" in found.reason


def test_a_limit_in_another_unit_is_no_data():
    """Five threads are no bytes: the rule says so in place of passing."""
    found = sampled("growth(target.rss) <= 1MB per hour", [5.0] * 60)

    assert found.verdict is RuleVerdict.NO_DATA
    assert "which is no size in bytes" in found.reason


def test_samples_that_end_early_do_not_pass():
    """A sampler that saw a third of the judged time shows nothing of the rest; growth beyond the limit stands."""
    flat = sampled(RSS, [50 * MB] * 30, load=(phase(seconds=90),))
    steep = sampled(RSS, [50 * MB + MB * second for second in range(30)], load=(phase(seconds=90),))

    assert (flat.verdict, steep.verdict) == (RuleVerdict.NO_DATA, RuleVerdict.FAIL)
    assert "samples cover 39 s of the 90 s judged" in flat.reason


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_no_number_covers_no_time(strange):
    """A third of the judged time with numbers and the rest without is no more than that third."""
    found = sampled(RSS, [50 * MB] * 30 + [strange] * 60, load=(phase(seconds=90),))

    assert found.verdict is RuleVerdict.NO_DATA
    assert "samples cover 39 s of the 90 s judged" in found.reason
    assert sampled(RSS, [strange] * 60).verdict is RuleVerdict.NO_DATA


@pytest.mark.parametrize("per", ["hour", "1000 requests"])
@pytest.mark.parametrize("most", [1e100, 1e200, 1.7e308])
def test_no_number_is_too_large_to_be_judged(most, per):
    """What ends at the largest numbers has grown, and what swings between them tells nothing."""
    rule = f"growth(target.rss) <= 1MB per {per}"
    grows = sampled(rule, [most * second / 60 for second in range(60)])
    leaps = sampled(rule, [0.0 if second < 45 else most for second in range(60)])
    swings = sampled(rule, [-most if second % 2 else most for second in range(60)])

    assert {grows.verdict, leaps.verdict} <= {RuleVerdict.FAIL, RuleVerdict.NO_DATA}
    assert swings.verdict is RuleVerdict.NO_DATA


def test_a_restart_cuts_the_series():
    """A leak of 100 kB a second is found on both sides of a process that was started anew, and is no shrinking."""
    values = [50 * MB + 100_000 * (second % 45) for second in range(90)]
    uptime = [100 + second if second < 45 else second - 45 for second in range(90)]
    leaks = sampled(RSS, values, load=(phase(seconds=90),), more={"target.uptime": uptime})
    flat = [50 * MB if second < 45 else 20 * MB for second in range(90)]
    heals = sampled(RSS, flat, load=(phase(seconds=90),), more={"target.uptime": uptime})

    assert leaks.verdict is RuleVerdict.FAIL
    assert leaks.value == pytest.approx(5 * MB)
    assert heals.verdict is RuleVerdict.PASS
    assert heals.value == 0


def test_a_faults_window_is_left_out():
    """What a target takes while a fault is on, and that it comes back as another process, is no growth."""
    values = [50 * MB if second < 40 else 500 * MB if second < 60 else 90 * MB for second in range(100)]
    run = Run(plan_of(RSS, load=(phase(seconds=100),))).steadily((50_000,) * 20)
    fault = Fault(kind="memory-pressure", name="pressure", at_us=40 * SECOND, for_us=20 * SECOND)
    run.plan = run.plan.model_copy(update={"faults": (fault,)})
    samples = tuple(Sample(second * SECOND, float(value)) for second, value in enumerate(values))
    run.facts = {"resources": {"target.rss": samples}, "faults_begun": frozenset({"pressure"})}
    found = rule_of(run.judge(), RSS)

    assert found.verdict is RuleVerdict.PASS
    assert found.value == 0


@pytest.mark.parametrize(
    ("load", "verdict"),
    [
        ((phase("ramp", 60, 0, 100),), RuleVerdict.NO_DATA),
        ((phase("ramp", 30, 0, 100), phase("steady", 60)), RuleVerdict.PASS),
        ((phase("low", 60, 50), phase("high", 60, 100)), RuleVerdict.PASS),
        ((open_phase("ramp", 30, 0, 20), open_phase("steady", 60)), RuleVerdict.PASS),
        ((phase("one", 30), phase("two", 30)), RuleVerdict.PASS),
    ],
    ids=["ramp only", "ramp and steady", "two levels", "open", "one load in two phases"],
)
def test_what_goes_with_the_load_is_no_drift(load, verdict):
    """Memory that follows the users through ramps and steps is judged only while their number stays."""
    seconds = sum(one.duration_us for one in load) // SECOND

    def users(second):
        passed = 0
        for one in load:
            if second * SECOND < passed + one.duration_us:
                share = (second * SECOND - passed) / one.duration_us
                rate = (one.arrivals_from or 0) + share * ((one.arrivals_to or 0) - (one.arrivals_from or 0))
                return one.users_from + share * (one.users_to - one.users_from) + rate / SECOND
            passed += one.duration_us
        return 0

    values = [50 * MB + MB * users(second) for second in range(seconds)]
    found = sampled(RSS, values, load=load)

    assert found.verdict is verdict
    assert found.value in {0, None}
    assert verdict is not RuleVerdict.NO_DATA or "no judged phase has a constant load" in found.reason


def test_users_that_were_edited_cut_the_series():
    """A step in memory at the moment at which somebody has doubled the users is theirs."""
    values = [50 * MB if second < 40 else 100 * MB for second in range(80)]
    edit = (Edited(40 * SECOND, 100, 200, "somebody"),)

    assert sampled(RSS, values, load=(phase(seconds=80),), users_edited=edit).value == 0


def test_what_a_search_tries_cuts_the_series():
    """Each load that a search or a hand has set is looked at by itself: what goes with its steps is no drift."""
    run = Run(plan_of(RSS, load=(phase(seconds=120),))).steadily((50_000,) * 20)
    edits = [LoadEdit(second * SECOND, 100 + second) for second in range(30, 120, 30)]
    run.plan = run.plan.model_copy(update={"load": EditedLoad(run.plan.load, edits)})
    samples = tuple(Sample(second * SECOND, 50.0 * MB * (1 + second // 30)) for second in range(120))
    run.facts = {"resources": {"target.rss": samples}}

    assert rule_of(run.judge(), RSS).value == 0


LATENCY = "growth(p95) <= 5ms per hour"


def slowing(rule, by_us, seconds=120, outcome=Outcome.OK):
    """The result of a rule on a run whose requests take so much longer with every second, beside 20 steady ones."""
    run = Run(plan_of(rule, load=(phase(seconds=seconds),))).steadily((30_000,) * 20, name="GET /steady")
    for second in range(seconds):
        run.answer([40_000 + by_us * second + 500 * number for number in range(20)], [second], outcome)
    return rule_of(run.judge(), rule)


def test_a_latency_that_grows_is_found():
    """100 µs more with every second is 360 ms an hour, of the median, of P95 and of the mean alike."""
    for statistic in ("p50", "p95", "mean", "max"):
        found = slowing(f"growth({statistic}){{name=GET /policies/:id}} <= 5ms per hour", 100)

        assert found.verdict is RuleVerdict.FAIL
        assert found.value == pytest.approx(360_000, rel=0.01)
        assert found.unit == "us"


@pytest.mark.parametrize("statistic", ["p90", "p99.9"])
def test_seconds_that_are_quick_do_not_hide_a_latency_that_grows(statistic):
    """Of a latency the median of a window counts, whether or not its name has a point, and not its lowest second."""
    rule = f"growth({statistic}) <= 100ms per hour"
    run = Run(plan_of(rule, load=(phase(seconds=600),)))
    for second in range(600):
        run.answer([50_000 + (2_000 * second if second % 5 else 0)] * 5, [second])
    found = rule_of(run.judge(), rule)

    assert found.verdict is RuleVerdict.FAIL
    assert found.value == pytest.approx(7_200_000, rel=0.01)


@pytest.mark.parametrize("refused_from", [40, 116])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNFINISHED])
def test_who_is_not_answered_does_not_tell_that_a_latency_stays(refused_from, outcome):
    """A target that refuses all, or hangs to the end, shows no growth from then on: NO DATA but for a few seconds of it."""
    run = Run(plan_of(LATENCY, load=(phase(seconds=120),)))
    run.answer([40_000] * 20, range(refused_from))
    if outcome is Outcome.FAILED:
        run.answer([1_000] * 20, range(refused_from, 120), outcome)
    else:
        run.answer([(120 - refused_from) * SECOND] * 20, [119], outcome)
    found = rule_of(run.judge(), LATENCY)

    assert found.verdict is (RuleVerdict.NO_DATA if refused_from == 40 else RuleVerdict.PASS)
    assert refused_from != 40 or "in 80 of the 120 s judged requests were refused" in found.reason


def test_timeouts_make_a_latency_grow():
    """Who waits longer and longer in vain counts with that wait; a refusal counts nowhere."""
    assert slowing(LATENCY, 100, outcome=Outcome.TIMEOUT).verdict is RuleVerdict.FAIL
    assert slowing(LATENCY, 100, outcome=Outcome.FAILED).value == 0


def test_a_latency_that_stays_passes():
    """The same latencies in every second keep the limit, by the selection's own phases and names."""
    assert slowing(LATENCY, 0).verdict is RuleVerdict.PASS
    assert slowing("growth(p95){name=GET /steady} <= 5ms per hour", 100).verdict is RuleVerdict.PASS
    assert slowing("growth(p95){name=GET /other} <= 5ms per hour", 0).verdict is RuleVerdict.NO_DATA


def test_a_latency_of_a_saturated_generator_is_no_verdict():
    """A P95 that grows while our own timers run late makes a run INVALID, not FAIL."""
    run = Run(plan_of(LATENCY, load=(phase(seconds=60),)))
    for second in range(60):
        run.answer([40_000 + 1_000 * second] * 20, [second])

    def late(worker, second, interval):
        interval.pacer_lag.record(900_000, 1_000)

    judgement = run.change(late).judge()

    assert rule_of(judgement, LATENCY).verdict is RuleVerdict.FAIL
    assert judgement.verdict is Verdict.INVALID


def test_an_abort_rule_on_growth_fires():
    """A look at a run that goes on finds a leak by the samples that came so far, and none where there is none."""
    for leak, fires in ((100_000, True), (0, False)):
        run = Run(plan_of(RSS, load=(phase(seconds=600),))).steadily((50_000,) * 20)
        rule = run.plan.rules[0].model_copy(update={"abort": True})
        run.plan = run.plan.model_copy(update={"rules": (rule,)})
        samples = tuple(Sample(second * SECOND, 50.0 * MB + leak * second) for second in range(60))
        so_far = Stop("hand", "a look", 60 * SECOND)
        evidence = run.evidence()
        run.facts = {"resources": {"target.rss": samples}, "stop": so_far, "goes_on": True}

        fired = broken_aborts(run.plan, evidence, run.run_facts(), 60 * SECOND)

        assert [result.rule for result in fired] == [RSS] * fires


def test_an_abort_rule_on_the_growth_of_a_latency_judges_warm_up():
    """It is decided in a plan with warm-up as in one without, from its delay on."""
    for by_us, verdict in ((1_000, RuleVerdict.FAIL), (0, RuleVerdict.PASS)):
        load = (phase("warm", 30, warmup=True), phase("steady", 90))
        run = Run(plan_of(LATENCY, load=load))
        rule = run.plan.rules[0].model_copy(update={"abort": True, "delay_us": 10 * SECOND})
        run.plan = run.plan.model_copy(update={"rules": (rule,)})
        for second in range(120):
            run.answer([40_000 + by_us * second] * 5, [second])
        found = rule_of(run.judge(), LATENCY)

        assert (found.verdict, found.samples) == (verdict, 110)


def test_what_a_rule_on_growth_needs_is_told():
    """The resource itself and the time since its processes were started; of a latency nothing that is sampled."""
    assert sampled_for(parse_rule(RSS)) == {"target.rss", "target.uptime"}
    assert sampled_for(parse_rule(LATENCY)) == set()
    assert sampled_for(parse_rule("resource(target.rss) <= 1GB")) == set()
