"""What can be known before a run of rules on its faults agrees with what the judge says after it."""

import pytest
from judging import SECOND, phase, plan_of
from outages import Target, errors, fault_of, run_with

from loadproof.verdict.foreseen import without_data
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.result import RuleVerdict

RECOVERY = "recovery_time{fault=outage} <= 10s"
WARM = [phase("warm", 25, 20, warmup=True), phase("steady", 65, 20)]


def foreseen(*rules, faults, load=None):
    plan = plan_of(*rules, load=load or [phase(seconds=90, users=20)]).model_copy(
        update={"faults": tuple(faults)}
    )
    return without_data(plan, [parse_rule(rule) for rule in rules])


@pytest.mark.parametrize(
    ("faults", "load", "said"),
    [
        ([fault_of(at=30, length=10)], None, None),
        ([fault_of(at=10, length=10)], None, None),
        ([fault_of(at=9, length=10)], None, "only 9 s lie before the fault outage"),
        ([fault_of(at=30, length=10)], WARM, "only 5 s lie before the fault outage"),
        ([fault_of(at=30, length=56)], None, "the plan ends 4s after the fault outage is over"),
        ([fault_of(at=30, length=60)], None, "the plan ends before or with the fault outage"),
        (
            [fault_of(at=30, length=10), fault_of("next", 43, 5)],
            None,
            "the fault next begins 3s after the fault",
        ),
        ([fault_of(at=30, length=10), fault_of("next", 35, 9)], None, "the fault next begins before or with"),
        ([fault_of(at=30, length=10), fault_of("inner", 33, 5)], None, None),
        ([fault_of(at=30, length=10), fault_of("next", 45, 5)], None, None),
    ],
)
def test_a_rule_that_can_have_no_data_is_told_before_the_run(faults, load, said):
    """Exactly those of which the judge would say so, of a target that is well but for the faults."""
    told = foreseen(RECOVERY, faults=faults, load=load)
    target = Target(tuple(errors(one.at_us / SECOND, one.until_us / SECOND) for one in faults))
    [found] = [
        one
        for one in run_with(RECOVERY, target=target, faults=faults, load=load).judge().rules
        if not one.implied
    ]

    assert (said is None) is (told == []) is (found.verdict is not RuleVerdict.NO_DATA)
    assert said is None or said in told[0]


def test_only_what_is_asked_for_is_told():
    """Functionality needs nothing to compare with, a rule without `fault=` asks of every fault, detection of no time after."""
    late, early = fault_of("late", 80, 10), fault_of("early", 2, 5)

    assert foreseen("functionality >= 80%", "budget_burnt <= 5%", faults=[late, early]) == []
    assert len(foreseen("recovery_time <= 5s", faults=[late, early])) == 2
    assert foreseen("detection_time{fault=late} <= 5s", faults=[late, early]) == []
    assert (
        "overshoot, residue will have no data"
        in foreseen("overshoot <= 5%", "residue <= 5%", faults=[late])[0]
    )
    assert (
        "detection_time, residue will have no data"
        in foreseen("detection_time <= 5s", "residue <= 5%", faults=[early])[0]
    )
