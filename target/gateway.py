"""The gateway: is the target fit to be loaded, what did it count, how does it fare."""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from target import switches
from target.answers import RefusedError, answer
from target.counts import RunDroppedError
from target.endpoint import Endpoint
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

VERSION: Final = importlib.metadata.version("loadproof")


async def health(request: Request) -> Response:
    """200 when requests can be served; 503 when the store cannot be read, with the reason."""
    state = request.app.state
    store = "ok"
    try:
        await state.store.ping()
    except StoreUnavailableError as error:
        store = str(error)
    ok = store == "ok"
    body = {
        "status": "ok" if ok else "unavailable",
        "version": VERSION,
        "constitutional_hash": state.constitutional_hash,
        "time": datetime.now(UTC),
        "store": store,
    }
    return answer(body, 200 if ok else 503)


async def counts(request: Request) -> Response:
    """Requests of one run by endpoint, over all processes, at this moment; not counted itself."""
    run = request.query_params.get("run")
    if not run:
        raise RefusedError(422, "run_missing", "say which run: GET /counts?run=ID")
    try:
        by_endpoint = request.app.state.counts.of(run)
    except RunDroppedError:
        raise RefusedError(
            410, "run_dropped", f"the counts of run {run[:128]!r} were dropped to make room for newer runs"
        ) from None
    return answer({"run": run, "counts": by_endpoint, "total": sum(by_endpoint.values())})


async def metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


ROUTES: Final = (
    Endpoint("GET", "/gateway/health", health, disturbed=False),
    Endpoint("GET", "/counts", counts, counted=False, disturbed=False),
    Endpoint("GET", "/metrics", metrics, disturbed=False),
    Endpoint("GET", "/switches", switches.read, disturbed=False),
    Endpoint("PUT", "/switches", switches.change, disturbed=False),
)
