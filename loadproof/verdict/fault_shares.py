"""What worked while a fault was on, and how much of the run's error budget it burnt: exact counts of its requests."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Final

from loadproof.errors import RuleSyntaxError
from loadproof.measure.interval import Outcome
from loadproof.units import format_count, format_duration, format_ratio
from loadproof.verdict.band import WIDTH
from loadproof.verdict.case import Case, Measured, no_data
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.implied import ERROR_RATIO
from loadproof.verdict.selection import Selection
from loadproof.verdict.stall import merged_flow, stalls
from loadproof.verdict.timeline import Stretch, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.plan.model import Fault
    from loadproof.verdict.recovery import Recovery
    from loadproof.verdict.rule import Bound, Rule

LEAST_REQUESTS: Final = 20
"""Fewer say little of what works while a fault is on."""


def functionality(case: Case, fault: str, scenario: str | None = None) -> tuple[int, int]:
    """(ok requests, all requests and dropped starts) that lay in a fault's window with any part."""
    requests = case.requests(_in_window(case, fault, scenario))
    ok = requests.histogram((Outcome.OK,)).count
    return ok, requests.ended + sum(requests.dropped.values())


def budget_burnt(case: Case, fault: str) -> tuple[Fraction | None, str]:
    """The part of the run's error budget that a fault's requests burnt, and how it comes; None without any request.

    The budget is what the plan lets fail: the tightest limit of its `error_ratio` over the whole run, or 1 %, of the
    requests of the judged phases.
    """
    share = _allowed(case)
    requests = case.requests(Selection(case.timeline.judged))
    due = requests.ended + sum(requests.dropped.values())
    burning = case.requests(_in_window(case, fault))
    errors = burning.errors + sum(burning.dropped.values())
    if not due:
        return None, "no request of the judged phases ended"
    budget = share * due
    text = f"{format_count(errors)} errors, where {format_ratio(float(share))} of {format_count(due)} requests may fail"
    if not budget:
        return (Fraction(0), text) if not errors else (None, text)
    return errors / budget, text


def measure_functionality(rule: Rule, case: Case, fault: Fault, told: Recovery) -> Measured:
    scenario = rule.selector.get("scenario")
    ok, due = functionality(case, fault.name, scenario)
    of = f"of {scenario} " if scenario else ""
    if case.facts.goes_on and _may_change(case, told):
        return no_data(f"requests {of}may still come that lay in the window of {fault.name}")
    if not due:
        return no_data(f"no request {of}lay in the window of {fault.name}")
    share = Fraction(ok, due)
    ended = case.requests(_in_window(case, fault.name, scenario))
    counts = {second: row[0] for second, row in ended.rows(Outcome).items()}

    def stands(bound: Bound) -> bool:
        missing = case.missing(counts, _in_window(case, fault.name, scenario))
        return not bound.holds(Fraction(ok + missing, due + missing))

    doubts = []
    if due < LEAST_REQUESTS:
        doubts.append(f"{format_count(due)} requests say little")
    if told.end_us is None:
        doubts.append("the run ended before the fault did")
    silent_us = _silent_us(case, told)
    if silent_us > WIDTH * fault.for_us and not _limits_waiting(case, fault):
        doubts.append(
            f"nothing at all was answered in {format_duration(silent_us)} of it, and who waits long is ok here: limit "
            "stall or latencies of the fault too"
        )
    return Measured(
        f"{format_ratio(float(share))} worked while {fault.name} was on: {format_count(ok)} of {format_count(due)} "
        f"requests {of}were ok",
        float(share),
        due,
        lambda bound: bound.holds(share),
        stands,
        doubts=tuple(doubts),
    )


def measure_budget(case: Case, fault: Fault) -> Measured:
    if case.facts.goes_on:
        return no_data("how large the error budget is shows when the run is over")
    value, text = budget_burnt(case, fault.name)
    if value is None and not case.requests(Selection(case.timeline.judged)).ended:
        return no_data(text)
    told = inf if value is None else float(value)
    return Measured(
        f"{fault.name} burnt {'all of it' if value is None else format_ratio(told)}: {text}",
        told,
        None,
        lambda bound: not bound.operator.caps if value is None else bound.holds(value),
        lambda bound: (
            bool(value is not None and not bound.holds(value)) and not case.shortfall.has_absent_workers
        ),
    )


def _silent_us(case: Case, told: Recovery) -> int:
    """The longest time within a fault in which requests were in flight and none was answered."""
    until_us = told.watched_until_us if told.end_us is None else told.end_us
    pauses = within(stalls(merged_flow(case.evidence, None)), [Stretch(told.begin_us, until_us)])
    return max((pause.length_us for pause in pauses), default=0)


def _may_change(case: Case, told: Recovery) -> bool:
    """Whether a request may be under way that lay in the fault's window."""
    if told.end_us is None:
        return True
    oldest = [
        flow.oldest_start_us
        for seconds in case.evidence.flow.values()
        for second, flow in seconds.items()
        if flow.oldest_start_us is not None and (second + 1) * SECOND_US > told.watched_until_us - SECOND_US
    ]
    return min(oldest, default=told.end_us) < told.end_us or told.watched_until_us < told.end_us + SECOND_US


def _in_window(case: Case, fault: str, scenario: str | None = None) -> Selection:
    phases = {*case.timeline.every, *(key.series.phase for key in case.evidence.totals)}
    return Selection(frozenset(phases), scenario, fault=fault)


def _limits_waiting(case: Case, fault: Fault) -> bool:
    """Whether the plan says how long nothing may be answered, or one request of the fault may wait."""
    for rule in _plain_rules(case):
        of_fault = rule.selector == {"fault": fault.name}
        if rule.statistic.name == "stall" and (of_fault or not rule.selector):
            return True
        if rule.statistic.is_latency and of_fault:
            return True
    return False


def _allowed(case: Case) -> Fraction:
    """The tightest cap of the plan on the error ratio of the whole run; that which latency rules imply without one."""
    found = [
        rule.limit.value
        for rule in _plain_rules(case)
        if rule.statistic.name == "error_ratio" and not rule.selector
    ]
    return min(found or [ERROR_RATIO.value])


def _plain_rules(case: Case) -> Iterator[Rule]:
    """Those of the plan that cap something over all of the time that they speak of, by a number."""
    for text in case.plan.rules:
        try:
            rule = parse_rule(text.text)
        except RuleSyntaxError:
            continue
        plain = rule.window is None and rule.relative is None and not text.abort
        if plain and rule.limit.operator.caps:
            yield rule
