"""A route of the target: Starlette's, with a name that requests are counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from starlette.exceptions import HTTPException
from starlette.routing import PARAM_REGEX, Route

from target.counts import RUN_HEADER
from target.metrics import ENDPOINT_KEY, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

Bearer = Literal["TenantToken", "UserToken"]
_RUN_HEADER: Final = RUN_HEADER.lower().encode()


class Endpoint(Route):
    """`METHOD /path/{id}`, named `METHOD /path/:id`; counts a request for its run before it is handled.

    A method that the path does not take is counted by the path's name too, then refused with 405. `disturbed`
    are those that planted faults apply to.

    The others say what `/openapi.json` shows and a handler does: `answers` has the type of the body by status,
    `str` for plain text; `body` and `query` are what `read_json` and `read_query` take; `refusals` are
    statuses of errors that do not follow from the rest. `needs_hash` is `require_hash`, `bearer` whose
    token it asks for.
    """

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[[Request], Awaitable[Response]],
        *,
        answers: Mapping[int, Any],
        body: Any = None,
        query: Any = None,
        refusals: tuple[int, ...] = (),
        needs_hash: bool = True,
        bearer: Bearer | None = None,
        counted: bool = True,
        disturbed: bool = True,
    ) -> None:
        super().__init__(path, handler, methods=[method])
        self._template = PARAM_REGEX.sub(r":\1", path)
        # With the longest run and method it must fit into a counter's key.
        assert len(self._template) <= 100, f"{path} is too long to be counted"
        self.method = method
        self.answers = answers
        self.body = body
        self.query = query
        self.refusals = refusals
        self.needs_hash = needs_hash
        self.bearer = bearer
        self.counted = counted
        self.disturbed = disturbed

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        _received(scope, self._template, counted=self.counted)
        if self.disturbed:
            state = scope["app"].state
            send = state.switches.sending(send, state.constitutional_hash, scope["method"])
            await state.switches.disturb(f"{scope['method']} {self._template}")
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": ", ".join(self._allowed(scope["app"].routes))})
        await super().handle(scope, receive, send)

    def _allowed(self, routes: list[BaseRoute]) -> list[str]:
        """What the path takes: other methods are other endpoints, and each of those knows its own only."""
        here = (route for route in routes if isinstance(route, Endpoint) and route.path == self.path)
        return sorted({method for route in here for method in route.methods or ()})


async def unrouted(scope: Scope, _receive: Receive, _send: Send) -> None:
    """What answers on paths that nothing else takes."""
    _received(scope, UNROUTED)
    raise HTTPException(404, "there is nothing at this path")


def _received(scope: Scope, template: str, *, counted: bool = True) -> None:
    endpoint = scope[ENDPOINT_KEY] = f"{scope['method']} {template}"
    if counted:
        for name, value in scope["headers"]:
            if name == _RUN_HEADER:
                scope["app"].state.counts.received(value, endpoint)
                return
