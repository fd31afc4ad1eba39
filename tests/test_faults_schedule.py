"""When faults begin and end: a table of numbers."""

import pytest

from loadproof.faults.fault import Fault
from loadproof.faults.schedule import LATE_US, Do, Stage, Step, step

FAULT = Fault("pause", "pause", 10_000_000, 30_000_000, {})
SHORT = Fault("pause", "short", 10_000_000, 200_000, {})


@pytest.mark.parametrize(
    ("fault", "stage", "now_us", "told", "expected"),
    [
        (FAULT, Stage.WAITING, -500_000, False, Step(Do.WAIT, 10_000_000)),
        (FAULT, Stage.WAITING, 9_999_999, False, Step(Do.WAIT, 10_000_000)),
        (FAULT, Stage.WAITING, 10_000_000, False, Step(Do.INJECT)),
        (FAULT, Stage.WAITING, 10_000_000 + LATE_US - 1, False, Step(Do.INJECT)),
        (FAULT, Stage.WAITING, 10_000_000 + LATE_US, False, Step(Do.MISS)),
        (FAULT, Stage.WAITING, 50_000_000, False, Step(Do.MISS)),
        (FAULT, Stage.WAITING, 0, True, Step(Do.LEAVE)),
        (FAULT, Stage.WAITING, 10_000_000, True, Step(Do.LEAVE)),
        (FAULT, Stage.OPEN, 10_000_001, False, Step(Do.WAIT, 40_000_000)),
        (FAULT, Stage.OPEN, 39_999_999, False, Step(Do.WAIT, 40_000_000)),
        (FAULT, Stage.OPEN, 40_000_000, False, Step(Do.REVERT)),
        (FAULT, Stage.OPEN, 90_000_000, False, Step(Do.REVERT)),
        (FAULT, Stage.OPEN, 10_000_001, True, Step(Do.REVERT)),
        (FAULT, Stage.OVER, 10_000_000, False, Step(Do.LEAVE)),
        (FAULT, Stage.OVER, 10_000_000, True, Step(Do.LEAVE)),
        (SHORT, Stage.WAITING, 10_199_999, False, Step(Do.INJECT)),
        (SHORT, Stage.WAITING, 10_200_000, False, Step(Do.MISS)),
    ],
)
def test_the_next_step_follows_from_the_time_alone(fault, stage, now_us, told, expected):
    """It begins at its first instant, is over at its last, and never begins when told to end or too late."""
    assert step(fault, stage, now_us, told=told) == expected
