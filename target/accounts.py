"""Users' accounts in the store: what is kept of them, their tokens, and profiles of which there is a copy.

A profile stands twice beside its SHA-256: where the first copy is damaged, the second is served and put in its
place. A token names its user and its end and is signed with a key that was made with the store, so whoever has
signed in stays so while the store is lost.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from target.answers import RefusedError
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from target.store import Row, Store, Transaction

TOKEN_S: Final = 86_400
EMPTY: Final = b"{}"
DAMAGED: Final = b"\0damaged"
NEWEST: Final = 1_000
"""Profiles that `damage` reaches."""
_FRESH_KEY: Final = secrets.token_hex(32)
SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        salt BLOB NOT NULL,
        password BLOB NOT NULL,
        profile BLOB NOT NULL,
        backup BLOB NOT NULL,
        digest TEXT NOT NULL,
        version INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS user_notes (
        id INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS user_notes_by_owner ON user_notes (owner, id)",
    """CREATE TABLE IF NOT EXISTS user_key (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        secret TEXT NOT NULL
    )""",
    # A store that has a key keeps it.
    f"INSERT INTO user_key (id, secret) VALUES (1, '{_FRESH_KEY}') ON CONFLICT DO NOTHING",  # noqa: S608 hex digits
)


class Credentials(NamedTuple):
    user: int
    salt: bytes
    digest: bytes


class Profile(NamedTuple):
    content: bytes
    version: int
    restored: bool
    """From the second copy, as the first was damaged."""


class Accounts:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: bytes | None = None

    async def token(self, user: int) -> str:
        """A new one, for TOKEN_S."""
        text = f"{user}.{int(time.time()) + TOKEN_S}"
        return f"{text}.{_signature(await self._secret(), text)}"

    async def user_of(self, token: str) -> int | None:
        """Whose it is; None for one that was not signed here, or has ended."""
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_signature(await self._secret(), text).encode(), signature.encode()):
            return None
        user, _, until = text.partition(".")
        return int(user) if int(until) > time.time() else None

    async def taken(self, name: str) -> bool:
        return bool(await self._store.read("SELECT id FROM users WHERE name = ?", (name,)))

    async def add(self, name: str, salt: bytes, digest: bytes) -> int:
        """The new user's id; RefusedError (409) for a name that somebody has."""

        def insert(transaction: Transaction) -> int:
            if transaction.execute("SELECT id FROM users WHERE name = ?", (name,)):
                raise name_taken(name)
            rows = transaction.execute(
                "INSERT INTO users (id, name, salt, password, profile, backup, digest, version) VALUES"
                " ((SELECT coalesce(max(id), 0) + 1 FROM users), ?, ?, ?, ?, ?, ?, 1) RETURNING id",
                (name, salt, digest, EMPTY, EMPTY, _mark(EMPTY)),
            )
            identity: int = rows[0][0]
            return identity

        return await self._store.write(insert)

    async def credentials(self, name: str) -> Credentials | None:
        rows = await self._store.read("SELECT id, salt, password FROM users WHERE name = ?", (name,))
        return Credentials(*rows[0]) if rows else None

    async def profile(self, user: int) -> Profile:
        """StoreUnavailableError when both copies are damaged: a wrong profile is worse than none."""
        rows = await self._store.read(
            "SELECT profile, backup, digest, version FROM users WHERE id = ?", (user,)
        )
        if not rows:
            raise no_such_user()
        first, second, digest, version = rows[0]
        if _mark(first) == digest:
            return Profile(first, version, restored=False)
        if _mark(second) != digest:
            raise StoreUnavailableError("both copies of the profile are damaged")
        await self._store.write(lambda transaction: _restore(transaction, user, version))
        return Profile(second, version, restored=True)

    async def change(self, user: int, content: bytes, if_version: int | None, *, damaging: bool) -> int:
        """The profile's new version; RefusedError (409) when it has another than `if_version` by now."""

        def replace(transaction: Transaction) -> int:
            rows = transaction.execute("SELECT version FROM users WHERE id = ?", (user,))
            if not rows:
                raise no_such_user()
            version: int = rows[0][0]
            if if_version not in {None, version}:
                raise RefusedError(
                    409,
                    "version_conflict",
                    f"the profile has version {version}, not {if_version}: read it again",
                )
            first = DAMAGED if damaging else content
            transaction.execute(
                "UPDATE users SET profile = ?, backup = ?, digest = ?, version = ? WHERE id = ?",
                (first, content, _mark(content), version + 1, user),
            )
            return version + 1

        return await self._store.write(replace)

    async def add_note(self, user: int, text: str) -> int:
        def insert(transaction: Transaction) -> int:
            rows = transaction.execute(
                "INSERT INTO user_notes (id, owner, text) VALUES"
                " ((SELECT coalesce(max(id), 0) + 1 FROM user_notes), ?, ?) RETURNING id",
                (user, text),
            )
            identity: int = rows[0][0]
            return identity

        return await self._store.write(insert)

    async def notes(self, user: int, offset: int, limit: int) -> tuple[list[Row], int]:
        """A page of (id, text) from the newest, and how many there are."""
        rows = await self._store.read(
            "SELECT id, text FROM user_notes WHERE owner = ? ORDER BY id DESC LIMIT ? OFFSET ?",
            (user, limit, offset),
        )
        total = await self._store.read("SELECT count(*) FROM user_notes WHERE owner = ?", (user,))
        return rows, total[0][0]

    async def damage(self) -> None:
        """Overwrite the first copy of the NEWEST profiles, as a bad disk would."""

        def overwrite(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE users SET profile = ? WHERE id > (SELECT coalesce(max(id), 0) FROM users) - ?",
                (DAMAGED, NEWEST),
            )

        await self._store.write(overwrite)

    async def restore(self) -> None:
        """Put the second copy in the place of each first one that is not like it."""

        def copy(transaction: Transaction) -> None:
            transaction.execute("UPDATE users SET profile = backup WHERE profile <> backup")

        await self._store.write(copy)

    async def _secret(self) -> bytes:
        if self._key is None:
            rows = await self._store.read("SELECT secret FROM user_key")
            self._key = bytes.fromhex(rows[0][0])
        return self._key


def name_taken(name: str) -> RefusedError:
    return RefusedError(409, "name_taken", f"somebody is called {name!r} already")


def no_such_user() -> RefusedError:
    """The token outlived its user: its store is another one by now."""
    return RefusedError(
        401, "unknown_user", "the token's user does not exist", {"WWW-Authenticate": "Bearer"}
    )


def _restore(transaction: Transaction, user: int, version: int) -> None:
    transaction.execute("UPDATE users SET profile = backup WHERE id = ? AND version = ?", (user, version))


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
