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

    `error_ratio <= 1%` on the selection of every latency rule, unless the plan caps the error ratio of just
    that selection over the whole run; and one `stall`, at most the largest latency limit but at least
    `SHORTEST_STALL_US`, unless the plan caps the stall of the whole run. A limit that is said by the baseline
    implies no `stall`: who hangs has no answers, and those are slower than any limit.
    """
    latency = [rule for rule in rules if rule.statistic.is_latency]
    found: list[tuple[Rule, bool]] = []
    for rule in latency:
        selector = _without_outcome(rule)
        if any(_caps(other, "error_ratio", selector) for other in (*rules, *(known for known, _ in found))):
            continue
        same = [other for other in latency if _without_outcome(other) == selector]
        implied = Rule(Statistic("error_ratio"), selector, ERROR_RATIO, Unit.RATIO)
        found.append((implied, all(other in optional for other in same)))
    caps = [rule for rule in latency if rule.limit.operator.caps and rule.relative is None]
    if caps and not any(_caps(rule, "stall", {}) for rule in rules):
        largest = max(*(rule.limit.value for rule in caps), Fraction(SHORTEST_STALL_US))
        limit = Bound(Operator.AT_MOST, largest)
        found.append(
            (Rule(Statistic("stall"), {}, limit, Unit.DURATION), all(rule in optional for rule in caps))
        )
    return found


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
