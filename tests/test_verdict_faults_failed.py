"""Faults that were not as the plan has them make a run INVALID; others are no reason of their own."""

import pytest
from judging import Run, plan_of

from loadproof.plan.model import Fault
from loadproof.verdict.facts import FaultFailed, Stop
from loadproof.verdict.result import Verdict

PAUSE = Fault(kind="pause", name="standstill", at_us=10_000_000, for_us=5_000_000)
FAILED = (FaultFailed("standstill", 10_200_000, "pause: it could not be begun: no process"),)


@pytest.mark.parametrize(
    ("facts", "texts"),
    [
        ({"faults_begun": frozenset({"standstill"})}, []),
        ({"faults_begun": frozenset({"other"})}, ["the fault standstill was never begun"]),
        ({"smoke": True}, []),
        ({"stop": Stop("hand", "enough", 5_000_000)}, []),
        (
            {"faults_failed": FAILED},
            ["the fault standstill failed 10.2 s into the run: pause: it could not be begun: no process"],
        ),
        (
            {"faults_failed": FAILED, "faults_begun": frozenset({"standstill"}), "smoke": True},
            ["the fault standstill failed 10.2 s into the run: pause: it could not be begun: no process"],
        ),
    ],
)
def test_a_run_without_its_faults_proves_nothing(facts, texts):
    """Each that failed, or of which nobody heard in a run that was not cut short, is a reason with its name."""
    run = Run(plan_of("p95 <= 100ms").model_copy(update={"faults": (PAUSE,)})).steadily([50_000] * 20)
    run.facts |= facts
    judgement = run.judge()

    found = [reason for reason in judgement.reasons if reason.code == "fault_failed"]
    assert [reason.text for reason in found] == texts
    assert all(reason.verdict is Verdict.INVALID for reason in found)
    assert not texts or judgement.verdict is Verdict.INVALID
