"""Sessions and a cache of answers: what they are, and in the memory of one server process.

Nothing in them is ever stale, also with several processes on one store, because nothing in them can change: a
token belongs to one tenant for good, a row is never altered, and a list is kept under the number of rows that
it was made of, which a reader asks the store for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from target.metrics import Metrics

K = TypeVar("K")
V = TypeVar("V")

MOST_SESSIONS: Final = 100_000
MOST_BYTES: Final = 64_000_000
_OVERHEAD_BYTES: Final = 256
"""What an entry takes beside its value: key, dictionary slot and object headers."""


class Sessions(Protocol):
    """Which tenant a token stands for; tokens are known by their hashes only."""

    async def tenant(self, token_hash: bytes) -> int | None: ...

    async def remember(self, token_hash: bytes, tenant: int) -> None: ...


class Cache(Protocol):
    """Answers of one tenant; there is no way to ask for a key without saying whose it is."""

    async def get(self, tenant: int, key: str) -> bytes | None: ...

    async def put(self, tenant: int, key: str, value: bytes) -> None: ...


class MemorySessions:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tenants: _Recent[bytes, int] = _Recent(MOST_SESSIONS, lambda _: 1)

    async def tenant(self, token_hash: bytes) -> int | None:
        tenant = self._tenants.get(token_hash)
        self._metrics.lookup("sessions", "miss" if tenant is None else "hit")
        return tenant

    async def remember(self, token_hash: bytes, tenant: int) -> None:
        self._tenants.put(token_hash, tenant)


class MemoryCache:
    def __init__(self, metrics: Metrics, most_bytes: int = MOST_BYTES) -> None:
        self._metrics = metrics
        self._values: _Recent[tuple[int, str], bytes] = _Recent(
            most_bytes, lambda value: len(value) + _OVERHEAD_BYTES
        )

    async def get(self, tenant: int, key: str) -> bytes | None:
        value = self._values.get((tenant, key))
        self._metrics.lookup("reads", "miss" if value is None else "hit")
        return value

    async def put(self, tenant: int, key: str, value: bytes) -> None:
        self._values.put((tenant, key), value)


class _Recent(Generic[K, V]):
    """A dictionary that forgets what was least recently used when the sizes add up to more than `most`."""

    def __init__(self, most: int, size: Callable[[V], int]) -> None:
        self._most = most
        self._size = size
        self._total = 0
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        value = self._values.pop(key, None)
        if value is not None:
            # A dictionary's order is that of insertion: the first is the one to forget.
            self._values[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        former = self._values.pop(key, None)
        if former is not None:
            self._total -= self._size(former)
        self._values[key] = value
        self._total += self._size(value)
        while self._total > self._most:
            oldest = next(iter(self._values))
            self._total -= self._size(self._values.pop(oldest))
