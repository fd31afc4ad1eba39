"""What stands against a rule on the requests of one fault's window, or of none.

Windows are those of the plan, as workers know no others when they say in which of them a request lay.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.measure.interval import Outcome
from loadproof.plan.model import NO_FAULT
from loadproof.units import format_duration
from loadproof.verdict.case import Case, Measured, no_data
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from loadproof.plan.model import Fault
    from loadproof.verdict.rule import Rule

LATE: Final = Fraction(5, 100)
"""Part of a fault's window that may have gone before it begins: what is judged was not broken by it then."""
HUNG_S: Final = 10
"""A shorter time in which nothing but requests of a fault is under way is no more than slow."""
HUNG: Final = Fraction(5, 100)
"""Largest part of the time outside of all windows that may be such."""
_OWN: Final = frozenset({"stall", "rate"})
"""Statistics that such a time makes worse by itself."""


def as_of_fault(rule: Rule, case: Case, measured: Measured) -> Measured:
    """What was measured of a rule with `fault=`, with what stands against it."""
    name = rule.selector["fault"]
    if name == NO_FAULT:
        if rule.statistic.name in _OWN:
            return measured
        return replace(measured, no_data=measured.no_data or _hung(rule, case))
    fault = next((fault for fault in case.plan.faults if fault.name == name), None)
    why = f"the plan has no fault {name!r}" if fault is None else not_begun(fault, case)
    if why is not None:
        return no_data(why)
    assert fault is not None
    late = late_begin(fault, case)
    return measured if late is None else replace(measured, doubts=(*measured.doubts, late))


def late_begin(fault: Fault, case: Case) -> str | None:
    """The doubt about what is judged of a fault that was begun late, in a clause."""
    times = case.facts.fault_times.get(fault.name)
    late_us = 0 if times is None else times.begun_us - fault.at_us
    if late_us <= LATE * fault.for_us:
        return None
    gone = f"{format_duration(late_us)} of the {format_duration(fault.for_us)} of its window"
    return f"{gone} had gone when the fault was begun"


def not_begun(fault: Fault, case: Case) -> str | None:
    """Why nothing can be said of a fault of the plan, in a clause; None if it was begun."""
    if fault.at_us >= case.timeline.end_us:
        if case.facts.goes_on:
            return f"the fault {fault.name} has not begun yet"
        return f"the run ended before the fault {fault.name} began"
    if not case.facts.goes_on and fault.name not in case.facts.faults_begun:
        return f"the fault {fault.name} was never begun"
    return None


def _hung(rule: Rule, case: Case) -> str | None:
    """A time outside of all windows in which all that was under way was left from one, in a clause."""
    selection = replace(case.selection(rule), name=None, method=None, outcome=None)
    requests = case.requests(selection)
    telling = {*requests.rows(Outcome), *requests.dropped}
    under_way = {
        second
        for region, seconds in case.evidence.flow.items()
        if selection.region in {None, region}
        for second, flow in seconds.items()
        if flow.in_flight
    }
    stretches = case.stretches(selection)
    silent = 0
    for stretch in stretches:
        since = stretch.full_seconds.start
        for second in (*stretch.full_seconds, stretch.full_seconds.stop):
            if second not in stretch.full_seconds or second in telling or second not in under_way:
                silent += second - since if second - since >= HUNG_S else 0
                since = second + 1
    if silent * SECOND_US <= HUNG * sum(stretch.length_us for stretch in stretches):
        return None
    return (
        f"in {silent} s outside of the faults' windows all that was under way had begun within one, so that nothing "
        "shows how it was there"
    )
