"""What a plan's own times say of its rules on faults, before anything is run: those that can have no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.plan.profile import phase_spans
from loadproof.units import duration_text
from loadproof.verdict.band import LEAST_S
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.recovery import HELD_S
from loadproof.verdict.timeline import Stretch, outside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadproof.plan.model import Fault, Plan
    from loadproof.verdict.rule import Rule

_AFTER: Final = frozenset({"recovery_time", "overshoot", "residue"})
_COMPARED: Final = _AFTER | {"detection_time"}


def without_data(plan: Plan, rules: Sequence[Rule]) -> list[str]:
    """A sentence for each fault that some rule asks for more than the plan leaves time to see."""
    told = []
    for fault in plan.faults:
        asked = {
            rule.statistic.name for rule in rules if rule.selector.get("fault") in {None, fault.name}
        } & _COMPARED
        if asked:
            told += list(_untold(plan, fault, asked))
    return told


def _untold(plan: Plan, fault: Fault, asked: set[str]) -> Iterator[str]:
    well = [
        Stretch(span.start_us, min(span.end_us, fault.at_us))
        for span in phase_spans(plan.load)
        if not span.phase.warmup and span.start_us < fault.at_us
    ]
    others = [Stretch(other.at_us, other.until_us) for other in plan.faults if other.name != fault.name]
    before = sum(len(stretch.full_seconds) for stretch in outside(well, others))
    if before < LEAST_S:
        yield (
            f"only {before} s lie before the fault {fault.name}, without warm-up and other faults, and {LEAST_S} are "
            f"needed to compare with: {', '.join(sorted(asked))} will have no data"
        )
    elif after := sorted(asked & _AFTER):
        ends = {other.name: other.at_us for other in plan.faults if other.until_us > fault.until_us}
        until_us = min([*ends.values(), plan.duration_us])
        left_us = max(0, until_us - fault.until_us)
        if left_us < HELD_S * SECOND_US:
            what = next(
                (f"the fault {name} begins" for name, at_us in ends.items() if at_us == until_us),
                "the plan ends",
            )
            when = f"{duration_text(left_us)} after" if left_us else "before or with"
            yield (
                f"{what} {when} the fault {fault.name} is over, and {HELD_S} s in a row show a recovery: "
                f"{', '.join(after)} will have no data"
            )
