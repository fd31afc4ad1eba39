"""Rules on how a target took a fault: of one fault, or of all of the plan, each of which has to keep the limit."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

from loadproof.units import format_count, format_duration, format_ratio
from loadproof.verdict.band import WIDTH
from loadproof.verdict.case import Case, Measured, no_data
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.fault_shares import measure_budget, measure_functionality
from loadproof.verdict.fault_windows import late_begin, not_begun
from loadproof.verdict.recovery import HELD_S, Recovery, recoveries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadproof.plan.model import Fault
    from loadproof.verdict.recovery import Excess
    from loadproof.verdict.rule import Bound, Rule


def measure_recovery(rule: Rule, case: Case) -> Measured:
    """One of `rule.RECOVERY`; without `fault` of the fault that is worst."""
    chosen = rule.selector.get("fault")
    faults = [fault for fault in case.plan.faults if chosen in {None, fault.name}]
    if not faults:
        return no_data("the plan has no fault" if chosen is None else f"the plan has no fault {chosen!r}")
    if chosen is None and case.facts.goes_on:
        faults = [fault for fault in faults if not_begun(fault, case) is None]
        if not faults:
            return no_data("no fault has begun yet")
    return worst(rule, [_of_fault(rule, case, fault) for fault in faults])


def worst(rule: Rule, found: Sequence[Measured]) -> Measured:
    """All of them as one: it keeps a bound if each does, and shows the one that is furthest on the bad side."""
    if len(found) == 1:
        return found[0]
    caps = rule.limit.operator.caps
    told = [one for one in found if one.value is not None]
    broken = [one for one in told if one.holds(rule.limit) is False]
    chosen = max(broken or told or found, key=lambda one: (one.value or 0.0) if caps else -(one.value or 0.0))

    def holds(bound: Bound) -> bool | None:
        kept = [one.holds(bound) for one in found]
        return False if False in kept else None if None in kept else True

    return replace(
        chosen,
        text=f"the worst of {format_count(len(found))} faults is that {chosen.text}",
        holds=holds,
        stands=lambda bound: any(one.stands(bound) for one in found),
        is_close=lambda bound: any(one.is_close(bound) for one in found),
        doubts=tuple(dict.fromkeys(doubt for one in found for doubt in one.doubts)),
        no_data=next((one.no_data for one in found if one.no_data is not None), None),
    )


def _of_fault(rule: Rule, case: Case, fault: Fault) -> Measured:
    why = not_begun(fault, case)
    if why is not None:
        return no_data(why)
    measured = _of_begun(rule, case, fault)
    late = late_begin(fault, case)
    return measured if late is None else replace(measured, doubts=(*measured.doubts, late))


def _of_begun(rule: Rule, case: Case, fault: Fault) -> Measured:
    told = recoveries(case)[fault.name]
    match rule.statistic.name:
        case "functionality":
            return measure_functionality(rule, case, fault, told)
        case "budget_burnt":
            return measure_budget(case, fault)
    if told.nothing is not None:
        return no_data(f"there is nothing to compare {fault.name} with: {told.nothing}")
    match rule.statistic.name:
        case "detection_time":
            measured = _detection(rule, case, told)
        case "recovery_time":
            measured = _recovery(rule, case, told)
        case "overshoot":
            measured = _excess(
                case, told, told.overshoot, "overshoot", is_final=told.recovered_us is not None
            )
        case _:
            measured = _excess(case, told, told.residue, "residue", is_final=False)
    return measured


def _detection(rule: Rule, case: Case, told: Recovery) -> Measured:
    """It lies somewhere in the second that shows it first: the rule is only kept for sure if all of that does."""
    if told.mixed_with is not None:
        return no_data(f"what shows of {told.fault} may be the fault {told.mixed_with}")
    if told.detection_us is None:
        waited_us = told.watched_until_us - told.begin_us
        if case.facts.goes_on and told.next_fault is None:
            return _under_way(rule, case, waited_us, f"{told.fault} has not shown")
        return _never(case, f"{told.fault} never showed in the {format_duration(waited_us)} after its begin")
    value = told.detection_us
    assert told.detected_us is not None
    upper = (told.detected_us // SECOND_US + 1) * SECOND_US - told.begin_us
    return Measured(
        f"{told.fault} showed {_later(value)} its begin: {told.detected_by}",
        value,
        None,
        lambda bound: bound.holds(value),
        _stands(case, value),
        (value, upper),
        lambda bound: bound.holds(value) is not bound.holds(upper),
        _ill_before(told),
    )


def _ill_before(told: Recovery) -> tuple[str, ...]:
    """The doubt about an illness that shows at once: it may have begun without the fault."""
    if told.ill_before is None or told.detected_us != told.begin_us:
        return ()
    return (f"the target was not as before in the second before it already: {told.ill_before}",)


def _recovery(rule: Rule, case: Case, told: Recovery) -> Measured:
    if told.end_us is None:
        return _not_over(case, told)
    since_us = told.watched_until_us - told.end_us
    if told.recovery_us is not None:
        value = told.recovery_us
        text = f"the target was as before {_later(value)} the end of {told.fault}"
        return Measured(
            text, value, None, lambda bound: bound.holds(value), _stands(case, value), doubts=_changed(told)
        )
    back_us = None if told.back_us is None else told.back_us - told.end_us
    if case.facts.goes_on and told.next_fault is None:
        earliest_us = since_us if back_us is None else back_us
        return _under_way(rule, case, earliest_us, f"the target has not recovered from {told.fault}")
    if told.recovered is None:
        return no_data(f"{_left(told)}, and recovery shows in {HELD_S} s in a row that are as before")
    until = _until(told)
    text = f"the target had not recovered in {format_duration(since_us)} after {told.fault} was over, when {until}"
    if back_us is not None:
        text += f", though it was as before for the last {format_duration(since_us - back_us)}"
    elif (
        told.band is not None
        and told.load_after is not None
        and told.load_after > told.band.load * (1 + WIDTH)
    ):
        text += f", under {format_ratio(told.load_after / told.band.load - 1)} more load than before"
    return _never(case, text)


def _excess(case: Case, told: Recovery, excess: Excess | None, what: str, *, is_final: bool) -> Measured:
    if told.end_us is None:
        return _not_over(case, told)
    if excess is None:
        return no_data(
            f"no request was ok that began after {told.fault}, so that nothing tells of its {what}"
        )
    value = Fraction(excess.value)
    when = (
        "after"
        if what == "overshoot" or told.recovered_us is None
        else "when the target was well again after"
    )
    much = f", {format_ratio(excess.value)} beyond before" if excess.value else ""
    measured = Measured(
        f"{when} {told.fault} {excess.text}{much}",
        excess.value,
        None,
        lambda bound: bound.holds(value),
        _stands(case, value),
        doubts=_changed(told),
    )
    if not case.facts.goes_on or is_final or told.next_fault is not None:
        if told.recovered is None:
            # What is too short to show a recovery shows no more of what came before or after one.
            return replace(measured, no_data=f"{_left(told)}, too little to tell its {what}")
        return measured
    why = f"the {what} of {told.fault} is told when the target has recovered, or the run ends"
    if what == "overshoot":
        # A maximum that is too high stays so.
        return replace(measured, no_data=why, holds=lambda bound: None if bound.holds(value) else False)
    return no_data(why)


def _until(told: Recovery) -> str:
    return "the run ended" if told.next_fault is None else f"the fault {told.next_fault} began"


def _left(told: Recovery) -> str:
    assert told.end_us is not None
    left_us = told.watched_until_us - told.end_us
    return f"{told.fault} was over {format_duration(left_us)} before {_until(told)}"


def _later(us: int) -> str:
    return f"{format_duration(us)} after" if us else "at once with"


def _never(case: Case, text: str) -> Measured:
    """What did not happen took longer than anything."""
    return Measured(
        text,
        inf,
        None,
        lambda bound: not bound.operator.caps,
        lambda bound: bound.operator.caps and not case.shortfall.has_absent_workers,
    )


def _under_way(rule: Rule, case: Case, earliest_us: int, what: str) -> Measured:
    """In a run that goes on a time is broken once nothing to come can keep it, and kept when all has come."""
    measured = no_data(f"{what} yet, {format_duration(earliest_us)} on")
    if not rule.limit.operator.caps or rule.limit.holds(earliest_us):
        return measured
    return replace(
        measured,
        text=f"{what} in {format_duration(earliest_us)}",
        value=float(earliest_us),
        holds=lambda bound: None if bound.holds(earliest_us) else False,
        stands=_stands(case, earliest_us),
    )


def _not_over(case: Case, told: Recovery) -> Measured:
    if case.facts.goes_on:
        return no_data(f"{told.fault} is not over yet")
    return no_data(f"the run ended before {told.fault} did")


def _changed(told: Recovery) -> tuple[str, ...]:
    """The doubt about a comparison under another load; more of it made the target look worse, not better."""
    if told.band is None or told.load_after is None or told.load_after >= told.band.load * (1 - WIDTH):
        return ()
    less = format_ratio(1 - told.load_after / told.band.load)
    return (f"the load was {less} less by then than before {told.fault}",)


def _stands(case: Case, value: int | Fraction) -> Callable[[Bound], bool]:
    """The answers of an absent worker could have been as before."""
    return lambda bound: not case.shortfall.has_absent_workers and not bound.holds(value)
