"""How much was done: rate, peak rate, count and users."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from loadproof.measure.interval import Outcome
from loadproof.plan.model import NO_FAULT
from loadproof.units import format_count, format_duration
from loadproof.verdict.case import Case, Measured, cut_short, exact, no_data, shown
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.intervals import MIN_SECONDS
from loadproof.verdict.latencies import few_seconds
from loadproof.verdict.rule import Bound, Rule, Unit
from loadproof.verdict.shortfall import seen_user_us
from loadproof.verdict.tallies import COUNT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadproof.verdict.selection import Selection
    from loadproof.verdict.timeline import Stretch, Timeline

PEAK_SECONDS: Final = 10


def measure_rate(rule: Rule, case: Case) -> Measured:
    """Ok requests over the run-clock length of the judged phases, as far as the run got.

    Of a fault only what ended in the full seconds of its window: what hung in it and came when it was over was not
    done in that time. Outside of all windows all that was under way in none, over the time that lies in none.
    """
    selection = case.selection(rule)
    counts = completed(case, selection)
    length_us = _length_us(case.stretches(selection))
    planned_us = _length_us(case.stretches(selection, case.whole))
    if counts is not None and selection.fault not in {None, NO_FAULT}:
        full = [stretch.full_seconds for stretch in case.stretches(selection)]
        length_us = sum(len(seconds) for seconds in full) * SECOND_US
        if not length_us:
            return no_data("the fault's window has no full second in the judged phases", too_few=True)
        counts = {second: count for second, count in counts.items() if any(second in part for part in full)}
    if counts is None or length_us == 0:
        return case.nothing(rule)
    ok = sum(counts.values())
    rate = Fraction(ok * SECOND_US, length_us)

    def stands(bound: Bound) -> bool:
        if bound.operator.caps:
            return not bound.holds(rate)
        return not bound.holds(Fraction((ok + case.missing(counts, selection)) * SECOND_US, planned_us))

    doubts = cut_short(case, selection)
    seconds = sum(1 for count in counts.values() if count)
    if seconds < MIN_SECONDS:
        doubts = (*doubts, few_seconds(seconds))
    text = f"rate is {shown(Unit.RATE, rate)}: {format_count(ok)} requests in {format_duration(length_us)}"
    return exact(rate, text, ok, stands, doubts)


def measure_peak_rate(rule: Rule, case: Case) -> Measured:
    """The highest rate of ok requests that ended in 10 full seconds inside one phase."""
    selection = case.selection(rule)
    counts = completed(case, selection, any_phase=True)
    if counts is None:
        return case.nothing(rule)

    def windows(timeline: Timeline) -> list[tuple[int, int]]:
        return [
            (first, sum(counts.get(second, 0) for second in range(first, first + PEAK_SECONDS)))
            for _, stretch in timeline.phases(selection.phases)
            for first in stretch.full_seconds[: max(0, len(stretch.full_seconds) - PEAK_SECONDS + 1)]
        ]

    found = windows(case.timeline)
    if not found:
        return no_data(f"no judged phase has {PEAK_SECONDS} full seconds", too_few=True)
    first, most = max(found, key=lambda window: window[1])
    rate = Fraction(most, PEAK_SECONDS)
    best = case.shortfall.best_rate(counts, selection.region)

    def stands(bound: Bound) -> bool:
        filled = [
            ceil(case.shortfall.load(begin, begin + PEAK_SECONDS, selection.region) * best) + count
            for begin, count in windows(case.whole)
        ]
        spare = case.shortfall.in_flight(selection.region)
        return not bound.holds(Fraction(max(filled) + spare, PEAK_SECONDS))

    text = f"peak rate is {shown(Unit.RATE, rate)}, over {PEAK_SECONDS} s from second {first}"
    return exact(rate, text, sum(counts.values()), stands, cut_short(case, selection))


def measure_count(rule: Rule, case: Case) -> Measured:
    """Ok requests, or those of the selector's outcome."""
    selection = case.selection(rule)
    counts = completed(case, selection)
    if counts is None:
        return case.nothing(rule)
    count = sum(counts.values())

    def stands(bound: Bound) -> bool:
        missing = 0 if bound.operator.caps else case.missing(counts, selection)
        return not bound.holds(count + missing)

    doubts = cut_short(case, selection) if rule.limit.operator.caps else ()
    outcome = selection.outcome or Outcome.OK
    return exact(Fraction(count), f"count is {format_count(count)} {outcome} requests", count, stands, doubts)


def measure_users(rule: Rule, case: Case) -> Measured:
    """The most users active in a full second of the judged phases, on average over that second."""
    selection = case.selection(rule)
    active = active_user_us(case, selection)
    seconds = [
        second for _, stretch in case.timeline.phases(selection.phases) for second in stretch.full_seconds
    ]
    if not seconds or not any(second in active for second in seconds):
        return case.nothing(rule)
    most = max(active.get(second, 0) for second in seconds)
    value = Fraction(most, SECOND_US)

    def stands(bound: Bound) -> bool:
        best = max(
            active.get(second, 0) + case.shortfall.user_us(second, second + 1, selection.region)
            for second in seconds
        )
        return not bound.holds(value if bound.operator.caps else Fraction(best, SECOND_US))

    text = f"at most {shown(Unit.NUMBER, round(float(value), 2))} users were active in a second"
    return exact(value, text, len(seconds), stands, cut_short(case, selection))


def _length_us(stretches: Iterable[Stretch]) -> int:
    return sum(stretch.length_us for stretch in stretches)


def completed(case: Case, selection: Selection, *, any_phase: bool = False) -> dict[int, int] | None:
    """Second -> requests of the selection's outcome (default ok) that ended in it; None without any that is due.

    `any_phase` counts by the time of the end alone, as a throughput within seconds wants it; else only
    requests that began in the selection's phases count, whenever they ended.
    """
    if any_phase:
        everywhere = {*case.timeline.every, *(key.series.phase for key in case.evidence.totals)}
        selection = selection.in_phases(frozenset(everywhere))
    requests = case.requests(selection)
    if requests.ended == 0 and not requests.dropped:
        return None
    rows = requests.rows((selection.outcome or Outcome.OK,))
    return {second: row[COUNT] for second, row in rows.items()}


def active_user_us(case: Case, selection: Selection) -> dict[int, int]:
    """Second -> active user-microseconds of the selection's scenario and region."""
    if selection.scenario is None:
        seconds = -(-case.timeline.planned_us // SECOND_US)
        seen = enumerate(seen_user_us(case.evidence, seconds, selection.region))
        return {second: user_us for second, user_us in seen if user_us}
    active: dict[int, int] = {}
    for (region, scenario), table in case.evidence.user_us.items():
        if selection.takes_users(region, scenario):
            for second, user_us in table.items():
                active[second] = active.get(second, 0) + user_us
    return active
