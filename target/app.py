"""The application: the routes of every room, and one form for every error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from target import (
    answers,
    audit,
    compliance,
    formal,
    gateway,
    governance,
    heavy_load,
    openapi,
    survival,
    tenants,
)
from target.answers import RefusedError
from target.constitution import Named
from target.endpoint import unrouted
from target.metrics import Timed
from target.prover import Prover
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from target.cache import Cache, Sessions
    from target.components import Components
    from target.counts import RunCounts
    from target.metrics import Metrics
    from target.store import Store
    from target.switches import Switches

SCHEMA: Final = (*governance.SCHEMA, *tenants.SCHEMA, *audit.SCHEMA, *compliance.SCHEMA, *survival.SCHEMA)
"""Every room's tables and what they begin with; statements that change nothing the second time."""

ROUTES: Final = (
    *gateway.ROUTES,
    *governance.ROUTES,
    *tenants.ROUTES,
    *audit.ROUTES,
    *compliance.ROUTES,
    *formal.ROUTES,
    *heavy_load.ROUTES,
    *survival.ROUTES,
)


def build_app(
    store: Store,
    sessions: Sessions,
    cache: Cache,
    counts: RunCounts,
    metrics: Metrics,
    switches: Switches,
    constitutional_hash: str,
    components: Components,
) -> ASGIApp:
    """The ASGI application; handlers find its parts in `request.app.state` under the names used here."""
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            RefusedError: answers.on_refused,
            StoreUnavailableError: answers.on_store_unavailable,
            HTTPException: answers.on_http_exception,
            ClientDisconnect: answers.on_disconnect,
            Exception: answers.on_defect,
        },
    )
    # `/policies/` is not `/policies`: a redirect would be a request that no endpoint's name accounts for.
    app.router.redirect_slashes = False
    app.router.default = unrouted
    app.state.store = store
    app.state.counts = counts
    app.state.metrics = metrics
    app.state.switches = switches
    app.state.sessions = sessions
    app.state.cache = cache
    app.state.trail = audit.Trail(store)
    app.state.principles = compliance.Principles(store)
    app.state.prover = Prover()
    app.state.flows = heavy_load.Flows(switches, metrics)
    app.state.components = components
    app.state.accounts = components.accounts
    app.state.constitutional_hash = constitutional_hash
    app.state.openapi = openapi.document(ROUTES, gateway.VERSION, constitutional_hash)
    return Timed(Named(app, constitutional_hash), metrics)
