"""What a search has found, as a value with an interval, the rule that limits it, and its shape; and rules on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING, Final

from loadproof.plan.model import PARTS, RATE_PERIOD_S
from loadproof.plan.search import level_text, steps_of
from loadproof.units import format_count, format_ratio
from loadproof.verdict.case import Measured, no_data
from loadproof.verdict.criteria import has_limit
from loadproof.verdict.rule import Unit
from loadproof.verdict.search import Asked, Ending, Found, Probe, Word, replayed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Plan
    from loadproof.verdict.case import Case
    from loadproof.verdict.probes import Probed
    from loadproof.verdict.rule import Bound, Rule

FALLS: Final = 0.9
"""A target whose ok rate falls below so much of what it was at its capacity goes over a cliff."""
FAILING: Final = 0.01
"""And so does one with a larger share of errors."""
RARE: Final = ("check(", "metric(")
"""How rules begin of which a single probe may have no data."""
NO_LIMIT: Final = "no rule says what a load must not break, so every load holds"
_BECAUSE: Final = {
    Ending.FOUND: "the search came to its end",
    Ending.CEILING: "the highest load that may be tried held",
    Ending.LOWEST_BREAKS: "the lowest load breaks already",
    Ending.NOT_RECOVERED: "after it had broken, the target was not fine again at loads that it had held",
    Ending.GENERATOR: "the generator is the limit, not the target",
    Ending.UNDECIDED: "its probes contradict each other",
    Ending.TIME: "the plan gave it no more time",
    Ending.STOPPED: "the run was stopped",
}


class Shape(StrEnum):
    """How the target behaves around its capacity."""

    CLIFF = "cliff"
    """Beyond it requests fail, or fewer are served than before."""
    KNEE = "knee"
    """Beyond it requests take longer."""
    SINKS = "sinks"
    """It becomes less while the load goes on."""


@dataclass(frozen=True)
class Searched:
    """The outcome of a search; loads in users, of an open plan in arrivals a second."""

    found: Found
    unit: Unit
    capacity: float | None
    interval: tuple[float | None, float | None]
    """95 %; None where nothing bounds it."""
    shape: Shape | None
    limited_by: str | None
    """The rule, or the guard, that breaks first above the capacity."""
    unproven: tuple[str, ...]
    """Rules that no probe at the capacity had enough data for."""
    recovery_s: float | None
    """From the end of the first probe that broke to the begin of the next that held: no longer was the target unwell."""
    probes: tuple[Probed, ...]
    loads: tuple[float, ...]
    """Of the probes, in the unit."""
    because: str
    """Why the search ended, in a clause."""
    is_confirmed: bool
    """As many probes in a row as the plan asks for held at the capacity."""

    @property
    def at_least(self) -> bool:
        """The capacity is a bound: nothing broke, or the search did not come to its end."""
        return self.found.ending is not Ending.FOUND

    @property
    def lack(self) -> str | None:
        """Why the capacity is not shown, though probes held there."""
        if not self.unproven or self.unproven[0] == NO_LIMIT:
            return self.unproven[0] if self.unproven else None
        return f"no probe at the capacity had enough samples for {self.unproven[0]}: let `hold` be longer"

    @property
    def text(self) -> str:
        """One sentence."""
        if self.capacity is None:
            return f"no capacity was found: {self.because}"
        low, high = self.interval
        named = self.load_text(self.capacity)
        if self.found.ending is Ending.CEILING:
            return f"the capacity is at least {named}: {self.because}"
        between = (
            f"between {format_count(low)} and {format_count(high)}" if high is not None else "there or above"
        )
        if self.at_least:
            return f"{named} held, and the capacity lies {between}, when the search ended: {self.because}"
        text = f"the capacity is {named}, {between} with 95 % confidence"
        if self.limited_by is not None:
            text += f"; {self.limited_by} limits it"
        match self.shape:
            case Shape.CLIFF:
                text += ", and beyond it requests fail or fewer are served: a cliff"
            case Shape.KNEE:
                text += ", and beyond it requests take longer: a knee"
            case Shape.SINKS:
                lost = format_ratio(round(self.found.sunk, 2))
                text += f", and it sinks: about {lost} of it was lost in the course of the search"
        return text

    def load_text(self, load: float) -> str:
        """With its unit."""
        if self.unit is Unit.RATE:
            return f"{format_count(load)}/s"
        return f"{format_count(load)} user{'s'[: load != 1]}"


def asked_of(plan: Plan) -> Asked:
    assert plan.search is not None
    steps = steps_of(plan)
    return Asked(steps.lowest, steps.highest, plan.search.precision / PARTS, plan.search.confirm)


def searched(plan: Plan, probes: Sequence[Probed], ending: Ending | None) -> Searched:
    """What these probes come to; `ending` as whoever carried them out has it, None for one that was cut off."""
    steps = steps_of(plan)
    told = [Probe(one.step.level, one.word) for one in probes]
    found = replayed(asked_of(plan), told, ending or Ending.STOPPED).found()
    unit = Unit.RATE if plan.open else Unit.NUMBER
    scale = steps.grain / (RATE_PERIOD_S if plan.open else 1)

    def load(level: float | None) -> float | None:
        return None if level is None else level * scale

    broken = [one for one in probes if one.word is Word.BROKE]
    held = [one for one in probes if one.word is Word.HELD]
    at_capacity = [one for one in held if found.capacity is not None and one.step.level >= found.capacity]
    return Searched(
        found,
        unit,
        load(found.capacity),
        (load(found.low), load(found.high)),
        _shape(found, held, broken),
        _limit(broken),
        _unproven(at_capacity, probes) if has_limit(plan) else (NO_LIMIT,),
        _recovery_s(probes, found),
        tuple(probes),
        tuple(one.step.level * scale for one in probes),
        _BECAUSE[found.ending],
        found.confirmed >= asked_of(plan).confirm or (found.sinks and found.confirmed > 0),
    )


def level_of(plan: Plan, level: int) -> str:
    """A level as a reader likes it."""
    return level_text(level, grain=steps_of(plan).grain, is_open=plan.open)


def measure_capacity(rule: Rule, case: Case) -> Measured:
    """The capacity that the plan's search found; never more is said than its probes have shown."""
    if case.facts.smoke:
        return no_data("a smoke run makes no load", too_few=True)
    known = case.facts.searched
    if known is None:
        return no_data("there was no search for it" if not case.facts.goes_on else "the search goes on")
    if rule.unit is not known.unit:
        wanted = "users, as in `capacity >= 100`" if known.unit is Unit.NUMBER else "`capacity >= 100/s`"
        return no_data(f"the load of this plan is counted in {wanted}")
    capacity, (low, high) = known.capacity, known.interval
    whole = not case.shortfall.has_absent_workers

    def holds(bound: Bound) -> bool | None:
        if known.found.ending is Ending.LOWEST_BREAKS:
            lowest = known.loads[-1]
            return False if not bound.operator.caps and bound.value >= Fraction(lowest) else None
        if capacity is None:
            return None
        if not known.at_least:
            return bound.holds(Fraction(capacity))
        if bound.holds(Fraction(capacity)) and not bound.operator.caps:
            return True
        return (
            False
            if high is not None and not bound.operator.caps and not bound.holds(Fraction(high))
            else None
        )

    def is_close(bound: Bound) -> bool:
        return low is not None and (high is not None) and low < bound.value <= high

    nothing = None
    if capacity is None and holds(rule.limit) is None:
        nothing = known.because
    elif holds(rule.limit) is None:
        nothing = f"{known.text}; whether it reaches this limit was not seen"
    elif holds(rule.limit):
        nothing = known.lack
    return Measured(
        known.text if capacity is not None else f"even the lowest load broke {known.limited_by}",
        capacity,
        sum(one.requests for one in known.probes) or None,
        holds,
        lambda bound: whole and holds(bound) is False,
        (low, high) if low is not None and high is not None else None,
        is_close,
        _doubts(known, rule.limit),
        no_data=nothing,
    )


