"""A timeline as points of lines, and a plan's rules as the limits that lie across them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from analyzer.layers import whole_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.model import Second
    from loadproof.verdict.result import RuleResult

LIMIT_LINES: Final = 4


def limits_of(
    rules: Sequence[RuleResult], statistics: set[str], prefix: str = ""
) -> list[tuple[RuleResult, float]]:
    """The limits that hold for the whole chart: those of rules without a selector, each value once."""
    found: dict[tuple[str, float], tuple[RuleResult, float]] = {}
    for rule in rules:
        quantile = (
            bool(prefix) and rule.statistic.startswith(prefix) and rule.statistic[len(prefix) :][:1].isdigit()
        )
        if rule.selector or not (quantile or rule.statistic in statistics):
            continue
        bounds = rule.limit if isinstance(rule.limit, tuple) else (rule.limit,)
        for bound in bounds:
            if bound is not None:
                found.setdefault((rule.statistic, bound), (rule, bound))
    return list(found.values())[:LIMIT_LINES]


def downsampled(timeline: Sequence[Second], points: int) -> tuple[int, list[Sequence[Second]]]:
    """Neighbouring seconds in groups of one size, at most `points` groups."""
    whole = whole_seconds(timeline)
    step = max(1, -(-len(whole) // points))
    return step, [whole[start : start + step] for start in range(0, len(whole), step)]


def note(text: str, how: str, step: int) -> str:
    return text if step == 1 else f"{text}, the {how} of {step} seconds a point"


def point(seconds: Sequence[Second], series: str, value: float | None) -> dict[str, Any]:
    """A point stands in the middle of the time that it speaks of."""
    return {"t": (seconds[0].second + seconds[-1].second + 1) / 2, "series": series, "v": value}


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def worst_ms(values: Sequence[int | None]) -> float | None:
    return max((value / 1_000 for value in values if value is not None), default=None)
