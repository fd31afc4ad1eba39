"""The target's application without a server: several of them on one store stand for several processes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx
from serving import HASH, HEADERS

from target.app import SCHEMA, build_app
from target.counts import RunCounts
from target.metrics import Metrics
from target.store import SqliteStore, prepare
from target.switches import Switches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def inside(
    folder: Path, processes: int = 1, *, before: bytes | None = None
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client for each of so many applications; the store is `folder / "db"`, made of `before` if that is given."""
    path = folder / "db"
    if before is not None:
        path.write_bytes(before)
    prepare(str(path), SCHEMA)
    stores = []
    clients = []
    for number in range(processes):
        metrics = Metrics(folder, number, processes)
        stores.append(SqliteStore(str(path), metrics.group))
        app = build_app(stores[-1], RunCounts(folder, number, processes), metrics, Switches(folder), HASH)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://t", headers=HEADERS))
    try:
        yield clients
    finally:
        for store in stores:
            store.close()