def _doubts(known: Searched, limit: Bound) -> tuple[str, ...]:
    doubts = []
    broken = [load for load, probe in zip(known.loads, known.probes, strict=True) if probe.word is Word.BROKE]
    if not limit.operator.caps and broken and Fraction(min(broken)) <= limit.value:
        # What troubles the target now and then only lets most probes hold far above what it always sustains.
        doubts.append(f"a probe of no more than that broke, at {known.load_text(min(broken))}")
    if known.found.ending in {Ending.TIME, Ending.STOPPED, Ending.UNDECIDED}:
        doubts.append(f"the search ended before it was sure: {known.because}")
    elif not known.is_confirmed:
        doubts.append("too few probes in a row held there")
    if known.shape is Shape.SINKS:
        doubts.append("the capacity sinks while the load goes on")
    return tuple(doubts)


def _shape(found: Found, held: Sequence[Probed], broken: Sequence[Probed]) -> Shape | None:
    if found.sinks:
        return Shape.SINKS
    if not broken or not held:
        return None
    best = max(one.rate_per_s or 0.0 for one in held)
    falls = any((one.rate_per_s or 0.0) < FALLS * best for one in broken)
    fails = median(one.error_ratio or 0.0 for one in broken) > FAILING
    return Shape.CLIFF if falls or fails else Shape.KNEE


def _limit(broken: Sequence[Probed]) -> str | None:
    """What broke in most of the probes that broke at the lowest loads: far above the capacity everything does."""
    nearest = sorted(broken, key=lambda one: one.step.level)[: max(3, len(broken) // 2)]
    count = Counter(rule for one in nearest for rule in one.broken)
    return count.most_common(1)[0][0] if count else None


def _unproven(held: Sequence[Probed], probes: Sequence[Probed]) -> tuple[str, ...]:
    """Of what is rare, so that a single probe may have none of it, one probe of all is enough."""
    if not held:
        return ()
    return tuple(
        rule
        for rule in held[0].unproven
        if all(rule in one.unproven for one in (probes if rule.startswith(RARE) else held))
    )


def _recovery_s(probes: Sequence[Probed], found: Found) -> float | None:
    if not found.recovered:
        return None
    first = next(index for index, one in enumerate(probes) if one.word is Word.BROKE)
    fine = next((one for one in probes[first + 1 :] if one.word is Word.HELD), None)
    return None if fine is None else (fine.step.from_us - probes[first].step.to_us) / 1e6
