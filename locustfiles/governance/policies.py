"""Policy governance: write policies, read them back, list them, have actions decided by them."""

# Locust's decorators are not typed.
from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from locust import task

from locustfiles.governance.constitution import HEADERS
from locustfiles.governance.drafts import random_action, random_policy
from locustfiles.governance.evaluator import expected_decision, policy_digest
from locustfiles.governance.governed import GovernanceUser, shown

MOST_KNOWN: Final = 4
"""Policies that a user keeps working on: enough for variety, small in memory with thousands of users."""
PAGE: Final = 10


@dataclass
class Known:
    """A policy that this user wrote; nobody else changes it, so what the target must answer is known."""

    id: int
    version: int
    content: dict[str, Any]


class PolicyGovernanceUser(GovernanceUser):
    """Everything that is read is compared with what was written, every decision with our own."""

    weight = 20
    checks = ("hash_consistency", "policy_content", "decision")

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._known: list[Known] = []

    @task(2)
    def create(self) -> None:
        content = random_policy()
        response = self.client.post("/policies", name="POST /policies", json=content, headers=HEADERS)
        self.check_hash(response)
        self._check_content(response, None, 1, content)
        if response.status_code == 201:
            self._known = [*self._known[1 - MOST_KNOWN :], Known(response.json()["id"], 1, content)]

    @task(2)
    def update(self) -> None:
        known = self._one_known()
        if known is None:
            return
        content = random_policy()
        response = self.client.put(
            f"/policies/{known.id}",
            name="PUT /policies/:id",
            json={"policy": content, "if_version": known.version},
            headers=HEADERS,
        )
        self.check_hash(response)
        self._check_content(response, known.id, known.version + 1, content)
        if response.status_code == 200:
            known.version += 1
            known.content = content
        else:
            # It may have been written all the same, so nothing can be expected of it any more.
            self._known.remove(known)

    @task(6)
    def read(self) -> None:
        known = self._one_known()
        if known is None:
            return
        response = self.client.get(f"/policies/{known.id}", name="GET /policies/:id", headers=HEADERS)
        self.check_hash(response)
        self._check_content(response, known.id, known.version, known.content)

    @task(2)
    def page(self) -> None:
        """Any page, or the one that shows a policy of our own."""
        known = random.choice(self._known) if self._known and random.random() < 0.5 else None
        if known is None:
            query = f"offset={random.randint(0, 99)}&limit={PAGE}"
        else:
            query = f"limit={PAGE}&resource={quote(known.content['resource'], safe='')}"
        response = self.client.get(f"/policies?{query}", name="GET /policies", headers=HEADERS)
        self.check_hash(response)
        self.check(
            "policy_content",
            lambda: _page_is_right(response.json(), known),
            on=response,
            detail=lambda: f"GET /policies?{query}: {shown(response)}",
        )

    @task(5)
    def decide(self) -> None:
        known = self._one_known()
        if known is None:
            return
        action = random_action(known.content)
        response = self.client.post(
            f"/policies/{known.id}/decisions",
            name="POST /policies/:id/decisions",
            json=action,
            headers=HEADERS,
        )
        self.check_hash(response)
        expected = (*expected_decision(known.content, action), known.id, known.version)
        self.check(
            "decision",
            lambda: _decision(response.json()) == expected,
            on=response,
            detail=lambda: f"expected {expected} for {action}, got {shown(response)}",
        )

    def _one_known(self) -> Known | None:
        """A policy of ours; makes one where there is none, so that a failure costs a request, not a user."""
        if not self._known:
            self.create()
        return random.choice(self._known) if self._known else None

    def _check_content(
        self, response: Any, identity: int | None, version: int, content: dict[str, Any]
    ) -> None:
        self.check(
            "policy_content",
            lambda: _policy_is_right(response.json(), identity, version, content),
            on=response,
            detail=lambda: f"expected version {version} of {content}, got {shown(response)}",
        )


def _policy_is_right(
    answer: dict[str, Any], identity: int | None, version: int, content: dict[str, Any]
) -> bool:
    return (
        identity in {None, answer["id"]}
        and answer["version"] == version
        and answer["digest"] == policy_digest(answer["policy"]) == policy_digest(content)
    )


def _page_is_right(answer: dict[str, Any], known: Known | None) -> bool:
    """In order, no longer than asked, every digest right, and our own policy among them as we wrote it."""
    items = answer["items"]
    ids = [item["id"] for item in items]
    if len(items) > PAGE or ids != sorted(set(ids)) or answer["total"] < len(items):
        return False
    if any(item["digest"] != policy_digest(item["policy"]) for item in items):
        return False
    if known is None:
        return True
    resource = known.content["resource"]
    if any(item["policy"]["resource"] != resource for item in items):
        return False
    ours = [item for item in items if item["id"] == known.id]
    if not ours:
        return bool(answer["total"] > PAGE)  # it is on a later page
    return _policy_is_right(ours[0], known.id, known.version, known.content)


def _decision(answer: dict[str, Any]) -> tuple[str, bool, list[int], int, int]:
    return (
        answer["decision"],
        answer["resource_matched"],
        answer["matched_conditions"],
        answer["policy_id"],
        answer["policy_version"],
    )
