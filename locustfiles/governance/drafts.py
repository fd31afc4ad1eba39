"""Random policies, and actions that they apply to about half of the time. All chance is `random`'s."""

from __future__ import annotations

import random
from typing import Any, Final

Document = dict[str, Any]

ROLES: Final = ("auditor", "clerk", "counsel", "engineer", "officer", "réviseur", "steward", "審査官")
GROUPS: Final = ("archive", "ethics-board", "finance", "housing", "oversight", "research", "transport")
COUNTRIES: Final = ("BR", "DE", "FR", "IN", "JP", "KE", "PL", "US")
VERBS: Final = ("approve", "delete", "export", "list", "publish", "read", "update")
COLLECTIONS: Final = ("budgets", "cases", "contracts", "grants", "minutes", "permits", "records")
PRINCIPLES: Final = (
    "Decisions about people can be explained to them.",
    "Data is used for the purpose it was given for.",
    "Power over a record is never held by one role alone.",
    "Équité : like cases are treated alike.",
    "A person answers for every automated act.",
)
SUBJECT: Final = ("role", "clearance", "verified", "groups")
CONTEXT: Final = ("hour", "country", "amount")
APPLIES: Final = 0.65
"""Share of actions that are drawn towards their policy."""


def random_policy() -> Document:
    """A policy as `POST /policies` takes it."""
    collection = random.choice(COLLECTIONS)
    area = random.randint(1, 9999)
    return {
        "title": f"{random.choice(VERBS).title()} {collection} of area {area}",
        "principle": random.choice(PRINCIPLES),
        "effect": random.choice(("allow", "deny")),
        "resource": random.choice(
            (
                f"areas/{area}/{collection}/*",
                f"areas/{area}/*",
                f"areas/{area}/{collection}/20??-*",
                f"*/{collection}/{random.randint(2000, 2030)}-0001",
            )
        ),
        "conditions": [random_condition() for _ in range(random.randint(0, 4))],
        "priority": random.randint(0, 1000),
    }


def random_condition() -> Document:
    attribute, operator, value = random.choice(
        (
            ("subject.role", "equals", random.choice(ROLES)),
            ("subject.role", "in", random.sample(ROLES, 3)),
            ("subject.role", "not_in", random.sample(ROLES, 2)),
            ("subject.clearance", "at_least", random.randint(0, 5)),
            ("subject.clearance", "less_than", random.randint(1, 6)),
            ("subject.verified", "equals", random.choice((True, False))),
            ("subject.groups", "contains", random.choice(GROUPS)),
            ("context.hour", "at_least", random.randint(0, 23)),
            ("context.hour", "at_most", random.randint(0, 23)),
            ("context.amount", "greater_than", random.randint(0, 1_000_000)),
            ("context.country", "not_equals", random.choice(COUNTRIES)),
            ("action", "in", random.sample(VERBS, 3)),
            ("resource", "starts_with", f"areas/{random.randint(1, 9)}"),
        )
    )
    return {"attribute": attribute, "operator": operator, "value": value}


def random_action(policy: Document) -> Document:
    """An action for `POST /policies/:id/decisions`; about half of them fit the policy."""
    number = f"{random.randint(2000, 2030)}-{random.randint(1, 9999):04}"
    action: Document = {
        "subject": {
            "role": random.choice(ROLES),
            "clearance": random.randint(0, 5),
            "verified": random.random() < 0.5,
            "groups": random.sample(GROUPS, random.randint(0, 3)),
        },
        "action": random.choice(VERBS),
        "resource": f"areas/{random.randint(1, 9999)}/{random.choice(COLLECTIONS)}/{number}",
        "context": {
            "hour": random.randint(0, 23),
            "country": random.choice(COUNTRIES),
            "amount": random.randint(0, 2_000_000),
        },
    }
    if random.random() < APPLIES:
        action["resource"] = _resource_of(policy["resource"])
        for condition in policy["conditions"]:
            _satisfy(action, condition)
    elif random.random() < 0.3:
        del action["subject"][random.choice(SUBJECT)]
        del action["context"][random.choice(CONTEXT)]
    return action


def _resource_of(pattern: str) -> str:
    """Something that the pattern matches."""
    return "".join(
        str(random.randint(0, 999999))
        if letter == "*"
        else str(random.randint(0, 9))
        if letter == "?"
        else letter
        for letter in pattern
    )


def _satisfy(action: Document, condition: Document) -> None:
    """Set the attribute so that the condition holds, where one step does it; a later one may undo it."""
    value = condition["value"]
    match condition["operator"]:
        case "equals" | "at_least" | "at_most":
            wanted = value
        case "in":
            wanted = random.choice(value)
        case "less_than":
            wanted = value - 1
        case "greater_than":
            wanted = value + 1
        case "contains":
            wanted = [value]
        case _:
            return
    space, _, name = condition["attribute"].partition(".")
    if name:
        action[space][name] = wanted
    else:
        action[space] = wanted
