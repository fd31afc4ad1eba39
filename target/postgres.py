"""The store in a PostgreSQL database, by psycopg.

Each process has one connection that writes and up to READERS that read in the event loop. Writers take turns by
an advisory lock of the transaction: each of them sees all that the former ones committed, as on SQLite, and a
group commit makes up for the turns. What was answered is as durable as the server's `synchronous_commit` says.

A database that went away is refused at once or after BUSY_S, and every use tries to connect anew. A read is
asked again on a new connection when its kept one turns out to be dead, and so is the beginning of a group;
nothing that may have been written is.
"""

from __future__ import annotations

import asyncio
import functools
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from loadproof.errors import UsageError
from target.group_commit import GroupWriter, one_line
from target.store import BUSY_S, IDENTITY, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from psycopg.abc import PQGen

    from target.store import GroupObserver, Row, Transaction, Value

T = TypeVar("T")

READERS: Final = 4
CONNECT_S: Final = 2
ENCODING: Final = "UTF8"
TURN: Final = 0x6C6F6164
"""The advisory lock that writers take turns by; any number that nobody else uses in this database."""
_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({TURN})"
_OPTIONS: Final = (
    f"-c lock_timeout={int(BUSY_S * 800)} "
    # A writer that died with its machine must not keep the others waiting for ever.
    f"-c idle_in_transaction_session_timeout={int(BUSY_S * 2000)}"
)
_TYPES: Final = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "STRICT": ""}


class _Connection(psycopg.Connection):
    """One whose server has BUSY_S for an answer; after that its state is ACTIVE, and it is of no more use."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = BUSY_S) -> T:
        return super().wait(gen, interval, timeout)


class _AsyncConnection(psycopg.AsyncConnection):
    """As `_Connection`."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = BUSY_S) -> T:  # noqa: ASYNC109 psycopg's
        return await super().wait(gen, interval, timeout)


class _Session:
    errors: Final = psycopg.Error
    integrity_errors: Final = psycopg.IntegrityError

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: _Connection | None = None

    def begin(self) -> None:
        if self._connection is not None and _is_idle(self._connection):
            try:
                self.execute(_BEGIN)
            except psycopg.OperationalError:
                # It waited in vain for its turn, or the server was restarted since the last group.
                if self.in_transaction or not self._connection.closed:
                    raise
            else:
                return
        self.close()
        self._connection = _Connection.connect(self._conninfo, autocommit=True)
        self.execute(_BEGIN)

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        assert self._connection is not None
        cursor = self._connection.execute(_native(sql), parameters or None)
        return cursor.fetchall() if cursor.description else []

    @property
    def in_transaction(self) -> bool:
        open_ = {TransactionStatus.INTRANS, TransactionStatus.INERROR}
        return self._connection is not None and self._connection.info.transaction_status in open_

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresStore:
    """A `Store` in a PostgreSQL database; connects when it is used."""

    def __init__(self, url: str, on_group: GroupObserver | None = None) -> None:
        self._conninfo = _conninfo(url)
        self._idle: list[_AsyncConnection] = []
        self._free = asyncio.Semaphore(READERS)
        self._writer = GroupWriter(_Session(self._conninfo), on_group)

    async def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            if self._free.locked():
                async with asyncio.timeout(BUSY_S):
                    await self._free.acquire()
            else:
                await self._free.acquire()
        except TimeoutError:
            raise StoreUnavailableError(f"no connection was free within {BUSY_S:g} s") from None
        try:
            return await self._read(_native(sql), parameters)
        except psycopg.Error as error:
            raise StoreUnavailableError(one_line(error)) from error
        finally:
            self._free.release()

    async def ping(self) -> None:
        await self.read("SELECT 1")

    async def size(self) -> int:
        [(size,)] = await self.read("SELECT pg_database_size(current_database())")
        return int(size)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        return await self._writer.write(job)

    def close(self) -> None:
        self._writer.close()
        for connection in self._idle:
            connection.pgconn.finish()

    async def _read(self, query: bytes, parameters: Sequence[Value]) -> list[Row]:
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._ask(connection, query, parameters)
            except psycopg.OperationalError:
                # Dead, unless it was only too slow.
                if not connection.broken:
                    raise
        connection = await _AsyncConnection.connect(self._conninfo, autocommit=True)
        return await self._ask(connection, query, parameters)

    async def _ask(
        self, connection: _AsyncConnection, query: bytes, parameters: Sequence[Value]
    ) -> list[Row]:
        try:
            cursor = await connection.execute(query, parameters or None)
            return await cursor.fetchall()
        finally:
            if _is_idle(connection):
                self._idle.append(connection)
            else:
                await connection.close()


def _is_idle(connection: psycopg.Connection | psycopg.AsyncConnection) -> bool:
    return connection.info.transaction_status == TransactionStatus.IDLE


@functools.cache
def _native(sql: str) -> bytes:
    """SQL of the rooms with placeholders as psycopg has them; there is no literal with `?` or `%` in it."""
    return sql.replace("?", "%s").encode()


def _table(statement: str) -> str:
    """A statement of a schema, with PostgreSQL's names of types where it makes a table."""
    if not statement.startswith("CREATE TABLE"):
        return statement
    return re.sub(r"\b(INTEGER|BLOB|STRICT)\b", lambda found: _TYPES[found[0]], statement)


def check_url(url: str) -> None:
    """UsageError for what is no URL of a database, and for one with a password, which it does not repeat."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise UsageError("--store postgresql://...: write postgresql://USER@HOST:PORT/DATABASE") from None
    if "password" in parts:
        raise UsageError(
            "--store postgresql://...: leave the password out, as everybody on the machine can read a command "
            "line; set PGPASSWORD, or PGPASSFILE to a file with it"
        )


def _conninfo(url: str) -> str:
    return make_conninfo(
        url,
        options=_OPTIONS,
        connect_timeout=CONNECT_S,
        tcp_user_timeout=int(BUSY_S * 1000),
        fallback_application_name="loadproof target",
    )


def prepare(url: str, statements: Iterable[str]) -> str:
    """As `databases.prepare`, for the database at `url`."""
    try:
        with _Connection.connect(_conninfo(url)) as connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != ENCODING:
                raise UsageError(
                    f"the store {url} is kept in {encoding}, which cannot hold every text: make a database with "
                    f"ENCODING '{ENCODING}' TEMPLATE template0"
                )
            connection.execute(f"SELECT pg_advisory_xact_lock({TURN})")
            for statement in statements:
                connection.execute(_table(statement).encode())
            identity = cast("tuple[Any, ...]", connection.execute(IDENTITY).fetchone())[0]
            return str(identity)
    except psycopg.Error as error:
        raise UsageError(f"the store {url} cannot be opened: {one_line(error)}") from error
