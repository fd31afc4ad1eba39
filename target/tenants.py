"""Tenants: each has rows and a configuration that no other tenant's token can reach.

Isolation is in the queries: every one of them names the tenant, and the tenant is the token's, never the
path's. A path that names another tenant is refused with 403 before anything is looked up, so the answer is the
same whether that tenant exists; another tenant's row under one's own path is a row that there is not (404).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from target.answers import JSON, RefusedError, answer, path_id, read_json, read_query
from target.constitution import require_hash
from target.endpoint import Endpoint
from target.openapi import holding
from target.policy import NO_NUL, Attributes

if TYPE_CHECKING:
    from starlette.requests import Request

    from target.store import Row, Store, Transaction

SCHEMA: Final = (
    # Rows are only ever added, so their number is their total and the version of every list of them.
    """CREATE TABLE IF NOT EXISTS tenants (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        token_hash BLOB NOT NULL UNIQUE,
        row_count INTEGER NOT NULL,
        configuration BLOB NOT NULL,
        configuration_version INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS tenant_rows (
        id INTEGER PRIMARY KEY,
        tenant INTEGER NOT NULL,
        fields BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS tenant_rows_by_tenant ON tenant_rows (tenant, id)",
)
TOKEN_BYTES: Final = 32


class NewTenant(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=200), NO_NUL]


class TenantAnswer(Struct, frozen=True):
    id: int
    name: str
    token: str
    """Said once: the store has only its hash."""
    constitutional_hash: str


class NewRow(Struct, frozen=True, forbid_unknown_fields=True):
    fields: Attributes


class StoredRow(Struct, frozen=True):
    id: int
    tenant: int
    fields: Annotated[msgspec.Raw, holding(Attributes)]


class RowAnswer(StoredRow, frozen=True):
    constitutional_hash: str


class RowList(Struct, frozen=True):
    items: list[StoredRow]
    offset: int
    limit: int
    total: int
    constitutional_hash: str


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    offset: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ConfigurationUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """The new configuration; `if_version` is the version that the client means to replace."""

    configuration: Attributes
    if_version: Annotated[int, Meta(ge=1)] | None = None


class ConfigurationAnswer(Struct, frozen=True):
    configuration: Annotated[msgspec.Raw, holding(Attributes)]
    version: int
    constitutional_hash: str


_tenant_form: Final = msgspec.json.Decoder(NewTenant)
_row_form: Final = msgspec.json.Decoder(NewRow)
_update_form: Final = msgspec.json.Decoder(ConfigurationUpdate)
_list_form: Final = msgspec.json.Decoder(RowList)
_encode: Final = msgspec.json.Encoder().encode


async def create(request: Request) -> Response:
    """A new tenant and its only token; whoever can reach the target may make one."""
    served = require_hash(request)
    new = await read_json(request, _tenant_form)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    mark = _hash(token)

    def insert(transaction: Transaction) -> int:
        rows = transaction.execute(
            "INSERT INTO tenants (id, name, token_hash, row_count, configuration, configuration_version) VALUES"
            " ((SELECT coalesce(max(id), 0) + 1 FROM tenants), ?, ?, 0, ?, 1) RETURNING id",
            (new.name, mark, b"{}"),
        )
        identity: int = rows[0][0]
        return identity

    state = request.app.state
    identity = await state.store.write(insert)
    await state.sessions.remember(mark, identity)
    return answer(TenantAnswer(identity, new.name, token, served), 201)


async def add_row(request: Request) -> Response:
    """Add a row to the tenant's own."""
    served = require_hash(request)
    tenant = await _tenant(request)
    new = await read_json(request, _row_form)
    fields = msgspec.json.encode(new.fields, order="sorted")

    def insert(transaction: Transaction) -> int:
        rows = transaction.execute(
            "INSERT INTO tenant_rows (id, tenant, fields) VALUES"
            " ((SELECT coalesce(max(id), 0) + 1 FROM tenant_rows), ?, ?) RETURNING id",
            (tenant, fields),
        )
        transaction.execute("UPDATE tenants SET row_count = row_count + 1 WHERE id = ?", (tenant,))
        identity: int = rows[0][0]
        return identity

    state = request.app.state
    identity = await state.store.write(insert)
    body = _encode(RowAnswer(identity, tenant, msgspec.Raw(fields), served))
    await state.cache.put(tenant, f"rows/{identity}", body)
    return Response(body, 201, media_type=JSON)


async def read_row(request: Request) -> Response:
    """One row of the tenant's own."""
    served = require_hash(request)
    tenant = await _tenant(request)
    identity = path_id(request, "row")
    if identity is None:
        raise _no_such_row(request)
    state = request.app.state
    key = f"rows/{identity}"
    body = await state.cache.get(tenant, key)
    if body is None:
        rows = await state.store.read(
            "SELECT id, tenant, fields FROM tenant_rows WHERE tenant = ? AND id = ?", (tenant, identity)
        )
        if not rows:
            raise _no_such_row(request)
        body = _encode(RowAnswer(*_columns(rows[0]), served))
        await state.cache.put(tenant, key, body)
    return Response(body, media_type=JSON)


