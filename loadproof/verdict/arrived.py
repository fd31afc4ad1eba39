"""Did the planned starts of an open plan happen: the workers' own counts against the plan's arrivals.

A start counts as offered once a user took it or it was dropped. Of which phase it was, journals tell; in which
second it was due, they tell within the bounds of `evidence.Due`. A window is held against the bound that
favours it, so that starts which wait for users of a slow target are never taken for load that was not offered.
"""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import TYPE_CHECKING, Final

from loadproof.plan.arrivals import arrivals_before, volume_before
from loadproof.plan.model import ArrivalProcess
from loadproof.units import format_count, format_ratio
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.generator import SATURATED
from loadproof.verdict.offered import LEAST, MOST, NOT_OFFERED, WINDOW
from loadproof.verdict.result import Reason, Verdict
from loadproof.verdict.shortfall import planned_user_us, seen_user_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.plan.model import Plan
    from loadproof.verdict.case import Case
    from loadproof.verdict.timeline import Stretch

LATE: Final = Fraction(1, 100)
"""Largest share of a phase's starts that our own timer may have missed."""
UNSERVED: Final = Fraction(1, 100)
"""Largest share of a phase's starts that may have found no user, without a word about it."""
BY_CHANCE: Final = 20
"""A scenario of which so many starts are expected has one by chance in any plan."""


def arrival_reasons(case: Case) -> Iterator[Reason]:
    """INVALID for every phase, and for the worst full 10 s, with less than 95 % or more than 105 % of the plan.

    `allowance` more or less is none of that. Also INVALID: over 1 % of a phase's starts dropped as too late,
    which is the generator's doing, and a pool of users under 95 % of the plan where starts found none.
    """
    yield from _phase_reasons(case)
    end = case.timeline.end_us // SECOND_US
    starts = case.shortfall.starts(None)
    lowest: tuple[float, range] | None = None
    highest: tuple[float, range] | None = None
    for first in range(end - WINDOW + 1):
        seconds = range(first, first + WINDOW)
        planned = starts.planned(seconds)
        spare = allowance(case.plan, planned)
        below, above = (
            LEAST * planned - spare - starts.most(seconds),
            starts.fewest(seconds) - MOST * planned - spare,
        )
        if below > 0 and (lowest is None or below > lowest[0]):
            lowest = below, seconds
        if above > 0 and (highest is None or above > highest[0]):
            highest = above, seconds
    if lowest is not None:
        seconds = lowest[1]
        where = f"the {WINDOW} s from second {seconds.start}"
        yield _not_offered(case, where, starts.most(seconds), starts.planned(seconds), seconds)
    if highest is not None:
        seconds = highest[1]
        where = f"the {WINDOW} s from second {seconds.start}"
        yield _not_offered(case, where, starts.fewest(seconds), starts.planned(seconds), seconds)


def allowance(plan: Plan, planned: Fraction | float) -> float:
    """How many starts more or fewer are no sign of another load.

    One is due so close to a boundary that it is counted behind it. Poisson arrivals scatter besides: by
    Bernstein's inequality z sqrt(n) + z^2 / 3 bounds what is left by chance once in exp(z^2 / 2), with z = 4.
    """
    if plan.arrival_process is ArrivalProcess.CONSTANT:
        return 1
    return 1 + 4 * sqrt(planned) + 16 / 3


def arrival_mix_reasons(case: Case) -> Iterator[Reason]:
    """A scenario with clearly fewer starts than its weight asks for, though their sum is right.

    The share of one user of the pool is rounding, beyond the 5 %.
    """
    weights = case.plan.scenarios or {}
    seen = dict.fromkeys(weights, 0)
    for key, table in case.evidence.arrivals.items():
        scenario = key.arrival.scenario
        seen[scenario] = seen.get(scenario, 0) + sum(table.sums())
    total, total_weight = sum(seen.values()), sum(weights.values())
    for scenario, weight in weights.items():
        share = weight / total_weight
        expected = total * share
        spare = allowance(case.plan, expected) + total / max(case.plan.max_users, 1)
        is_missing = not seen[scenario] and expected >= BY_CHANCE and case.plan.max_users * share >= 1
        if is_missing or seen[scenario] < LEAST * expected - spare:
            text = (
                f"scenario {scenario} had {format_count(seen[scenario])} starts, its weight asks for "
                f"{format_count(round(expected))}: its users could not be made, or ended"
            )
            yield Reason(Verdict.INVALID, NOT_OFFERED, text)


