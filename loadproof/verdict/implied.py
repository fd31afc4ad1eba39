"""Rules that nobody wrote: without them a latency rule could be kept by a target that refuses or hangs."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.rule import Bound, Operator, Rule, Statistic, Unit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ERROR_RATIO: Final = Bound(Operator.AT_MOST, Fraction(1, 100))
SHORTEST_STALL_US: Final = SECOND_US
"""Completions are known per interval of a second, so a shorter stall cannot be told from none."""


def implied_rules(rules: Sequence[Rule], optional: Collection[Rule]) -> list[tuple[Rule, bool]]:
    """What latency rules imply, each with whether it is optional, as it is if only optional rules imply it.

    `error_ratio <= 1%` on the selection of every latency rule, also of one on a latency's growth, unless the plan caps
    the error ratio of just that selection over the whole run, or asks for `functionality` of it; and one `stall`, at
    most the largest latency limit but at least `SHORTEST_STALL_US`, unless the plan caps the stall of the whole run.
    Rules that name a fault, or none, imply a `stall` of theirs in the same way. A limit that is said by the baseline
    implies no `stall`: who hangs has no answers, and those are slower than any limit.
    """
    latency = [rule for rule in rules if rule.statistic.is_latency or rule.statistic.grown is not None]
    found: list[tuple[Rule, bool]] = []
    for rule in latency:
        selector = _without_outcome(rule)
        known = (*rules, *(other for other, _ in found))
        if any(_caps(other, "error_ratio", selector) or _floors(other, selector) for other in known):
            continue
        same = [other for other in latency if _without_outcome(other) == selector]
        implied = Rule(Statistic("error_ratio"), selector, ERROR_RATIO, Unit.RATIO)
        found.append((implied, all(other in optional for other in same)))
    caps = [rule for rule in latency if rule.statistic.is_latency]
    caps = [rule for rule in caps if rule.limit.operator.caps and rule.relative is None]
    if any(_caps(rule, "stall", {}) for rule in rules):
        return found
    for fault in dict.fromkeys(rule.selector.get("fault") for rule in caps):
        own = {} if fault is None else {"fault": fault}
        if any(_caps(rule, "stall", own) for rule in rules):
            continue
        # Of the whole run the largest of all: where every request may be as slow, a pause may be as long.
        same = [rule for rule in caps if fault in {None, rule.selector.get("fault")}]
        largest = max(*(rule.limit.value for rule in same), Fraction(SHORTEST_STALL_US))
        implied = Rule(Statistic("stall"), own, Bound(Operator.AT_MOST, largest), Unit.DURATION)
        found.append((implied, all(rule in optional for rule in same)))
    return found


def _floors(rule: Rule, selector: dict[str, str]) -> bool:
    """Whether it asks for a share of ok requests of a fault's selection."""
    return (
        rule.statistic.name == "functionality"
        and not rule.limit.operator.caps
        and "fault" in selector
        and rule.selector
        in (selector, {label: value for label, value in selector.items() if label != "fault"})
    )


def _caps(rule: Rule, statistic: str, selector: dict[str, str]) -> bool:
    return (
        rule.statistic.name == statistic
        and rule.limit.operator.caps
        and rule.relative is None
        and rule.window is None
        and rule.selector == selector
    )


def _without_outcome(rule: Rule) -> dict[str, str]:
    return {label: value for label, value in rule.selector.items() if label != "outcome"}
