"""What a plan's rules mean for those who run it: the latencies to count against, the time to drain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.verdict.grammar import latency_limits_us, parse_rule

if TYPE_CHECKING:
    from loadproof.plan.model import Plan

SHORTEST_STOP_TIMEOUT_US: Final = 30_000_000


def limits_us(plan: Plan) -> tuple[int, ...]:
    """Every latency limit and goal of the plan, ascending."""
    return latency_limits_us([parse_rule(rule.text) for rule in plan.rules])


def stop_timeout_us(plan: Plan) -> int:
    """How long a stop waits for requests in flight: as the plan says, else max(30 s, twice the largest limit)."""
    if plan.stop_timeout_us is not None:
        return plan.stop_timeout_us
    return max(SHORTEST_STOP_TIMEOUT_US, 2 * max(limits_us(plan), default=0))
