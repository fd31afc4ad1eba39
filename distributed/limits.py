"""What a plan's rules mean for those who run it: the latencies to count against, the time to drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.plan.model import JOIN_TIMEOUT_US
from loadproof.verdict import evidence
from loadproof.verdict.grammar import latency_limits_us, parse_rule

if TYPE_CHECKING:
    from loadproof.plan.model import Plan


def limits_us(plan: Plan) -> tuple[int, ...]:
    """Every latency limit and goal of the plan, ascending."""
    return latency_limits_us([parse_rule(rule.text) for rule in plan.rules])


def join_timeout_us(plan: Plan) -> int:
    """How long the run of this plan waits for workers, where others start them."""
    return JOIN_TIMEOUT_US if plan.join_timeout_us is None else plan.join_timeout_us


def stop_timeout_us(plan: Plan) -> int:
    """How long a stop of this plan waits for requests in flight."""
    return evidence.stop_timeout_us(plan, limits_us(plan))
