"""The target's application without a server: several of them on one store stand for several processes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx
from serving import HASH, HEADERS

from target.accounts import Accounts
from target.app import SCHEMA, build_app
from target.components import Components
from target.counts import RunCounts
from target.databases import open_caches, open_store, prepare
from target.metrics import Metrics
from target.switches import Switches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from target.store import Store


def application(folder: Path, store: Store | None) -> ASGIApp:
    """The application of the only process of a target, on any store."""
    metrics, switches = Metrics(folder, 0, 1), Switches(folder)
    sessions, cache = open_caches(None, metrics)
    components = Components(folder, switches, cache, Accounts(store))
    return build_app(store, sessions, cache, RunCounts(folder, 0, 1), metrics, switches, HASH, components)


@contextlib.asynccontextmanager
async def inside(
    folder: Path,
    processes: int = 1,
    *,
    before: bytes | None = None,
    store: str | None = None,
    redis: str | None = None,
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client for each of so many applications.

    The store is `folder / "db"`, made of `before` if that is given, unless `store` is another one's URL.
    """
    if before is not None:
        (folder / "db").write_bytes(before)
    url = store or f"sqlite://{folder}/db"
    identity = prepare(url, SCHEMA)
    stores = []
    clients = []
    for number in range(processes):
        metrics = Metrics(folder, number, processes)
        stores.append(open_store(url, metrics.group))
        counts = RunCounts(folder, number, processes)
        sessions, cache = open_caches(redis, metrics, identity)
        switches = Switches(folder)
        components = Components(folder, switches, cache, Accounts(stores[-1]))
        app = build_app(stores[-1], sessions, cache, counts, metrics, switches, HASH, components)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://t", headers=HEADERS))
    try:
        yield clients
    finally:
        for each in stores:
            each.close()
