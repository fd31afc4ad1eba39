"""Which rules a search goes by, and which are left to judge the run that searches.

In a search limits are meant to be broken. So what a rule says of the searched phase is what the search looks for, and
no verdict on the run; but for what must never happen under any load: a census of checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.rule import RECOVERY

if TYPE_CHECKING:
    from loadproof.plan.model import Plan
    from loadproof.verdict.case import Case
    from loadproof.verdict.rule import Rule

CRITERIA: Final = frozenset({"error_ratio", "stall", "check", "metric", "resource", "promql", "user_wait"})
"""Beside latencies, what a load can break; a rate or count says how much load there is."""


def limits_load(rule: Rule, plan: Plan) -> bool:
    """Whether a rule says what the load that is searched for must not break."""
    searched = plan.load[-1].name
    is_kind = rule.statistic.is_latency or rule.statistic.name in CRITERIA
    is_there = rule.selector.get("phase", searched) == searched
    return is_kind and is_there and not rule.is_open and "fault" not in rule.selector


def criteria(plan: Plan) -> list[Rule]:
    """The plan's own rules that a load must keep to be sustained; abort rules end a search as any run."""
    rules = [parse_rule(text.text) for text in plan.rules if not text.abort]
    return [rule for rule in rules if limits_load(rule, plan)]


def has_limit(plan: Plan) -> bool:
    """Whether anything can break a load that is searched for; where nothing can, what holds shows nothing.

    Of the guards only that of errors is one: those of a resource may never see it.
    """
    return bool(criteria(plan)) or any(guard.name == "errors" for guard in plan.guards)


def judges_run(rule: Rule, case: Case) -> bool:
    """Whether a rule has something to say of the run as a whole, beside what the search goes by."""
    searched = case.timeline.searched
    is_of_load = rule.statistic.name != "capacity" and rule.statistic.name not in RECOVERY
    if searched is None or case.facts.smoke or "fault" in rule.selector or not is_of_load:
        return True
    if rule.selector.get("phase") == searched:
        return rule.statistic.name == "check" and rule.is_census
    return bool(case.selection(rule).phases)
