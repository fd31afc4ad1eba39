"""Which database a URL names: the store, and the Redis with sessions and cache.

The drivers of PostgreSQL and Redis are imported when they are asked for: they take 0.1 s each, and most targets
are embedded ones with a temporary file.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from loadproof.errors import UsageError
from target import sqlite
from target.cache import MemoryCache, MemorySessions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from target.cache import Cache, Sessions
    from target.metrics import Metrics
    from target.store import GroupObserver, Store


def store_url(url: str | None, folder: Path) -> str:
    """The URL itself, or that of a file in `folder` for None; UsageError for one that names no store."""
    if url is None:
        return f"sqlite://{quote(str(folder / 'store.sqlite3'))}"
    parts = urlsplit(url)
    if parts.scheme == "postgresql":
        from target import postgres  # noqa: PLC0415 see above

        postgres.check_url(url)
    elif parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise UsageError(
            f"--store {url!r}: write sqlite:/// and an absolute path, such as sqlite:///var/lib/target.db, or "
            "postgresql://USER@HOST:PORT/DATABASE"
        )
    return url


def prepare(url: str, schema: Iterable[str]) -> str:
    """Make the tables where they are missing, and return the store's IDENTITY; UsageError where that cannot be.

    `schema` is statements that change nothing the second time.
    """
    statements = (*_identity_schema(), *schema)
    if url.startswith("postgresql:"):
        from target import postgres  # noqa: PLC0415 see above

        return postgres.prepare(url, statements)
    return sqlite.prepare(_path(url), statements)


def _identity_schema() -> tuple[str, str]:
    return (
        """CREATE TABLE IF NOT EXISTS store_identity (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            name TEXT NOT NULL
        )""",
        # A store that has a name keeps it.
        f"INSERT INTO store_identity (id, name) VALUES (1, '{secrets.token_hex(16)}') ON CONFLICT DO NOTHING",  # noqa: S608 hex digits
    )


def open_store(url: str, on_group: GroupObserver | None = None) -> Store:
    """The prepared store at a URL; it belongs to the process and thread that open it."""
    if url.startswith("postgresql:"):
        from target import postgres  # noqa: PLC0415 see above

        return postgres.PostgresStore(url, on_group)
    return sqlite.SqliteStore(_path(url), on_group)


def redis_url(url: str | None) -> str | None:
    """The URL itself; UsageError for one that names no Redis."""
    if url is not None:
        from target import redis_cache  # noqa: PLC0415 see above

        redis_cache.check_url(url)
    return url


def open_caches(url: str | None, metrics: Metrics, *names: str) -> tuple[Sessions, Cache]:
    """Sessions and cache in the Redis at a URL, or in memory for None.

    `names` are what entries of several targets must have in common to be of use to each other.
    """
    if url is None:
        return MemorySessions(metrics), MemoryCache(metrics)
    from target import redis_cache  # noqa: PLC0415 see above

    memory = redis_cache.SharedMemory(url, *names)
    return redis_cache.RedisSessions(memory, metrics), redis_cache.RedisCache(memory, metrics)


def _path(url: str) -> str:
    return unquote(urlsplit(url).path)
