"""From a command's words to a plan that can be run: every mistake of plan, rules and suite at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadproof.errors import Mistake, PlanError, Position, RuleSyntaxError, UsageError
from loadproof.plan.builtin import resolve
from loadproof.plan.reader import Overrides, bare_plan, read_plan
from loadproof.verdict.grammar import Rule, parse_rule

if TYPE_CHECKING:
    from distributed.suite import Suite
    from loadproof.plan.model import Plan, RuleText


@dataclass(frozen=True)
class Asked:
    """A plan with its suite and rules, all of which fit together."""

    plan: Plan
    suite: Suite
    rules: tuple[Rule, ...]
