"""Random policies and actions: always valid, and of every kind."""

from __future__ import annotations

import random
from collections import Counter

import msgspec

from locustfiles.governance.drafts import random_action, random_policy
from locustfiles.governance.evaluator import expected_decision
from target.policy import Action, Policy


def test_drafts_are_what_the_target_takes():
    """Every generated policy and action passes the target's validation of every field."""
    random.seed(1)
    for _ in range(500):
        policy = random_policy()
        msgspec.convert(policy, Policy)
        msgspec.convert(random_action(policy), Action)


def test_decisions_are_a_real_mix():
    """Allow, deny and not applicable each come often, so that a target that always says one is found."""
    random.seed(2)
    decisions: Counter[str] = Counter()
    for _ in range(2_000):
        policy = random_policy()
        decisions[expected_decision(policy, random_action(policy))[0]] += 1

    assert min(decisions.values()) > 400
    assert set(decisions) == {"allow", "deny", "not_applicable"}


def test_the_seed_decides_everything():
    """With the same seed the same drafts come in the same order."""
    drawn = []
    for _ in range(2):
        random.seed(3)
        policies = [random_policy() for _ in range(50)]
        drawn.append((policies, [random_action(policy) for policy in policies]))

    assert drawn[0] == drawn[1]
