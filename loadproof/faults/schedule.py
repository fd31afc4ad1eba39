"""What becomes of a fault at an instant: a pure function of run time."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from loadproof.faults.fault import Fault

LATE_US: Final = 1_000_000
"""A fault that could not be begun within this is not begun any more: it would be another than was planned."""


class Stage(StrEnum):
    WAITING = "waiting"
    OPEN = "open"
    OVER = "over"


class Do(StrEnum):
    WAIT = "wait"
    INJECT = "inject"
    REVERT = "revert"
    MISS = "miss"
    """Its time has come and gone."""
    LEAVE = "leave"
    """There is nothing more to do."""


class Step(NamedTuple):
    do: Do
    until_us: int | None = None
    """Run time at which to ask again."""


def step(fault: Fault, stage: Stage, now_us: int, *, told: bool) -> Step:
    """The next step at `now_us`; `told` to end everything at once."""
    match stage:
        case Stage.OVER:
            return Step(Do.LEAVE)
        case Stage.OPEN:
            if told or now_us >= fault.until_us:
                return Step(Do.REVERT)
            return Step(Do.WAIT, fault.until_us)
        case Stage.WAITING:
            if told:
                return Step(Do.LEAVE)
            if now_us < fault.at_us:
                return Step(Do.WAIT, fault.at_us)
            if now_us >= min(fault.until_us, fault.at_us + LATE_US):
                return Step(Do.MISS)
            return Step(Do.INJECT)
