"""The gateway in front of the survival endpoints: a deadline, and the last known answer where there is no new one.

Reads fail open: what a user was told last is told again, with the header `Degraded`, while the backend or its
database is gone (RFC 5861 calls it stale-if-error). Writes fail closed: 503 or 504, and nothing is pretended.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from target.answers import JSON, RefusedError
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from target.cache import Cache
    from target.memory import Memory
    from target.switches import Switches

DEADLINE_S: Final = 2.0
PROBE_S: Final = 1.0
"""After a deadline has passed reads are answered from what is known, and one asks the backend again so often."""
DEGRADED: Final = "Degraded"
"""Header of an answer that was made without a component: its name."""
RETRY: Final = {"Retry-After": "1"}


class Front:
    """Belongs to one server process."""

    def __init__(self, switches: Switches, cache: Cache, memory: Memory) -> None:
        self._switches = switches
        self._cache = cache
        self._memory = memory
        self._probe_at = 0.0
        """When a read may ask the backend again, on the monotonic clock; 0 while it answers."""

    @property
    def waiting(self) -> bool:
        """Whether the backend did not answer in time of late, and has not since."""
        return self._probe_at > 0 and time.monotonic() < self._probe_at + DEADLINE_S

    async def read(self, user: int, key: str, ask: Callable[[], Awaitable[Response]]) -> Response:
        """The backend's answer, or else the last one that it gave this user to this."""
        now = time.monotonic()
        gone = "gateway"
        error: Exception = _late()
        if not self._probe_at or now >= self._probe_at:
            if self._probe_at:
                # The others go on with what is known while this one asks.
                self._probe_at = now + DEADLINE_S + PROBE_S
            try:
                response = await self._asked(ask)
            except StoreUnavailableError as lost:
                gone, error = "database", lost
            except RefusedError as refused:
                if refused.status != 504:
                    raise
                error = refused
            else:
                if not self._memory.shedding:
                    await self._cache.put(user, _known(key), bytes(response.body))
                return response
        known = await self._cache.get(user, _known(key))
        if known is None:
            raise error
        return Response(known, media_type=JSON, headers={DEGRADED: gone})

    async def write(self, ask: Callable[[], Awaitable[Response]]) -> Response:
        """The backend's answer. RefusedError: 503 when the process has too much memory, 504 after the deadline."""
        if self._memory.shedding:
            message = f"{self._memory.resident_bytes} bytes are in use: only reads are served"
            raise RefusedError(503, "memory_pressure", message, RETRY)
        return await self._asked(ask)

    async def _asked(self, ask: Callable[[], Awaitable[Response]]) -> Response:
        try:
            async with asyncio.timeout(DEADLINE_S):
                if self._switches.on("gateway_timeout"):
                    # The backend is cut off: what is sent there is never answered.
                    await asyncio.get_running_loop().create_future()
                response = await ask()
        except TimeoutError:
            self._probe_at = time.monotonic() + PROBE_S
            raise _late() from None
        except Exception:
            # A refusal is an answer too.
            self._probe_at = 0.0
            raise
        self._probe_at = 0.0
        return response


def _known(key: str) -> str:
    return f"last known {key}"


def _late() -> RefusedError:
    return RefusedError(504, "gateway_timeout", f"the backend did not answer within {DEADLINE_S:g} s")
