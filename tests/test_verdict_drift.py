"""The table of drift: every resource with a word that its samples bear, and how long until a limit is reached."""

import numpy as np
import pytest
from judging import SECOND, Run, phase, plan_of

from loadproof.plan.model import Guard
from loadproof.verdict.case import Case
from loadproof.verdict.drift import DriftWord, drift
from loadproof.verdict.facts import Sample
from loadproof.verdict.grammar import parse_rule

MB = 1_000_000


def rows(resources, *rules, seconds=60, guards=(), latencies=None):
    """The table of a run whose resources had these values, one a second, by name."""
    run = Run(plan_of(*rules, load=(phase(seconds=seconds),))).steadily((50_000,) * 20)
    plan = run.plan.model_copy(update={"guards": tuple(guards)})
    run.facts = {
        "resources": {
            name: tuple(Sample(second * SECOND, float(value)) for second, value in enumerate(values))
            for name, values in resources.items()
        }
    }
    evidence = run.evidence()
    case = Case(plan, evidence, run.run_facts())
    return {row.name: row for row in drift(case, list(map(parse_rule, rules)), latencies or {})}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([100 * MB + 100_000 * second for second in range(60)], DriftWord.GROWS),
        ([100 * MB - 100_000 * second for second in range(60)], DriftWord.SHRINKS),
        ([100 * MB] * 60, DriftWord.STEADY),
        ([100 * MB + 10_000 * second for second in range(60)], DriftWord.STEADY),
        (100 * MB + np.random.default_rng(3).normal(0, 200_000, 60), DriftWord.STEADY),
        (100 * MB + np.random.default_rng(3).normal(0, 30 * MB, 60), DriftWord.UNCLEAR),
        ([100 * MB + MB * (second % 15) for second in range(300)], DriftWord.STEADY),
        ([100 * MB + MB * second for second in range(12)], DriftWord.UNCLEAR),
    ],
    ids=["leak", "shrinking", "flat", "0.6 %", "little noise", "much noise", "collector", "few samples"],
)
def test_a_word_says_what_the_samples_bear(values, word):
    """Growth and shrinking need an interval on one side of 0 and a hundredth of what there was; noise is not steady."""
    assert rows({"target.rss": values}, seconds=len(values))["target.rss"].word is word


def test_counts_that_never_moved_are_steady():
    """Three threads that stay three are steady, however short the run and however few three are."""
    found = rows({"target.threads": [3] * 30, "target.open_files": [1] * 30}, seconds=30)

    assert {row.word for row in found.values()} == {DriftWord.STEADY}


def test_both_slopes_are_those_of_the_series():
    """100 kB a second are 360 MB an hour, and at 20 requests a second 5 MB per 1,000; the unit is the resource's."""
    row = rows({"generator.rss": [100 * MB + 100_000 * second for second in range(60)]})["generator.rss"]

    assert row.per_hour.value == pytest.approx(360 * MB)
    assert row.per_requests.value == pytest.approx(5 * MB)
    assert row.per_hour.low <= row.per_hour.value <= row.per_hour.high
    assert (row.unit, row.samples) == ("bytes", 60)


def test_the_first_limit_ahead_is_told():
    """The time until a guard, a rule's limit or all memory is reached, whichever comes first; what is passed is not ahead."""
    values = [100 * MB + MB * second for second in range(60)]
    share = [value / (400 * MB) for value in values]
    rule = "resource(target.rss) <= 259MB"
    guard = Guard(name="memory", stop=200 * MB)
    passed = Guard(name="target.memory", warn=120 * MB)
    resources = {"target.rss": values, "target.memory": share}

    free = rows(resources)
    ruled = rows(resources, rule)["target.rss"]
    guarded = rows(resources, rule, guards=[guard])["target.rss"]

    assert free.keys() == {"target.rss"}
    assert free["target.rss"].reaches == "all the memory that may be used"
    assert free["target.rss"].in_us == pytest.approx(241 * SECOND, rel=0.01)
    assert ruled.reaches == "the limit of resource(target.rss) <= 259MB"
    assert ruled.in_us == pytest.approx(100 * SECOND, rel=0.01)
    assert guarded.reaches == "the guard target.memory of 200 MB"
    assert guarded.in_us == pytest.approx(41 * SECOND, rel=0.02)
    assert rows(resources, guards=[passed])["target.rss"].reaches == "all the memory that may be used"


def test_what_is_no_drift_has_no_line():
    """Processors, time itself and expressions of PromQL are not in the table; a latency is."""
    line = [1.0 * second for second in range(60)]
    names = ("target.cpu", "target.uptime", "promql(up)", "db.connections")
    points = tuple((round((second + 0.5) * SECOND), 50_000.0) for second in range(60))
    found = rows(dict.fromkeys(names, line), latencies={"p95": points})

    assert list(found) == ["p95", "db.connections"]
    assert (found["p95"].unit, found["p95"].word) == ("us", DriftWord.STEADY)


def test_a_run_of_no_constant_load_is_unclear():
    """Where users come and go all the time, nothing is said."""
    run = Run(plan_of(load=(phase("ramp", 60, 0, 100),))).steadily((50_000,) * 20)
    run.facts = {"resources": {"target.rss": tuple(Sample(second * SECOND, 1.0) for second in range(60))}}
    evidence = run.evidence()
    (row,) = drift(Case(run.plan, evidence, run.run_facts()), (), {})

    assert (row.word, row.reason) == (DriftWord.UNCLEAR, "0 of 20 samples at a constant load")
