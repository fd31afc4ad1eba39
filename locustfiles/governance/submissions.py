"""Random actions to be scored, of which about half comply with the default principles. All chance is `random`'s."""

from __future__ import annotations

import random
from typing import Any, Final

from locustfiles.governance.drafts import COLLECTIONS, ROLES, VERBS

VIOLATIONS: Final[tuple[dict[str, Any], ...]] = (
    {"justification": ""},
    {"justification": "The reason is confidential."},
    {"actor": "anonymous-7"},
    {"action": "override-refusal"},
    {"resource": "areas/7/full-export"},
    {"resource": "audit/2024/sealed"},
    {"responsible": ""},
    {"oversight": "none"},
    {"criteria": ["income", "origin"]},
    {"criteria": ["religion"]},
    {"purpose": "resale"},
    {"records": 10_001},
    {"notified": False},
    {"impact": 80},
    {"region": "us-east"},
    {"region": "us-west"},
    {"retention_days": 3_651},
    {"retention_days": 36_500},
)
"""Changes to an action that violate one default principle each."""
REQUIRED: Final = ("responsible", "purpose")
REASONS: Final = (
    "The yearly audit asks for it.",
    "La personne concernée l'a demandé.",
    "決定に対する不服申立てのため",
)


def random_submission() -> dict[str, Any]:
    """An action as `POST /constitution/compliance` takes it, with none, one or several violations."""
    attributes: dict[str, Any] = {
        "responsible": random.choice(ROLES),
        "oversight": random.choice(("board", "officer")),
        "criteria": random.sample(("income", "need", "residence", "rent"), 2),
        "purpose": random.choice(("appeal", "audit", "benefit")),
        "records": random.randint(1, 10_000),
        "notified": True,
        "impact": random.randint(0, 79),
        "region": random.choice(("eu-central", "eu-west")),
        "retention_days": random.randint(1, 3_650),
    }
    action: dict[str, Any] = {
        "actor": f"{random.choice(ROLES)}-{random.randint(1, 999)}",
        "action": random.choice([verb for verb in VERBS if verb != "delete"]),
        "resource": f"areas/{random.randint(1, 9999)}/{random.choice(COLLECTIONS)}",
        "attributes": attributes,
        "justification": random.choice(REASONS),
    }
    for change in random.sample(VIOLATIONS, random.choice((0, 0, 0, 1, 1, 2, 4))):
        for name, value in change.items():
            (action if name in action else attributes)[name] = value
    if random.random() < 0.1:
        del attributes[random.choice(REQUIRED)]
    return action