def _phase_reasons(case: Case) -> Iterator[Reason]:
    for name, stretch in case.timeline.phases(case.timeline.every):
        taken, no_user, late = _counted(case, name)
        seen = taken + no_user + late
        is_whole = stretch.to_us < case.timeline.end_us or not case.timeline.is_cut
        if is_whole:
            planned = _planned(case.plan, stretch)
            spare = allowance(case.plan, planned)
            if not LEAST * planned - spare <= seen <= MOST * planned + spare:
                yield _not_offered(case, f"phase {name}", seen, planned, stretch.full_seconds)
        elif stretch.full_seconds:
            # What was due before a stop and still waited is counted after it, as dropped or not at all.
            starts = case.shortfall.starts(None)
            planned = starts.planned(stretch.full_seconds)
            if starts.most(stretch.full_seconds) < LEAST * planned - allowance(case.plan, planned):
                seen = starts.most(stretch.full_seconds)
                yield _not_offered(case, f"phase {name}", seen, planned, stretch.full_seconds)
        if late > LATE * seen:
            text = (
                f"{format_count(late)} of {format_count(seen)} starts ({format_ratio(late / seen)}) in phase {name} "
                "were dropped because the workers' own timers were late"
            )
            yield Reason(Verdict.INVALID, SATURATED, text)
        if no_user > UNSERVED * seen:
            text = (
                f"{format_count(no_user)} of {format_count(seen)} starts ({format_ratio(no_user / seen)}) in phase "
                f"{name} were dropped because no user was free"
            )
            yield Reason(Verdict.WARN, "starts_dropped", text)
        if no_user:
            yield from _pool_reason(case, name, stretch)


def _pool_reason(case: Case, name: str, stretch: Stretch) -> Iterator[Reason]:
    """A start that found no user is the target's doing only if the planned users were there."""
    seconds = stretch.full_seconds
    planned = sum(planned_user_us(case.plan, seconds.stop)[seconds.start :])
    seen = sum(seen_user_us(case.evidence, seconds.stop)[seconds.start :])
    if seen < LEAST * planned:
        length_us = len(seconds) * SECOND_US
        text = (
            f"phase {name} had {format_count(round(seen / length_us, 1))} users on average to serve its starts "
            f"where the plan has {format_count(round(planned / length_us, 1))}, and starts found none"
        )
        yield Reason(Verdict.INVALID, NOT_OFFERED, text)


def _counted(case: Case, phase: str) -> tuple[int, int, int]:
    """(taken, dropped for want of a user, dropped as too late) of the starts that were due in a phase."""
    totals = [0, 0, 0]
    for key, table in case.evidence.arrivals.items():
        if key.arrival.phase == phase:
            totals = [have + more for have, more in zip(totals, table.sums(), strict=True)]
    return totals[0], totals[1], totals[2]


def _planned(plan: Plan, stretch: Stretch) -> Fraction:
    before = arrivals_before if plan.arrival_process is ArrivalProcess.CONSTANT else volume_before
    return Fraction(before(plan.load, stretch.to_us)) - Fraction(before(plan.load, stretch.from_us))


def _not_offered(case: Case, where: str, seen: int, planned: Fraction, seconds: range) -> Reason:
    share = f" ({format_ratio(float(seen / planned))})" if planned else ""
    text = f"{where} had {format_count(seen)} starts where the plan has {format_count(round(planned))}{share}"
    off = {}
    for region in case.plan.regions if seconds else ():
        starts = case.shortfall.starts(region.name)
        off[region.name] = abs(starts.planned(seconds) - starts.most(seconds))
    if len(off) > 1:
        text += f", furthest off in {max(off, key=lambda region: off[region])}"
    return Reason(Verdict.INVALID, NOT_OFFERED, text)
