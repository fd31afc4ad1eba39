"""A route of the target: Starlette's, with a name that requests are counted by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.routing import PARAM_REGEX, Route

from target.counts import RUN_HEADER
from target.metrics import ENDPOINT_KEY, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_RUN_HEADER: Final = RUN_HEADER.lower().encode()


class Endpoint(Route):
    """`METHOD /path/{id}`, named `METHOD /path/:id`; counts a request for its run before it is handled.

    A method that the path does not take is counted by the path's name too, then refused with 405. `disturbed`
    are those that planted faults apply to.
    """

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[[Request], Awaitable[Response]],
        *,
        counted: bool = True,
        disturbed: bool = True,
    ) -> None:
        super().__init__(path, handler, methods=[method])
        self._template = PARAM_REGEX.sub(r":\1", path)
        # With the longest run and method it must fit into a counter's key.
        assert len(self._template) <= 100, f"{path} is too long to be counted"
        self._counted = counted
        self._disturbed = disturbed

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        _received(scope, self._template, counted=self._counted)
        if self._disturbed:
            state = scope["app"].state
            send = state.switches.sending(send, state.constitutional_hash, scope["method"])
            await state.switches.disturb()
        await super().handle(scope, receive, send)


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
