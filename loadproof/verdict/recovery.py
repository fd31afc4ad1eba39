"""How a target took a fault and got well after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.verdict.case import Case, Measured, no_data

if TYPE_CHECKING:
    from loadproof.verdict.rule import Rule


def measure_recovery(rule: Rule, case: Case) -> Measured:  # noqa: ARG001 the shape of every measure
    """One of `rule.RECOVERY`."""
    return no_data(f"{rule.statistic} is not measured")
