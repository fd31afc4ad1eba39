"""Sessions and the cache of answers in one Redis that all server processes share.

Nothing expires here: an entry is as right in a year as now (see `target.cache`), so what goes is Redis's to say,
by its `maxmemory` and `maxmemory-policy allkeys-lru`. Keys begin with a digest of the store's name, the served
constitution and the target's version: another store, or another form of the answers, shares nothing with this
one. Only a store that forgets what it committed (a backup is restored) needs its Redis flushed.

Redis is never needed. When it fails or does not answer within ANSWER_S, the look is counted as an error and the
store is asked instead; then it is left alone for REST_S.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from target.metrics import Metrics

ANSWER_S: Final = 0.25
REST_S: Final = 1.0
_URL: Final = re.compile(r"redis://([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[0-9]{1,4})?")
CONNECTIONS: Final = 8
"""Of each server process."""


class SharedMemory:
    """The connections to one Redis, and the names that this target's entries have there."""

    def __init__(self, url: str, *names: str) -> None:
        """`names` are what entries must have in common to be of use to each other."""
        self._redis = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_S,
                socket_timeout=ANSWER_S,
                socket_connect_timeout=ANSWER_S,
                # A kept connection may be one to a Redis that was restarted since.
                retry=Retry(NoBackoff(), 1),
                protocol=2,
            )
        )
        self._prefix = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24].encode()
        self._resting_until = 0.0

    async def get(self, key: bytes) -> bytes | None:
        """What is there; raises RedisError when that cannot be said."""
        self._check_rest()
        try:
            # Bytes, as decode_responses is off.
            value = cast("bytes | None", await self._redis.get(self._prefix + key))
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        return value

    async def put(self, key: bytes, value: bytes) -> None:
        """Keep it, or do not: whoever looks for it next can tell."""
        try:
            self._check_rest()
            await self._redis.set(self._prefix + key, value)
        except (RedisError, OSError) as error:
            self._failed(error)

    def _check_rest(self) -> None:
        if time.monotonic() < self._resting_until:
            raise RedisError("it failed less than a moment ago")

    def _failed(self, error: Exception) -> RedisError:
        now = time.monotonic()
        if now >= self._resting_until:
            self._resting_until = now + REST_S
        return RedisError(str(error))


class RedisSessions:
    def __init__(self, memory: SharedMemory, metrics: Metrics) -> None:
        self._memory = memory
        self._metrics = metrics

    async def tenant(self, token_hash: bytes) -> int | None:
        value = await _looked_up(self._memory, self._metrics, "sessions", b":session:" + token_hash)
        return None if value is None else int(value)

    async def remember(self, token_hash: bytes, tenant: int) -> None:
        await self._memory.put(b":session:" + token_hash, b"%d" % tenant)


class RedisCache:
    def __init__(self, memory: SharedMemory, metrics: Metrics) -> None:
        self._memory = memory
        self._metrics = metrics

    async def get(self, tenant: int, key: str) -> bytes | None:
        return await _looked_up(self._memory, self._metrics, "reads", _answer_key(tenant, key))

    async def put(self, tenant: int, key: str, value: bytes) -> None:
        await self._memory.put(_answer_key(tenant, key), value)


async def _looked_up(memory: SharedMemory, metrics: Metrics, cache: str, key: bytes) -> bytes | None:
    try:
        value = await memory.get(key)
    except RedisError:
        metrics.lookup(cache, "error")
        return None
    metrics.lookup(cache, "miss" if value is None else "hit")
    return value


def _answer_key(tenant: int, key: str) -> bytes:
    return b":tenant:%d:%b" % (tenant, key.encode())


def check_url(url: str) -> None:
    """UsageError for what is no URL of a Redis, and for one with a password, which it does not repeat."""
    if not _URL.fullmatch(url):
        raise UsageError(
            "--redis: write redis://HOST:PORT/0; it takes no password, which everybody on the machine could read"
        )
