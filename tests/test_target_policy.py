"""What a policy decides: two evaluators that were written apart agree, and the rules hold as documented."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from locustfiles.governance.evaluator import expected_decision, policy_digest
from target.policy import LARGEST, Action, Policy, canonical, decide, digest, matches

# Small alphabets: values collide, patterns match, attributes are found.
TEXTS = st.text("ab1.?[", max_size=3)
SCALARS = st.one_of(st.booleans(), st.integers(-1, 2), TEXTS, st.sampled_from([LARGEST, -LARGEST]))
LISTS = st.lists(SCALARS, max_size=3)
VALUES = st.one_of(SCALARS, LISTS)
NAMES = st.sampled_from(["a", "b_1"])
ATTRIBUTES = st.one_of(
    st.sampled_from(["action", "resource"]),
    NAMES.map(lambda name: f"subject.{name}"),
    NAMES.map(lambda name: f"context.{name}"),
)
OPERATORS = {
    "equals": VALUES,
    "not_equals": VALUES,
    "in": LISTS,
    "not_in": LISTS,
    "less_than": st.integers(-2, 3),
    "at_most": st.integers(-2, 3),
    "greater_than": st.integers(-2, 3),
    "at_least": st.integers(-2, 3),
    "starts_with": TEXTS,
    "contains": SCALARS,
}
CONDITIONS = st.sampled_from(sorted(OPERATORS)).flatmap(
    lambda operator: st.fixed_dictionaries(
        {"attribute": ATTRIBUTES, "operator": st.just(operator), "value": OPERATORS[operator]}
    )
)
PATTERNS = st.text("ab/.*?[\n", min_size=1, max_size=8)
RESOURCES = st.text("ab/.[\n", min_size=1, max_size=8)
POLICIES = st.fixed_dictionaries(
    {
        "title": st.text(min_size=1, max_size=20),
        "principle": st.text(min_size=1, max_size=20),
        "effect": st.sampled_from(["allow", "deny"]),
        "resource": PATTERNS,
        "conditions": st.lists(CONDITIONS, max_size=4),
        "priority": st.integers(0, 1000),
    }
)
ACTIONS = st.fixed_dictionaries(
    {
        "subject": st.dictionaries(NAMES, VALUES),
        "action": st.text("ab1", min_size=1, max_size=2),
        "resource": RESOURCES,
        "context": st.dictionaries(NAMES, VALUES),
    }
)


def read(document, form):
    """As the target reads a request's body."""
    return msgspec.json.decode(json.dumps(document), type=form)


def target_decision(policy, action):
    decision = decide(read(policy, Policy), read(action, Action))
    return decision.decision, decision.resource_matched, decision.matched_conditions


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, action=ACTIONS)
def test_the_scenario_expects_what_the_target_decides(policy, action):
    """For any policy and action, the client's own evaluator and the target's agree in every part."""
    assert expected_decision(policy, action) == target_decision(policy, action)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(policy=POLICIES, action=ACTIONS)
def test_the_scenario_expects_what_the_target_decides_always(policy, action):
    """The same, many times over."""
    assert expected_decision(policy, action) == target_decision(policy, action)


@settings(max_examples=200, deadline=None)
@given(policy=POLICIES)
def test_a_digest_is_the_same_for_client_and_target(policy):
    """Canonical JSON of any text has one spelling in both codes, so its digest can be recomputed."""
    content = canonical(read(policy, Policy))

    assert json.loads(content) == policy
    assert digest(content) == policy_digest(policy)


@settings(max_examples=100, deadline=None)
@given(policy=POLICIES, data=st.data())
def test_every_change_changes_the_digest(policy, data):
    """Two different policies have different digests: also true and 1, and another order of conditions."""
    other = data.draw(POLICIES)
    assume(json.dumps(policy, sort_keys=True) != json.dumps(other, sort_keys=True))

    assert digest(canonical(read(policy, Policy))) != digest(canonical(read(other, Policy)))


BASE = {
    "title": "T",
    "principle": "P",
    "effect": "deny",
    "resource": "records/*",
    "conditions": [],
    "priority": 0,
}
ACTION = {
    "subject": {"role": "auditor", "level": 3, "ok": True, "groups": ["a", 1]},
    "action": "read",
    "resource": "records/7",
    "context": {"hour": 12},
}


@pytest.mark.parametrize(
    ("attribute", "operator", "value", "holds"),
    [
        ("subject.role", "equals", "auditor", True),
        ("subject.role", "equals", "Auditor", False),
        ("subject.ok", "equals", 1, False),
        ("subject.level", "equals", "3", False),
        ("subject.groups", "equals", ["a", 1], True),
        ("subject.groups", "equals", ["a", True], False),
        ("subject.groups", "equals", [1, "a"], False),
        ("subject.none", "equals", "x", False),
        ("subject.role", "not_equals", "clerk", True),
        ("subject.ok", "not_equals", 1, True),
        ("subject.none", "not_equals", "x", False),
        ("action", "in", ["read", "list"], True),
        ("subject.ok", "in", [1, "true"], False),
        ("subject.role", "not_in", ["clerk"], True),
        ("subject.none", "not_in", ["clerk"], False),
        ("context.hour", "less_than", 12, False),
        ("context.hour", "at_most", 12, True),
        ("context.hour", "greater_than", 11, True),
        ("context.hour", "at_least", 13, False),
        ("subject.ok", "at_least", 0, False),
        ("subject.role", "at_least", 0, False),
        ("resource", "starts_with", "records/", True),
        ("subject.level", "starts_with", "3", False),
        ("subject.groups", "contains", "a", True),
        ("subject.groups", "contains", True, False),
        ("subject.role", "contains", "audit", True),
        ("subject.role", "contains", 1, False),
    ],
)
def test_an_operator_holds_as_documented(attribute, operator, value, holds):
    """Each operator of the table in docs/target.md, at its edges."""
    policy = {**BASE, "conditions": [{"attribute": attribute, "operator": operator, "value": value}]}

    assert target_decision(policy, ACTION) == (("deny", True, [0]) if holds else ("not_applicable", True, []))


def test_conditions_are_looked_at_where_the_resource_differs():
    """The answer says which conditions hold even when the pattern does not match."""
    policy = {
        **BASE,
        "resource": "cases/*",
        "conditions": [
            {"attribute": "action", "operator": "equals", "value": "write"},
            {"attribute": "action", "operator": "equals", "value": "read"},
        ],
    }

    assert target_decision(policy, ACTION) == ("not_applicable", False, [1])


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("a*", "a", True),
        ("a*c", "a/b/c", True),
        ("a?c", "a/c", True),
        ("a?", "a", False),
        ("*ab", "aab", True),
        ("a*b*c", "abxc", True),
        ("[a]", "a", False),
        ("A", "a", False),
    ],
)
def test_a_pattern_matches_as_documented(pattern, text, fits):
    """`*` any run, `?` one character, all else itself."""
    assert matches(pattern, text) is fits


def test_a_hostile_pattern_is_decided():
    """A pattern on which a backtracking matcher would never end takes the product of the lengths in steps."""
    assert not matches("*a" * 128, "a" * 127 + "b" * 129)
