"""Sessions and the cache of answers in one Redis that all server processes share.

Nothing expires here: an entry is as right in a year as now (see `target.cache`), so what goes is Redis's to say,
by its `maxmemory` and `maxmemory-policy allkeys-lru`. Keys begin with a digest of the store's name, the served
constitution and the target's version: another store, or another form of the answers, shares nothing with this
one. Only a store that forgets what it committed (a backup is restored) needs its Redis flushed.

Redis is never needed. When it fails or does not answer within ANSWER_S, the look is counted as an error and the
store is asked instead; then it is left alone for REST_S.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import TYPE_CHECKING, Final, cast

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from target.metrics import Metrics

ANSWER_S: Final = 1.0
"""More than a busy event loop may be late, which is no fault of Redis."""
REST_S: Final = 2.0
_URL: Final = re.compile(r"redis://([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[0-9]{1,4})?")
CONNECTIONS: Final = 8
"""Of each server process."""


class SharedMemory:
    """The connections to one Redis, and the names that this target's entries have there."""

    def __init__(self, url: str, *names: str) -> None:
        """`names` are what entries must have in common to be of use to each other."""
        self._redis = Redis(
            connection_pool=ConnectionPool.from_url(
                url,
                socket_timeout=ANSWER_S,
                socket_connect_timeout=ANSWER_S,
                # A kept connection may be one to a Redis that was restarted since.
                retry=Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
                protocol=2,
            )
        )
        self._prefix = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24].encode()
        self._resting_until = 0.0
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def get(self, key: bytes) -> tuple[str, bytes | None]:
        """The outcome, of `metrics.LOOKUPS`, and what is there."""
        async with self._turns:
            # Looked at when it is one's turn: those who waited need not find out each for themselves.
            if self._is_resting:
                return "error", None
            try:
                # Bytes, as decode_responses is off.
                value = cast("bytes | None", await self._redis.get(self._prefix + key))
            except (exceptions.RedisError, OSError):
                self._rest()
                return "error", None
        return "miss" if value is None else "hit", value

    async def put(self, key: bytes, value: bytes) -> None:
        """Keep it, or do not: whoever looks for it next can tell."""
        async with self._turns:
            if self._is_resting:
                return
            try:
                await self._redis.set(self._prefix + key, value)
            except (exceptions.RedisError, OSError):
                self._rest()

    @property
    def _is_resting(self) -> bool:
        return time.monotonic() < self._resting_until

    def _rest(self) -> None:
        self._resting_until = time.monotonic() + REST_S


class RedisSessions:
    def __init__(self, memory: SharedMemory, metrics: Metrics) -> None:
        self._memory = memory
        self._metrics = metrics

    async def tenant(self, token_hash: bytes) -> int | None:
        outcome, value = await self._memory.get(b":session:" + token_hash)
        self._metrics.lookup("sessions", outcome)
        return None if value is None else int(value)

    async def remember(self, token_hash: bytes, tenant: int) -> None:
        await self._memory.put(b":session:" + token_hash, b"%d" % tenant)


class RedisCache:
    def __init__(self, memory: SharedMemory, metrics: Metrics) -> None:
        self._memory = memory
        self._metrics = metrics

    async def get(self, tenant: int, key: str) -> bytes | None:
        outcome, value = await self._memory.get(_answer_key(tenant, key))
        self._metrics.lookup("reads", outcome)
        return value

    async def put(self, tenant: int, key: str, value: bytes) -> None:
        await self._memory.put(_answer_key(tenant, key), value)


def _answer_key(tenant: int, key: str) -> bytes:
    return b":tenant:%d:%b" % (tenant, key.encode())


def check_url(url: str) -> None:
    """UsageError for what is no URL of a Redis, and for one with a password, which it does not repeat."""
    if not _URL.fullmatch(url):
        raise UsageError(
            "--redis: write redis://HOST:PORT/0; it takes no password, which everybody on the machine could read"
        )
