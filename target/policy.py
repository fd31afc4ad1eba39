"""What a policy is, its digest, and how it decides an action. Pure: no clock, no database, no HTTP.

A policy applies to an action when the action's resource matches its pattern and **every** condition holds.
Then the decision is its effect, otherwise `not_applicable`. The priority orders policies among each other and
plays no part in the decision of one.

Pattern: `*` stands for any run of characters, also an empty one and across `/`; `?` for exactly one;
everything else for itself, upper and lower case apart. It matches the whole resource.

Condition: its attribute is looked up in the action (`action`, `resource`, `subject.NAME`, `context.NAME`). A
missing attribute fails every operator, `not_equals` and `not_in` too. There is no conversion: 1, "1" and true
are three values, and an operator does not hold between types that it is not for.

    equals, not_equals                     same type and same value, or not
    in, not_in                             the value is a list; the attribute equals one of its items, or none
    less_than, at_most, greater_than, at_least      both are integers
    starts_with                            both are strings
    contains                               a list with an item equal to the value, or a string with it inside

Numbers are integers of at most 53 bits: one number then has one spelling in JSON, and one digest.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

LARGEST: Final = 2**53 - 1

NO_NUL: Final = Meta(pattern=r"\A[^\x00]*\Z")
"""Of texts that a store looks for: PostgreSQL takes no NUL in one."""
Integer = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Text = Annotated[str, Meta(max_length=256)]
Items = Annotated[list[bool | Integer | Text], Meta(max_length=32)]
Value = bool | Integer | Text | Items
Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Attributes = Annotated[dict[Name, Value], Meta(max_length=64)]
Operator = Literal[
    "equals",
    "not_equals",
    "in",
    "not_in",
    "less_than",
    "at_most",
    "greater_than",
    "at_least",
    "starts_with",
    "contains",
]
Effect = Literal["allow", "deny"]
Verdict = Literal["allow", "deny", "not_applicable"]

_INTEGER_OPERATORS: Final = ("less_than", "at_most", "greater_than", "at_least")


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    attribute: Annotated[str, Meta(pattern=r"\A(action|resource|(subject|context)\.[a-z][a-z0-9_]{0,63})\Z")]
    operator: Operator
    value: Value

    def __post_init__(self) -> None:
        """A value that the operator can never be true of is a mistake: say so when the policy is written."""
        if self.operator in {"in", "not_in"}:
            fits, needed = isinstance(self.value, list), "a list"
        elif self.operator in _INTEGER_OPERATORS:
            fits, needed = type(self.value) is int, "an integer"
        elif self.operator == "starts_with":
            fits, needed = isinstance(self.value, str), "a string"
        elif self.operator == "contains":
            fits, needed = not isinstance(self.value, list), "a string, an integer or a boolean"
        else:
            return
        if not fits:
            raise ValueError(f"the operator `{self.operator}` needs {needed} as its value")


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client writes and reads back unchanged."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    principle: Annotated[str, Meta(min_length=1, max_length=500)]
    effect: Effect
    resource: Annotated[str, Meta(min_length=1, max_length=256), NO_NUL]
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=32)]
    priority: Annotated[int, Meta(ge=0, le=1000)]


class Action(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants to do to something."""

    subject: Attributes
    action: Annotated[str, Meta(min_length=1, max_length=128)]
    resource: Annotated[str, Meta(min_length=1, max_length=256)]
    context: Attributes = {}


class Decision(Struct, frozen=True):
    decision: Verdict
    resource_matched: bool
    matched_conditions: list[int]
    """Positions, from 0, of the conditions that hold; all are looked at, also where the resource differs."""


def canonical(policy: Policy) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8 unescaped: one policy, one spelling."""
    return msgspec.json.encode(policy, order="sorted")


def digest(content: bytes) -> str:
    """SHA-256 of a policy's canonical JSON, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def decide(policy: Policy, action: Action) -> Decision:
    matched = [at for at, condition in enumerate(policy.conditions) if holds(condition, action)]
    fits = matches(policy.resource, action.resource)
    applies = fits and len(matched) == len(policy.conditions)
    return Decision(policy.effect if applies else "not_applicable", fits, matched)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches; at most len(pattern) * len(text) steps, whatever the pattern."""
    at_pattern = at_text = 0
    star = -1
    resume = 0
    while at_text < len(text):
        wanted = pattern[at_pattern] if at_pattern < len(pattern) else None
        if wanted == "*":
            star, resume = at_pattern, at_text
            at_pattern += 1
        elif wanted is not None and wanted in {"?", text[at_text]}:
            at_pattern += 1
            at_text += 1
        elif star >= 0:
            # Only the latest star need be stretched: an earlier one could gain nothing by it.
            resume += 1
            at_pattern, at_text = star + 1, resume
        else:
            return False
    return all(rest == "*" for rest in pattern[at_pattern:])


def holds(condition: Condition, action: Action) -> bool:
    return compares(condition, _attribute(condition.attribute, action))


def compares(condition: Condition, found: Any) -> bool:
    """Whether a condition holds of the attribute's value `found`; None is a missing one."""
    if found is None:
        return False
    value: Any = condition.value
    match condition.operator:
        case "equals":
            return _same(found, value)
        case "not_equals":
            return not _same(found, value)
        case "in":
            return any(_same(found, item) for item in value)
        case "not_in":
            return not any(_same(found, item) for item in value)
        case "starts_with":
            return isinstance(found, str) and found.startswith(value)
        case "contains":
            if isinstance(found, list):
                return any(_same(item, value) for item in found)
            return isinstance(found, str) and isinstance(value, str) and value in found
        case "less_than":
            return type(found) is int and found < value
        case "at_most":
            return type(found) is int and found <= value
        case "greater_than":
            return type(found) is int and found > value
        case "at_least":
            return type(found) is int and found >= value


def _attribute(path: str, action: Action) -> Any:
    space, _, name = path.partition(".")
    if space == "subject":
        return action.subject.get(name)
    if space == "context":
        return action.context.get(name)
    return action.action if space == "action" else action.resource


def _same(one: Any, other: Any) -> bool:
    """Equal in type and value, also within lists: Python takes True for 1."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other
