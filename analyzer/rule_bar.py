"""A rule's small bar: the value, its interval, limit and goal on one scale that begins at 0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from loadproof.errors import RuleSyntaxError
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.rule import Bound, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.verdict.result import RuleResult

WIDTH: Final = 130
HEIGHT: Final = 18
_WIDEST_INTERVAL: Final = 3
"""An interval may stretch the scale to so many times what value and bounds need; beyond that it is cut."""


def rule_bar(rule: RuleResult) -> Markup:
    """An SVG; empty where there is no value to draw. Its numbers stand in the same row, so it is hidden from readers."""
    limit = rule.limit
    if limit is None:
        return Markup("")
    limits = limit if isinstance(limit, tuple) else (limit,)
    goals = goal_bounds(rule)
    known = [abs(number) for number in (*limits, *goals) if math.isfinite(number)]
    if rule.value is None or not known:
        return Markup("")
    finite = [*known, *([abs(rule.value)] if math.isfinite(rule.value) else [])]
    largest = max(finite) or 1.0
    low, high = rule.confidence or (rule.value, rule.value)
    if math.isfinite(high):
        largest = max(largest, min(high, _WIDEST_INTERVAL * largest))
    scale = (WIDTH - 8) / largest

    def at(number: float) -> float:
        return round(min(max(number, 0.0), largest) * scale, 1) if math.isfinite(number) else WIDTH - 8.0

    parts = [
        f'<rect class="kept" x="{x}" y="2" width="{width}" height="14"/>'
        for x, width in _kept(rule.operator, limit, at)
    ]
    parts.append(f'<rect class="value" x="0" y="6" width="{max(at(rule.value), 1.0)}" height="6"/>')
    if math.isinf(rule.value):
        parts.append(f'<path class="value" d="M{WIDTH - 8} 3l8 6l-8 6z"/>')
    if rule.confidence is not None:
        parts.append(f'<path class="interval" d="M{at(low)} 9H{at(high)}M{at(low)} 5v8M{at(high)} 5v8"/>')
    parts += [f'<path class="goal" d="M{at(goal)} 2v14"/>' for goal in goals]
    parts += [f'<path class="limit" d="M{at(bound)} 0v18"/>' for bound in limits if math.isfinite(bound)]
    inner = "".join(parts)
    return Markup(  # noqa: S704 made of numbers alone
        f'<svg class="bar" viewBox="-1 0 {WIDTH + 2} {HEIGHT}" width="{WIDTH + 2}" height="{HEIGHT}" '
        f'aria-hidden="true" focusable="false">{inner}</svg>'
    )


def goal_bounds(rule: RuleResult) -> tuple[float, ...]:
    """The goal's numbers in the rule's unit; none where it has none."""
    if rule.goal is None:
        return ()
    try:
        goal = parse_rule(rule.rule).goal
    except RuleSyntaxError:
        return ()
    match goal:
        case Bound():
            return (float(goal.value),)
        case Span():
            return (float(goal.low), float(goal.high))
        case _:
            return ()


def _kept(
    operator: str, limit: float | tuple[float, float], at: Callable[[float], float]
) -> list[tuple[float, float]]:
    """(x, width) of where the limit is kept."""
    if isinstance(limit, tuple):
        low, high = limit
        return [(at(low), round(at(high) - at(low), 1))]
    if operator in {"<=", "<"}:
        return [(0.0, at(limit))]
    return [(at(limit), round(WIDTH - at(limit), 1))]
