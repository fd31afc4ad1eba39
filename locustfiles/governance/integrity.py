"""Integrity: append to the audit trail, and verify ranges of it, hash by hash and signature by signature.

1,000 of these users alone make 1,610 requests/s of one server process and one process of plain Locust on two
cores: 0.27 ms of a core a request in the target, 0.45 ms here. With multi-tenant and policy users in their shares
it is 0.24 and 0.35 ms.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from locust import task

from locustfiles.governance.chain import fault_in
from locustfiles.governance.constitution import HEADERS
from locustfiles.governance.drafts import COLLECTIONS, ROLES, VERBS
from locustfiles.governance.governed import GovernanceUser

MOST_KNOWN: Final = 4
"""Own entries that a user remembers."""
RANGE: Final = 5
"""Entries that are verified at once, 0.1 ms each."""


@dataclass(frozen=True)
class Known:
    """An entry of ours; the trail must show it so for ever."""

    seq: int
    hash: str
    written: dict[str, Any]


class IntegrityUser(GovernanceUser):
    """Trusts the first key that it is told; whatever is signed later must be signed with it."""

    weight = 10
    checks = ("hash_consistency", "audit_chain")

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._public: Ed25519PublicKey | None = None
        self._known: list[Known] = []

    @task(4)
    def append(self) -> None:
        key = self._key()
        if key is None:
            return
        written = _random_entry()
        response = self.client.post(
            "/audit/entries", name="POST /audit/entries", json=written, headers=HEADERS
        )
        self.check_hash(response)
        whole = self.check_fault("audit_chain", response, lambda answer: _entry_fault(key, answer, written))
        if whole:
            answer = response.json()
            self._known = [
                *self._known[1 - MOST_KNOWN :],
                Known(answer["seq"], answer["hash"], written),
            ]

    @task(4)
    def read_range(self) -> None:
        self._range()

    @task(2)
    def verify(self) -> None:
        """Verify a range ourselves, have the service verify it, and compare."""
        ours = self._range()
        if ours is None:
            return
        first, last, whole = ours
        response = self.client.get(
            f"/audit/verify?from={first}&to={last}", name="GET /audit/verify", headers=HEADERS
        )
        self.check_hash(response)
        expected = (first, last, whole)
        self.check_fault(
            "audit_chain",
            response,
            lambda answer: (
                None
                if (answer["first"], answer["last"], answer["ok"]) == expected
                else f"we find (first, last, whole) {expected}"
            ),
        )

    @task(1)
    def head(self) -> None:
        """The trail never ends before an entry of ours."""
        known = self._one_known()
        if known is None:
            return
        response = self.client.get("/audit/head", name="GET /audit/head", headers=HEADERS)
        self.check_hash(response)
        self.check_fault(
            "audit_chain",
            response,
            lambda answer: (
                None
                if answer["seq"] > known.seq or (answer["seq"], answer["hash"]) == (known.seq, known.hash)
                else f"we appended entry {known.seq} with hash {known.hash}"
            ),
        )

    def _range(self) -> tuple[int, int, bool] | None:
        """Read a range around an entry of ours: its first and last position and whether it is whole."""
        key = self._key()
        known = self._one_known()
        if key is None or known is None:
            return None
        first = max(1, known.seq - random.randrange(RANGE))
        response = self.client.get(
            f"/audit/entries?from={first}&limit={RANGE}", name="GET /audit/entries", headers=HEADERS
        )
        self.check_hash(response)
        items: list[dict[str, Any]] = []

        def fault(answer: dict[str, Any]) -> str | None:
            items.extend(answer["items"])
            return _range_fault(key, items, first, known)

        whole = self.check_fault("audit_chain", response, fault)
        return (first, first + len(items) - 1, whole) if items else None

    def _key(self) -> Ed25519PublicKey | None:
        if self._public is None:
            response = self.client.get("/audit/key", name="GET /audit/key", headers=HEADERS)
            self.check_hash(response)

            def take(answer: dict[str, Any]) -> None:
                self._public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(answer["public_key"]))

            self.check_fault("audit_chain", response, take)
        return self._public

    def _one_known(self) -> Known | None:
        """An entry of ours; appends one where there is none."""
        if not self._known:
            self.append()
        return random.choice(self._known) if self._known else None


def _entry_fault(key: Ed25519PublicKey, item: dict[str, Any], written: dict[str, Any]) -> str | None:
    """What is wrong with one entry of ours."""
    if _altered(item, written):
        return f"we wrote {written}"
    return fault_in(key, item["seq"], [item])


def _altered(item: dict[str, Any], written: dict[str, Any]) -> bool:
    return {name: item["entry"][name] for name in written} != written


def _range_fault(key: Ed25519PublicKey, items: list[dict[str, Any]], first: int, known: Known) -> str | None:
    """What is wrong with a range that must have an entry of ours in it."""
    fault = fault_in(key, first, items)
    if fault is not None:
        return fault
    ours = [item for item in items if item["seq"] == known.seq]
    if not ours:
        return f"entry {known.seq} is not in the range"
    if ours[0]["hash"] != known.hash or _altered(ours[0], known.written):
        return f"entry {known.seq} is not as we appended it"
    return None


def _random_entry() -> dict[str, Any]:
    return {
        "actor": f"{random.choice(ROLES)}-{random.randint(1, 999)}",
        "action": random.choice(VERBS),
        "payload": {
            "collection": random.choice(COLLECTIONS),
            "record": random.randint(1, 9999),
            "reasons": random.sample(VERBS, 2),
            "automated": random.random() < 0.5,
        },
    }
