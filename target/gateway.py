"""The gateway: is the target fit to be loaded, what did it count, how does it fare."""

from __future__ import annotations

import functools
import importlib.metadata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from target import switches
from target.answers import JSON, RefusedError, answer
from target.counts import RunDroppedError
from target.endpoint import Endpoint
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

VERSION: Final = importlib.metadata.version("loadproof")


class HealthAnswer(Struct, frozen=True):
    status: Literal["ok", "unavailable"]
    version: str
    constitutional_hash: str
    time: datetime
    store: str
    """`ok`, or why it cannot be read."""


class Told(Struct, frozen=True):
    state: int | None
    """Bytes of the database; null when it cannot be read."""
    objects: int
    """Small objects that are in use in all server processes, as Python counts them."""


class ResourcesAnswer(Struct, frozen=True):
    resources: Told


class CountsQuery(Struct, frozen=True):
    run: Annotated[str, Meta(min_length=1)]


class CountsAnswer(Struct, frozen=True):
    run: str
    counts: dict[str, int]
    """By `METHOD /path/:id`."""
    total: int


async def health(request: Request) -> Response:
    """200 when requests can be served; 503 when the store cannot be read, with the reason."""
    state = request.app.state
    store = "ok"
    try:
        await state.store.ping()
    except StoreUnavailableError as error:
        store = str(error)
    ok = store == "ok"
    status: Literal["ok", "unavailable"] = "ok" if ok else "unavailable"
    body = HealthAnswer(status, VERSION, state.constitutional_hash, datetime.now(UTC), store)
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
    return answer(CountsAnswer(run, by_endpoint, sum(by_endpoint.values())))


async def metrics(request: Request) -> Response:
    """The target's own metrics in Prometheus text format, summed over its server processes."""
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def resources(request: Request) -> Response:
    """What the target knows of its own size, over its server processes; not counted."""
    state = request.app.state
    try:
        size = await state.store.size()
    except StoreUnavailableError:
        size = None
    return answer(ResourcesAnswer(Told(size, state.metrics.objects())))


async def openapi(request: Request) -> Response:
    """The OpenAPI 3.1 document of all endpoints, made from them when the target starts; not counted."""
    return Response(request.app.state.openapi, media_type=JSON)


_endpoint: Final = functools.partial(Endpoint, needs_hash=False, disturbed=False)

ROUTES: Final = (
    _endpoint("GET", "/gateway/health", health, answers={200: HealthAnswer, 503: HealthAnswer}),
    _endpoint(
        "GET",
        "/counts",
        counts,
        query=CountsQuery,
        answers={200: CountsAnswer},
        refusals=(410,),
        counted=False,
    ),
    _endpoint("GET", "/metrics", metrics, answers={200: str}),
    _endpoint("GET", "/resources", resources, answers={200: ResourcesAnswer}, counted=False),
    _endpoint("GET", "/openapi.json", openapi, answers={200: dict[str, Any]}, counted=False),
    _endpoint("GET", "/switches", switches.read, answers={200: switches.Settings}, refusals=(403,)),
    _endpoint(
        "PUT",
        "/switches",
        switches.change,
        body=switches.Settings,
        answers={200: switches.Settings},
        refusals=(403,),
    ),
)
