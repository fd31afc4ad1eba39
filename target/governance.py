"""Policies: create, update, read, list, and decide an action by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from target.answers import RefusedError, answer, path_id, read_json, read_query
from target.constitution import require_hash
from target.endpoint import Endpoint
from target.openapi import holding
from target.policy import NO_NUL, Action, Policy, Verdict, canonical, decide, digest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from target.store import Row, Transaction

SCHEMA: Final = (
    # No policy is ever deleted, so ids are 1, 2, 3, ... without gaps: the largest is the total, and the page
    # at an offset begins after that id. Both stay cheap with a million policies.
    """CREATE TABLE IF NOT EXISTS policies (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        resource TEXT NOT NULL,
        digest TEXT NOT NULL,
        content BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS policies_by_resource ON policies (resource, id)",
)


class PolicyUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy's new content; `if_version` is the version that the client means to replace."""

    policy: Policy
    if_version: Annotated[int, Meta(ge=1)] | None = None


class StoredPolicy(Struct, frozen=True):
    id: int
    version: int
    digest: str
    policy: Annotated[msgspec.Raw, holding(Policy)]


class PolicyAnswer(StoredPolicy, frozen=True):
    constitutional_hash: str


class PolicyList(Struct, frozen=True):
    items: list[StoredPolicy]
    offset: int
    limit: int
    total: int
    """Policies that there are, or that have the resource asked for."""
    constitutional_hash: str


class DecisionAnswer(Struct, frozen=True):
    decision: Verdict
    resource_matched: bool
    matched_conditions: list[int]
    policy_id: int
    policy_version: int
    constitutional_hash: str


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    resource: Annotated[str, Meta(min_length=1, max_length=256), NO_NUL] | UnsetType = UNSET
    """Only policies with exactly this pattern."""


_policy_form: Final = msgspec.json.Decoder(Policy)
_update_form: Final = msgspec.json.Decoder(PolicyUpdate)
_action_form: Final = msgspec.json.Decoder(Action)


async def create(request: Request) -> Response:
    """Write a new policy; it has version 1."""
    served = require_hash(request)
    policy = await read_json(request, _policy_form)
    content = canonical(policy)
    mark = digest(content)

    def insert(transaction: Transaction) -> int:
        rows = transaction.execute(
            "INSERT INTO policies (id, version, resource, digest, content) VALUES"
            " ((SELECT coalesce(max(id), 0) + 1 FROM policies), 1, ?, ?, ?) RETURNING id",
            (policy.resource, mark, content),
        )
        identity: int = rows[0][0]
        return identity

    identity = await request.app.state.store.write(insert)
    return answer(PolicyAnswer(identity, 1, mark, msgspec.Raw(content), served), 201)


async def update(request: Request) -> Response:
    """Replace a policy's content; its version grows by one.

    With `if_version`, 409 when the policy has another version by now: somebody else was faster.
    """
    served = require_hash(request)
    identity = _identity(request)
    new = await read_json(request, _update_form)
    content = canonical(new.policy)
    mark = digest(content)

    def replace(transaction: Transaction) -> int:
        rows = transaction.execute("SELECT version FROM policies WHERE id = ?", (identity,))
        if not rows:
            raise _no_such_policy(request)
        version: int = rows[0][0]
        if new.if_version not in {None, version}:
            raise RefusedError(
                409,
                "version_conflict",
                f"the policy has version {version}, not {new.if_version}: read it again",
            )
        transaction.execute(
            "UPDATE policies SET version = ?, resource = ?, digest = ?, content = ? WHERE id = ?",
            (version + 1, new.policy.resource, mark, content, identity),
        )
        return version + 1

    version = await request.app.state.store.write(replace)
    return answer(PolicyAnswer(identity, version, mark, msgspec.Raw(content), served))


async def read(request: Request) -> Response:
    """One policy as it is stored now."""
    served = require_hash(request)
    identity, version, mark, content = await _stored(request)
    return answer(PolicyAnswer(identity, version, mark, msgspec.Raw(content), served))


async def page(request: Request) -> Response:
    """Policies in order of their ids, which is the order of their creation."""
    served = require_hash(request)
    query = read_query(request, ListQuery)
    store = request.app.state.store
    columns = "SELECT id, version, digest, content FROM policies"
    if query.resource is UNSET:
        rows = await store.read(f"{columns} WHERE id > ? ORDER BY id LIMIT ?", (query.offset, query.limit))
        total = await store.read("SELECT coalesce(max(id), 0) FROM policies")
    else:
        rows = await store.read(
            f"{columns} WHERE resource = ? ORDER BY id LIMIT ? OFFSET ?",
            (query.resource, query.limit, query.offset),
        )
        total = await store.read("SELECT count(*) FROM policies WHERE resource = ?", (query.resource,))
    items = [StoredPolicy(row[0], row[1], row[2], msgspec.Raw(row[3])) for row in rows]
    return answer(PolicyList(items, query.offset, query.limit, total[0][0], served))


async def decisions(request: Request) -> Response:
    """Decide a submitted action by the stored policy."""
    served = require_hash(request)
    identity, version, _, content = await _stored(request)
    action = await read_json(request, _action_form)
    decision = decide(_policy_form.decode(content), action)
    return answer(
        DecisionAnswer(
            decision.decision,
            decision.resource_matched,
            decision.matched_conditions,
            identity,
            version,
            served,
        )
    )


async def _stored(request: Request) -> Row:
    rows: list[Row] = await request.app.state.store.read(
        "SELECT id, version, digest, content FROM policies WHERE id = ?", (_identity(request),)
    )
    if not rows:
        raise _no_such_policy(request)
    return rows[0]


def _identity(request: Request) -> int:
    """The id in the path; what cannot be an id is no policy's."""
    identity = path_id(request, "id")
    if identity is None:
        raise _no_such_policy(request)
    return identity


def _no_such_policy(request: Request) -> RefusedError:
    return RefusedError(404, "no_such_policy", f"there is no policy {request.path_params['id'][:100]!r}")


ROUTES: Final = (
    Endpoint("POST", "/policies", create, body=Policy, answers={201: PolicyAnswer}),
    Endpoint("GET", "/policies", page, query=ListQuery, answers={200: PolicyList}),
    Endpoint("GET", "/policies/{id}", read, answers={200: PolicyAnswer}, refusals=(404,)),
    Endpoint(
        "PUT", "/policies/{id}", update, body=PolicyUpdate, answers={200: PolicyAnswer}, refusals=(404, 409)
    ),
    Endpoint(
        "POST",
        "/policies/{id}/decisions",
        decisions,
        body=Action,
        answers={200: DecisionAnswer},
        refusals=(404,),
    ),
)
