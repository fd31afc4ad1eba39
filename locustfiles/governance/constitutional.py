"""Constitutional verification: is the hash in force, does an action comply, does a small obligation hold."""

from __future__ import annotations

import random
from typing import Any, ClassVar, Final

from locust import task

from locustfiles.governance.constitution import CONSTITUTIONAL_HASH, HEADERS
from locustfiles.governance.formulas import proof_fault
from locustfiles.governance.governed import GovernanceUser
from locustfiles.governance.obligations import random_small_obligation
from locustfiles.governance.scoring import score_fault
from locustfiles.governance.submissions import random_submission

OTHER_HASHES: Final = 0.25
"""Share of verifications that ask about a hash which is not the one in force."""


class ConstitutionalVerificationUser(GovernanceUser):
    """Scores every action itself too, with the principles that the service lists.

    `metric(compliance_score)` is the mean of the scores that were right: how far what was submitted complies.
    """

    weight = 25
    checks = ("hash_consistency", "compliance", "proof")
    metrics = ("compliance_score",)
    principles: ClassVar[list[dict[str, Any]]] = []
    """As last listed, one list for all users of a process: principles are only ever added."""

    @task(4)
    def verify_hash(self) -> None:
        asked = f"{random.getrandbits(64):016x}" if random.random() < OTHER_HASHES else CONSTITUTIONAL_HASH
        response = self.client.get(
            f"/constitution/verify?hash={asked}", name="GET /constitution/verify", headers=HEADERS
        )
        self.check_hash(response)
        expected = (asked, asked == CONSTITUTIONAL_HASH)
        self.check_fault(
            "hash_consistency",
            response,
            lambda answer: (
                None
                if (answer["hash"], answer["valid"]) == expected
                else f"expected (hash, valid) {expected}"
            ),
        )

    @task(4)
    def score(self) -> None:
        before = self.principles or self._list()
        if not before:
            return
        action = random_submission()
        response = self.client.post(
            "/constitution/compliance", name="POST /constitution/compliance", json=action, headers=HEADERS
        )
        self.check_hash(response)
        version = _version(response)
        # Somebody added principles, or the service began anew with an empty store.
        now = before if version in {None, len(before)} else self._list()
        if version is not None and version > len(now):
            return
        right = self.check_fault(
            "compliance",
            response,
            lambda answer: (
                f"the constitution had version {min(len(before), len(now))} before"
                if answer["version"] < min(len(before), len(now))
                else score_fault(now[: answer["version"]], action, answer)
            ),
        )
        if right:
            self.metric("compliance_score", response.json()["score"]["value"])

    @task(2)
    def prove(self) -> None:
        drawn = random_small_obligation()
        response = self.client.post("/proofs", name="POST /proofs", json=drawn.document, headers=HEADERS)
        self.check_hash(response)
        self.check_fault("proof", response, lambda answer: proof_fault(drawn, answer))

    def _list(self) -> list[dict[str, Any]]:
        """The principles as they are now; none where they cannot be read."""
        response = self.client.get(
            "/constitution/principles", name="GET /constitution/principles", headers=HEADERS
        )
        self.check_hash(response)
        if not self.check_fault("compliance", response, _list_fault):
            return []
        ConstitutionalVerificationUser.principles = response.json()["items"]
        return self.principles


def _version(response: Any) -> int | None:
    """The version that an answer was scored with; None where it says none, which the check is to find."""
    try:
        version = response.json()["version"]
    except (ValueError, LookupError, TypeError):
        return None
    return version if type(version) is int else None


def _list_fault(answer: dict[str, Any]) -> str | None:
    """Version n has the principles 1 to n, in this order."""
    ids = [item["id"] for item in answer["items"]]
    if ids and ids == list(range(1, answer["version"] + 1)):
        return None
    return f"version {answer['version']} has the principles {ids}"
