"""Multi-tenant work: own rows and configuration, and attempts to read what belongs to another tenant.

Everything that a user writes has its canary, a word of recognisable form that no other user writes. Whatever
answer has another's canary in it shows a leak, also where nobody was looking for one.

1,000 of these users alone make 1,580 requests/s of one server process and one process of plain Locust on two
cores: 0.21 ms of a core a request in the target, 0.28 ms here.
"""

from __future__ import annotations

import random
import re
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from locust import task

from locustfiles.governance.constitution import HEADERS
from locustfiles.governance.drafts import COLLECTIONS, COUNTRIES, GROUPS, PRINCIPLES
from locustfiles.governance.governed import GovernanceUser, shown

CANARY: Final = re.compile(rb"canary-[0-9a-f]{16}")
MOST_KNOWN: Final = 4
"""Rows whose content a user remembers."""
PAGE: Final = 10
REFUSED: Final = (403, 404)


class StrangerRow(NamedTuple):
    tenant: int
    row: int


@dataclass
class Tenant:
    """What this user wrote as a tenant that nobody else has the token of, so that every answer is known."""

    id: int
    headers: dict[str, str] = field(repr=False)
    """With the token, which no evidence may show."""
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The latest MOST_KNOWN, by id."""
    added: int = 0
    perhaps_added: int = 0
    """Rows whose writing failed: they may be there all the same."""
    version: int | None = 1
    """Of the configuration; None while a failed update leaves open which one is stored."""
    configuration: dict[str, Any] = field(default_factory=dict)


class MultiTenantUser(GovernanceUser):
    """One tenant; what it reads is compared with what it wrote, and strangers' rows must be refused."""

    weight = 30
    checks = ("hash_consistency", "isolation", "tenant_data")
    strangers: ClassVar[deque[StrangerRow]] = deque(maxlen=256)
    """Rows of this process's users: each has one of its own among them, and others' to try to read."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        # Not from `random`: workers with one seed would draw the same canaries and take each other's for own.
        self._canary = f"canary-{secrets.token_hex(8)}"
        self._own: Tenant | None = None

    @task(2)
    def add_row(self) -> None:
        tenant = self._tenant()
        if tenant is None:
            return
        fields = self._random_fields()
        response = self._send(tenant, "POST", "/rows", "POST /tenants/:id/rows", {"fields": fields})
        self._check_data(
            response, lambda answer: answer["tenant"] == tenant.id and answer["fields"] == fields, fields
        )
        if response.status_code != 201:
            tenant.perhaps_added += 1
            return
        row = response.json()["id"]
        tenant.added += 1
        tenant.rows[row] = fields
        if len(tenant.rows) > MOST_KNOWN:
            del tenant.rows[next(iter(tenant.rows))]
        self.strangers.append(StrangerRow(tenant.id, row))

    @task(6)
    def read_row(self) -> None:
        tenant = self._tenant()
        if tenant is None:
            return
        if not tenant.rows:
            self.add_row()
        if not tenant.rows:
            return
        row = random.choice(list(tenant.rows))
        response = self._send(tenant, "GET", f"/rows/{row}", "GET /tenants/:id/rows/:row")
        expected = {"id": row, "tenant": tenant.id, "fields": tenant.rows[row]}
        self._check_data(response, lambda answer: expected.items() <= answer.items(), expected)

    @task(3)
    def list_rows(self) -> None:
        """Any page, or the last one, which shows what was written just now."""
        tenant = self._tenant()
        if tenant is None:
            return
        last = max(0, tenant.added - PAGE)
        offset = last if random.random() < 0.5 else random.randint(0, tenant.added)
        query = f"/rows?offset={offset}&limit={PAGE}"
        response = self._send(tenant, "GET", query, "GET /tenants/:id/rows")
        self._check_data(response, lambda answer: _page_is_right(answer, tenant, offset), tenant)

    @task(1)
    def configure(self) -> None:
        tenant = self._tenant()
        if tenant is None:
            return
        if tenant.version is None:
            self.read_configuration()
        if tenant.version is None:
            return
        new = self._random_configuration()
        body = {"configuration": new, "if_version": tenant.version}
        response = self._send(tenant, "PUT", "/configuration", "PUT /tenants/:id/configuration", body)
        expected = {"configuration": new, "version": tenant.version + 1}
        self._check_data(response, lambda answer: expected.items() <= answer.items(), expected)
        if response.status_code == 200:
            tenant.version += 1
            tenant.configuration = new
        else:
            tenant.version = None

    @task(2)
    def read_configuration(self) -> None:
        tenant = self._tenant()
        if tenant is None:
            return
        response = self._send(tenant, "GET", "/configuration", "GET /tenants/:id/configuration")
        if tenant.version is not None:
            expected = {"configuration": tenant.configuration, "version": tenant.version}
            self._check_data(response, lambda answer: expected.items() <= answer.items(), expected)
        elif response.status_code == 200:
            tenant.version = response.json()["version"]
            tenant.configuration = response.json()["configuration"]

    @task(2)
    def probe(self) -> None:
        """Ask for a stranger's row, by its own path or as if it were ours; to be refused is to succeed."""
        tenant = self._tenant()
        if tenant is None:
            return
        strangers = [each for each in self.strangers if each.tenant != tenant.id]
        if not strangers:
            self.add_row()  # there is nobody yet: be somebody's stranger
            return
        stranger = random.choice(strangers)
        path = f"/tenants/{random.choice((stranger.tenant, tenant.id))}/rows/{stranger.row}"
        with self.client.get(
            path, name="GET /tenants/:id/rows/:row", headers=tenant.headers, catch_response=True
        ) as response:
            refused = response.status_code in REFUSED
            if refused:
                response.success()
            elif response.status_code == 200:
                response.failure("a stranger's row was given")
        self.check_hash(response, refused=refused)
        foreign = self._foreign(response)
        self.check(
            "isolation",
            refused and not foreign,
            on=None if refused or foreign else response,
            detail=lambda: (
                f"tenant {tenant.id} asked for {path} and got {response.status_code} {shown(response)}"
            ),
        )

    def _tenant(self) -> Tenant | None:
        """Ours; made where there is none, so that a failure costs a request, not a user."""
        if self._own is None:
            name = f"Tenant of {self._canary}"
            response = self.client.post(
                "/tenants", name="POST /tenants", json={"name": name}, headers=HEADERS
            )
            self.check_hash(response)
            self._check_isolation(response)
            self._check_data(response, lambda answer: answer["name"] == name, name)
            if response.status_code == 201:
                token = response.json()["token"]
                self._own = Tenant(response.json()["id"], {**HEADERS, "Authorization": f"Bearer {token}"})
        return self._own

    def _send(self, tenant: Tenant, method: str, path: str, name: str, body: Any = None) -> Any:
        response = self.client.request(
            method, f"/tenants/{tenant.id}{path}", name=name, json=body, headers=tenant.headers
        )
        self.check_hash(response)
        self._check_isolation(response)
        return response

    def _check_isolation(self, response: Any) -> None:
        foreign = self._foreign(response)
        self.check(
            "isolation",
            not foreign,
            on=None if foreign else response,
            detail=lambda: f"{sorted(foreign)} in an answer for {self._canary}: {shown(response)}",
        )

    def _foreign(self, response: Any) -> set[bytes]:
        """Strangers' canaries in an answer, whatever its status."""
        return set(CANARY.findall(response.content or b"")) - {self._canary.encode()}

    def _check_data(self, response: Any, right: Any, expected: Any) -> None:
        self.check(
            "tenant_data",
            lambda: right(response.json()),
            on=response,
            detail=lambda: f"expected {expected}, got {shown(response)}",
        )

    def _random_fields(self) -> dict[str, Any]:
        return {
            "canary": self._canary,
            "collection": random.choice(COLLECTIONS),
            "amount": random.randint(0, 1_000_000),
            "approved": random.random() < 0.5,
            "note": random.choice(PRINCIPLES),
        }

    def _random_configuration(self) -> dict[str, Any]:
        return {
            "canary": self._canary,
            "country": random.choice(COUNTRIES),
            "retention_days": random.randint(1, 3650),
            "groups": random.sample(GROUPS, 3),
        }


def _page_is_right(answer: dict[str, Any], tenant: Tenant, offset: int) -> bool:
    """All rows are there and ours, in order, and those that we remember as we wrote them."""
    items = answer["items"]
    total = answer["total"]
    ids = [item["id"] for item in items]
    if not tenant.added <= total <= tenant.added + tenant.perhaps_added:
        return False
    if len(items) != max(0, min(PAGE, total - offset)) or ids != sorted(set(ids)):
        return False
    if any(item["tenant"] != tenant.id for item in items):
        return False
    found = {item["id"]: item["fields"] for item in items}
    within = [row for row in tenant.rows if ids and ids[0] <= row <= ids[-1]]
    return all(found.get(row) == tenant.rows[row] for row in within)
