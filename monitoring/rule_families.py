"""The plan's rules as samples: value, limit, goal, margin and state of each."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.result import RuleVerdict
from loadproof.verdict.rule import Bound, Operator, Rule, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadproof.verdict.result import RuleResult
    from monitoring.families import Families

_parse = lru_cache(maxsize=1_000)(parse_rule)


def collect_rules(families: Families, results: Iterable[RuleResult]) -> None:
    """Of rules that read the same, which a plan may have as abort and not, the worse is shown."""
    by_text: dict[str, RuleResult] = {}
    for result in results:
        known = by_text.get(result.rule)
        if known is None or result.verdict is RuleVerdict.FAIL:
            by_text[result.rule] = result
    for text, result in by_text.items():
        _collect_rule(families, text, _parse(text), result)


def _collect_rule(families: Families, text: str, rule: Rule, result: RuleResult) -> None:
    is_duration = rule.unit is Unit.DURATION
    scale = 1e-6 if is_duration else 1.0
    selector = ",".join(f"{label}={value}" for label, value in rule.selector.items())
    families.add(
        "loadproof_rule_info",
        1,
        text,
        rule.statistic.name,
        rule.statistic.argument or "",
        selector,
        rule.limit.operator.value,
        "seconds" if is_duration else rule.unit.value,
    )
    value = result.value
    families.add("loadproof_rule_value", None if value is None else value * scale, text)
    if isinstance(result.limit, float | int):
        families.add("loadproof_rule_limit", result.limit * scale, text)
    families.add("loadproof_rule_margin_ratio", result.margin, text)
    goals = goal_bounds(rule)
    for goal in goals:
        families.add(
            "loadproof_rule_goal", float(goal.value) * scale, text, "most" if goal.operator.caps else "least"
        )
    if goals and value is not None and isfinite(value):
        met = all(goal.holds(Fraction(value)) for goal in goals)
        families.add("loadproof_rule_goal_met", int(met), text)
    for state in RuleVerdict:
        families.add("loadproof_rule_state", int(result.verdict is state), text, state.value)


def goal_bounds(rule: Rule) -> tuple[Bound, ...]:
    """None, one, or the two ends of a span."""
    if rule.goal is None:
        return ()
    if isinstance(rule.goal, Bound):
        return (rule.goal,)
    return (Bound(Operator.AT_LEAST, rule.goal.low), Bound(Operator.AT_MOST, rule.goal.high))
