"""What grew in the course of a run, whether a rule asks for it or not: a line for each resource, and for latency."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from loadproof.plan.guards import each_side, shown_level
from loadproof.plan.guards import kind_of as kind_of_guard
from loadproof.units import format_count
from loadproof.verdict.growth import (
    HOUR_US,
    LEAST,
    UPTIME,
    Growth,
    Points,
    finite,
    growth,
    segments,
    steady_stretches,
)
from loadproof.verdict.rule import Per, Unit
from loadproof.verdict.theil_sen import TooFew

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadproof.verdict.case import Case
    from loadproof.verdict.rule import Rule

UNITS: Final = {
    "rss": Unit.BYTES,
    "vsz": Unit.BYTES,
    "state": Unit.BYTES,
    "heap": Unit.BYTES,
    "memory": Unit.RATIO,
}
"""Of resources by the last part of their name; of all others, a number."""
MATTERS: Final = 0.01
"""What adds less than this share of what there was, over all that was looked at, is steady for all that is known of it."""
CLEAR: Final = 0.05
"""An interval that reaches further than this share on both sides of 0 does not tell."""
_NOT_DRIFT: Final = frozenset({"cpu", UPTIME})
"""Time goes on, and how busy processors are is a matter of load: `growth(target.cpu)` can be asked for."""


class DriftWord(StrEnum):
    """What is said of one line."""

    STEADY = "steady"
    GROWS = "grows"
    SHRINKS = "shrinks"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Drift:
    """One resource, or a latency, over the judged phases of constant load."""

    name: str
    """`target.rss`, `p95`, ..."""
    unit: Unit
    samples: int
    per_hour: Growth | None
    """None where there are too few samples, as the next."""
    per_requests: Growth | None
    """For 1,000 requests."""
    word: DriftWord
    reason: str
    """One clause on the word."""
    reaches: str | None = None
    """What it comes to if it goes on, `the guard target.memory of 2 GB`; None where it does not grow or nothing limits it."""
    in_us: int | None = None
    """How long after the last sample."""


def drift(case: Case, rules: Iterable[Rule], latencies: Mapping[str, Points]) -> tuple[Drift, ...]:
    """A line for each resource that was sampled, and for each of the latencies, by name."""
    judged = case.timeline.stretches(case.timeline.every if case.facts.smoke else case.timeline.judged)
    stretches = steady_stretches(case, judged)
    known = {name: finite(samples) for name, samples in sorted(case.facts.resources.items())}
    limits = list(_limits(case, rules))
    found = []
    for name, points in (*latencies.items(), *known.items()):
        kind = name.rpartition(".")[2]
        is_double = kind == "memory" and f"{name.rpartition('.')[0]}.rss" in known
        if "(" in name or kind in _NOT_DRIFT or is_double or not points:
            continue
        parts = segments(case, name, points, stretches)
        unit = UNITS.get(kind, Unit.NUMBER) if "." in name else Unit.DURATION
        per_hour, per_requests = (growth(case, name, parts, per) for per in (Per.HOUR, Per.REQUESTS))
        samples = sum(map(len, parts))
        if isinstance(per_hour, TooFew) or isinstance(per_requests, TooFew):
            need = per_hour if isinstance(per_hour, TooFew) else per_requests
            assert isinstance(need, TooFew)
            reason = f"{format_count(need.have)} of {format_count(need.need)} samples at a constant load"
            found.append(Drift(name, unit, samples, None, None, DriftWord.UNCLEAR, reason))
            continue
        word, reason = _word(per_hour, LEAST.get(kind, 1.0))
        reaches, in_us = None, None
        if word is DriftWord.GROWS:
            reaches, in_us = _reached(name, points, per_hour.value, limits, known)
        found.append(Drift(name, unit, samples, per_hour, per_requests, word, reason, reaches, in_us))
    return tuple(found)


def _word(found: Growth, least: float) -> tuple[DriftWord, str]:
    level = abs(found.level)
    added = abs(found.added)
    # What the ends of the interval would have come to, in the same time.
    span = found.span_us / HOUR_US
    widest = max(abs(found.low), abs(found.high)) * span
    if found.low > 0 or found.high < 0:
        if added <= MATTERS * level:
            return DriftWord.STEADY, "less than 1 % of it"
        word = DriftWord.GROWS if found.low > 0 else DriftWord.SHRINKS
        return word, "the 95 % interval lies on one side of 0"
    if widest <= CLEAR * level:
        return DriftWord.STEADY, "at most 5 % of it"
    if widest < 2 * least:
        return DriftWord.STEADY, "not by one"
    return DriftWord.UNCLEAR, "the 95 % interval holds 0, and more than 5 % of it"


def _limits(case: Case, rules: Iterable[Rule]) -> Iterable[tuple[str, float, str]]:
    """(resource, level, how it is called) of what the plan does not want to be passed."""
    for guard in chain.from_iterable(map(each_side, case.plan.guards)):
        side, _, what = guard.name.rpartition(".")
        level = guard.stop if guard.stop is not None else guard.warn
        if what == "memory" and level is not None:
            yield (
                f"{side}.rss",
                level,
                f"the guard {guard.name} of {shown_level(kind_of_guard(guard), level)}",
            )
    for rule in rules:
        if rule.statistic.name == "resource" and rule.limit.operator.caps and not rule.is_open:
            text = f"the limit of {rule.statistic} <= {rule.limit_text}"
            yield str(rule.statistic.argument), float(rule.limit.value), text


def _reached(
    name: str,
    points: Points,
    per_hour: float,
    limits: Iterable[tuple[str, float, str]],
    known: Mapping[str, Points],
) -> tuple[str | None, int | None]:
    """The first limit that is still ahead, and how long until then; of memory, all that may be used is one."""
    last = points[-1][1]
    ahead = [(level, text) for resource, level, text in limits if resource == name and level > last]
    side, _, kind = name.rpartition(".")
    share = known.get(f"{side}.memory", ())
    if kind == "memory":
        ahead.append((1.0, "all that may be used"))
    elif kind == "rss" and share and share[-1][1] > 0:
        ahead.append((last / share[-1][1], "all the memory that may be used"))
    ahead = [one for one in ahead if one[0] > last]
    if not ahead:
        return None, None
    level, text = min(ahead)
    return text, int((level - last) / per_hour * HOUR_US)