async def list_rows(request: Request) -> Response:
    """The tenant's rows in order of their ids, which is the order of their creation."""
    served = require_hash(request)
    tenant = await _tenant(request)
    query = read_query(request, ListQuery)
    state = request.app.state
    counted = await state.store.read("SELECT row_count FROM tenants WHERE id = ?", (tenant,))
    total: int = counted[0][0]
    key = f"rows?{total}&{query.offset}&{query.limit}"
    body = await state.cache.get(tenant, key)
    if body is None:
        # Rows that were added since the total was read are left out: a page depends on its key alone.
        rows = await state.store.read(
            "SELECT id, tenant, fields FROM tenant_rows WHERE tenant = ? ORDER BY id LIMIT ? OFFSET ?",
            (tenant, max(0, min(query.limit, total - query.offset)), query.offset),
        )
        items = [StoredRow(*_columns(row)) for row in rows]
        body = _encode(RowList(items, query.offset, query.limit, total, served))
        await state.cache.put(tenant, key, body)
    if state.switches.left("leaked_row"):
        foreign = await _foreign_row(state.store, tenant)
        if foreign is not None and state.switches.take("leaked_row"):
            body = _leaking(body, foreign)
    return Response(body, media_type=JSON)


async def read_configuration(request: Request) -> Response:
    """The tenant's configuration and its version."""
    served = require_hash(request)
    tenant = await _tenant(request)
    # Not cached: to ask the store whether a copy is still right costs as much as to read it there.
    rows = await request.app.state.store.read(
        "SELECT configuration, configuration_version FROM tenants WHERE id = ?", (tenant,)
    )
    content, version = rows[0]
    return answer(ConfigurationAnswer(msgspec.Raw(content), version, served))


async def configure(request: Request) -> Response:
    """Replace the configuration; its version grows by one. 409 when `if_version` is not the stored one."""
    served = require_hash(request)
    tenant = await _tenant(request)
    new = await read_json(request, _update_form)
    content = msgspec.json.encode(new.configuration, order="sorted")

    def replace(transaction: Transaction) -> int:
        rows = transaction.execute("SELECT configuration_version FROM tenants WHERE id = ?", (tenant,))
        version: int = rows[0][0]
        if new.if_version not in {None, version}:
            raise RefusedError(
                409,
                "version_conflict",
                f"the configuration has version {version}, not {new.if_version}: read it again",
            )
        transaction.execute(
            "UPDATE tenants SET configuration = ?, configuration_version = ? WHERE id = ?",
            (content, version + 1, tenant),
        )
        return version + 1

    version = await request.app.state.store.write(replace)
    return answer(ConfigurationAnswer(msgspec.Raw(content), version, served))


async def _tenant(request: Request) -> int:
    """The token's tenant, if the path names the same one.

    RefusedError: 401 without a token or with an unknown one, 403 where the path names anything else.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("token_missing", "send the header Authorization: Bearer TOKEN")
    state = request.app.state
    mark = _hash(token)
    tenant: int | None = await state.sessions.tenant(mark)
    if tenant is None:
        rows = await state.store.read("SELECT id FROM tenants WHERE token_hash = ?", (mark,))
        if not rows:
            raise _unauthorized("unknown_token", "the token belongs to no tenant")
        tenant = rows[0][0]
        await state.sessions.remember(mark, tenant)
    if request.path_params["id"] != str(tenant):
        raise RefusedError(403, "other_tenant", "the token is not for the tenant in the path")
    return tenant


def _hash(token: str) -> bytes:
    """Unsalted and fast is enough: a token has 256 random bits, no word that could be tried."""
    return hashlib.sha256(token.encode()).digest()


def _unauthorized(code: str, message: str) -> RefusedError:
    return RefusedError(401, code, message, {"WWW-Authenticate": "Bearer"})


def _no_such_row(request: Request) -> RefusedError:
    row = request.path_params["row"][:100]
    return RefusedError(404, "no_such_row", f"the tenant has no row {row!r}")


def _columns(row: Row) -> tuple[int, int, msgspec.Raw]:
    return row[0], row[1], msgspec.Raw(row[2])


async def _foreign_row(store: Store, tenant: int) -> StoredRow | None:
    """Another tenant's newest row, for the planted fault: the only query here that names no tenant to keep to."""
    rows = await store.read(
        "SELECT id, tenant, fields FROM tenant_rows WHERE tenant <> ? ORDER BY id DESC LIMIT 1", (tenant,)
    )
    return StoredRow(*_columns(rows[0])) if rows else None


def _leaking(body: bytes, foreign: StoredRow) -> bytes:
    page = _list_form.decode(body)
    page.items[-1:] = [foreign]
    return _encode(page)


ROUTES: Final = (
    Endpoint("POST", "/tenants", create, body=NewTenant, answers={201: TenantAnswer}),
    Endpoint(
        "POST", "/tenants/{id}/rows", add_row, body=NewRow, answers={201: RowAnswer}, bearer="TenantToken"
    ),
    Endpoint(
        "GET", "/tenants/{id}/rows", list_rows, query=ListQuery, answers={200: RowList}, bearer="TenantToken"
    ),
    Endpoint(
        "GET",
        "/tenants/{id}/rows/{row}",
        read_row,
        answers={200: RowAnswer},
        refusals=(404,),
        bearer="TenantToken",
    ),
    Endpoint(
        "GET",
        "/tenants/{id}/configuration",
        read_configuration,
        answers={200: ConfigurationAnswer},
        bearer="TenantToken",
    ),
    Endpoint(
        "PUT",
        "/tenants/{id}/configuration",
        configure,
        body=ConfigurationUpdate,
        answers={200: ConfigurationAnswer},
        refusals=(409,),
        bearer="TenantToken",
    ),
)
