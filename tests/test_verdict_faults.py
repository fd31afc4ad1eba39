"""Whatever goes wrong, nothing passes: random faults in otherwise good runs, and intervals of any content."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import SECOND, Run, hang, plan_of, run_of
from measuring import LIMITS_US, intervals

from loadproof.measure.interval import Outcome
from loadproof.plan.model import Region
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Epoch, RunFacts, Sample, Stop
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge
from loadproof.verdict.result import RuleVerdict, Verdict

FAST = 50_000
RULES = ("p95 <= 100ms", "mean <= 200ms", "rate >= 20/s", "check(compliance) >= 100%")
WORKERS = (("eu-west-1-01", "eu-west-1"), ("us-east-1-01", "us-east-1"))


def good_run():
    regions = (Region(name="eu-west-1"), Region(name="us-east-1"))
    run = Run(plan_of(*RULES, regions=regions), workers=WORKERS).steadily([FAST] * 20).check(5)
    run.facts |= {"target_counts": {"GET /policies/:id": 2_400}, "locust_counted": 2_400}
    return run


def recount(run):
    """What the target and Locust counted after requests were added, so that only the fault itself is one."""
    ended = [one for seconds in run.requests.values() for second in seconds.values() for one in second]
    run.facts |= {"target_counts": {"GET /policies/:id": len(ended)}, "locust_counted": len(ended)}


def outcome_of_some(outcome: Outcome, us: int, share: float) -> Callable[[Run, random.Random], None]:
    def fault(run: Run, chance: random.Random) -> None:
        places = [
            (worker, second, index)
            for worker, seconds in run.requests.items()
            for second, ended in seconds.items()
            for index in range(len(ended))
        ]
        for worker, second, index in chance.sample(places, int(len(places) * share) + 1):
            run.requests[worker][second][index] = (us, outcome, {})

    return fault


def hung(run, chance):
    first = chance.randrange(0, 55)
    hang(run, range(first, first + chance.randrange(3, 60 - first)), users=100)
    recount(run)


def killed(run, chance):
    run.cut[chance.choice(WORKERS)[0]] = chance.randrange(1, 61)


def never_came(run, chance):
    run.absent = (chance.choice(WORKERS)[0],)


def unloaded(run, chance):
    first, factor = chance.randrange(0, 50), chance.choice((0, 0.5, 0.94, 1.06, 3))

    def change(worker, second, interval):
        if second in range(first, first + 10):
            interval.user_us = {name: int(us * factor) for name, us in interval.user_us.items()}

    run.change(change)


def late(run, chance):
    first, lag = chance.randrange(0, 50), chance.choice(("pacer_lag", "receive_lag"))
    who = chance.choice(WORKERS)[0]

    def change(worker, second, interval):
        if worker == who and second in range(first, first + 10):
            getattr(interval, lag).record(chance.randrange(11_000, 10**7), 1_000)

    run.change(change)


def throttled(run, chance):
    at, who = chance.randrange(60), chance.choice(WORKERS)[0]
    run.change(
        lambda worker, second, interval: (
            setattr(interval, "throttled_us", 1) if (worker, second) == (who, at) else None
        )
    )


def lost_request(run, chance):
    at, who = chance.randrange(60), chance.choice(WORKERS)[0]
    run.change(
        lambda worker, second, interval: (
            setattr(interval, "started", interval.started + 1) if (worker, second) == (who, at) else None
        )
    )


def miscounted(run, chance):
    run.facts["target_counts"] = {"GET /policies/:id": 2_400 + chance.choice((-7, -1, 1, 7))}


def stopped(run, chance):
    run.facts["stop"] = Stop(chance.choice(("SIGINT", "guard", "hand")), "why", chance.randrange(61) * SECOND)


def failed_check(run, chance):
    run.check(4, 1, seconds=[chance.randrange(60)])


FAULTS = {
    "slow": outcome_of_some(Outcome.OK, 150_000, 0.05),
    "failed": outcome_of_some(Outcome.FAILED, 1_000, 0.01),
    "timeouts": outcome_of_some(Outcome.TIMEOUT, 30_000, 0.05),
    "unfinished": outcome_of_some(Outcome.UNFINISHED, 60 * SECOND, 0.01),
    "young": outcome_of_some(Outcome.UNFINISHED, 1_000, 0.006),
    "hung": hung,
    "killed": killed,
    "never came": never_came,
    "unloaded": unloaded,
    "late": late,
    "throttled": throttled,
    "lost request": lost_request,
    "miscounted": miscounted,
    "stopped": stopped,
    "failed check": failed_check,
}


def test_the_run_without_a_fault_passes():
    """What the faults are put into is PASS, so a verdict below comes from the fault."""
    assert good_run().judge().verdict is Verdict.PASS


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_fault_passes(fault, seed):
    """Each kind of fault, at a random place, makes the run FAIL or INVALID."""
    run = good_run()
    FAULTS[fault](run, random.Random(seed))

    assert run.judge().verdict in {Verdict.FAIL, Verdict.INVALID}


@pytest.mark.long
def test_no_schedule_of_faults_passes():
    """Of 1,000 schedules of one to three faults none ends PASS or WARN."""
    chance = random.Random(7)
    passed = []
    for number in range(1_000):
        run = good_run()
        chosen = chance.sample(sorted(FAULTS), chance.randint(1, 3))
        for name in chosen:
            FAULTS[name](run, chance)
        if run.judge().verdict in {Verdict.PASS, Verdict.WARN}:
            passed.append((number, chosen))

    assert passed == []


ANY_RULES = tuple(
    map(
        parse_rule,
        (
            "p95 <= 1ms, goal < 1ms",
            "p99.9 <= 2s",
            "p50 >= 2s",
            "max <= 5s",
            "mean <= 5s",
            "p90 <= 3s",
            "p95 <= 2s for 10s",
            "mean <= 2s within 10s",
            "p95{outcome=failed} <= 5s over 5s",
            "rate >= 1/s",
            "rate >= 1/s for 5s",
            "peak_rate >= 1/s",
            "count >= 1",
            "users >= 1",
            "users >= 1 for 3s",
            "error_ratio <= 0",
            "error_ratio <= 1% for 3s",
            "stall <= 2s",
            "pacer_lag <= 1ms",
            "receive_lag <= 1ms",
            "user_wait <= 1ms",
            "check(x) >= 100%",
            "check(x) >= 50% for 3s",
            "metric(x) <= 1",
            "resource(target.cpu) <= 80%",
        ),
    )
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(WORKERS), intervals()), max_size=5),
    st.none() | st.builds(Stop, st.sampled_from(["hand", "SIGINT"]), st.just(""), st.integers(0, 10**8)),
    st.booleans(),
    st.lists(st.builds(Sample, st.integers(0, 10**8), st.floats()), max_size=3),
    st.none() | st.dictionaries(st.text(max_size=3), st.integers(0, 2**40), max_size=2),
)
def test_any_intervals_are_judged(parts, stop, smoke, samples, counts):
    """Intervals of any content, at any time, end in a verdict that is never PASS, and in a sentence a rule."""
    plan = plan_of()
    evidence = Evidence(plan, LIMITS_US)
    for index, ((worker, region), interval) in enumerate(parts):
        if index % 2:
            # One in two lies within the run; the others are from anywhere.
            interval.second, interval.start_us, interval.length_us = index, index * SECOND, SECOND
        evidence.add(worker, region, interval)
    facts = RunFacts(
        "any",
        WORKERS,
        tuple(Epoch(worker, region, 1, len(parts), complete=True) for worker, region in WORKERS),
        {"target.cpu": tuple(sorted(samples, key=lambda sample: sample.at_us))},
        counts,
        stop,
        smoke,
    )
    judgement = judge(plan, ANY_RULES, evidence, facts)

    assert judgement.verdict in {Verdict.FAIL, Verdict.INVALID}
    assert all(reason.code for reason in judgement.reasons)
    for result in judgement.rules:
        assert result.reason
        assert (result.verdict is RuleVerdict.NO_DATA) <= (result.value is None or result.samples is not None)


def test_intervals_from_outside_the_run_are_left_out_and_said():
    """A time years away is INVALID, and no table grows to it."""
    run = run_of("p95 <= 100ms")
    evidence = run.evidence()
    stray = run.intervals["eu-west-1-01"][0]
    stray.second = 2**40
    evidence.add("eu-west-1-01", "eu-west-1", stray)
    judgement = judge(run.plan, [parse_rule("p95 <= 100ms")], evidence, run.run_facts())

    assert [reason.code for reason in judgement.reasons] == ["outside_run"]
    assert judgement.verdict is Verdict.INVALID
