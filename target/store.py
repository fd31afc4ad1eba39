"""Where the target keeps what it was told: SQLite in WAL mode, one writing thread with group commit.

A write is a job, a function of the open transaction. The thread takes all jobs that wait, runs them in one
transaction, each under a savepoint of its own, commits once and only then resolves them: what was answered is
in the file. A job that raises is undone alone.

Reads run on the caller's thread, which is the event loop's: a point read takes about 4 µs and a page of 20
policies 13 µs, where handing it to another thread costs 60. Several processes may open one file; a writer
waits up to BUSY_S for another. `synchronous=NORMAL` survives the death of any process, not a loss of power
in the last moments before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

T = TypeVar("T")
Value = str | int | bytes | None
Row = tuple[Any, ...]

BUSY_S: Final = 5.0
LARGEST_GROUP: Final = 512


class StoreUnavailableError(Exception):
    """The database cannot be read or written now; nothing of the job is kept."""


class Transaction(Protocol):
    """What a write job sees."""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]: ...


class Store(Protocol):
    """What the rooms of the target need of a database; placeholders are `?`."""

    async def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """The rows of one SELECT, seeing every write that was resolved before.

        Raises StoreUnavailableError when the database cannot be read.
        """

    async def ping(self) -> None:
        """Raises StoreUnavailableError when the database cannot be read."""

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """The job's result once it is committed; its exception if it raised, and then nothing of it is kept.

        Raises StoreUnavailableError when the database cannot be written.
        """

    def close(self) -> None:
        """Finish the jobs that wait, then let go of the database."""


class GroupObserver(Protocol):
    """Told of every group commit: how many jobs were kept, how many were undone."""

    def __call__(self, kept: int, undone: int) -> None: ...


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()


class _Job:
    __slots__ = ("error", "function", "future", "loop", "result")

    def __init__(self, function: Callable[[Transaction], Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.function = function
        self.result: Any = None
        self.error: Exception | None = None

    def resolve(self) -> None:
        if self.future.done():  # its request was cancelled meanwhile
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteStore:
    """A `Store` in one SQLite file; belongs to the process and thread that made it."""

    def __init__(self, path: str, on_group: GroupObserver | None = None) -> None:
        self._on_group = on_group
        self._reader = _connect(path)
        self._reader.execute("PRAGMA query_only = 1")
        # Opened here, so that what is wrong with it is heard here and not in a thread that dies of it.
        self._connection = _connect(path, check_same_thread=False)
        # None asks the writer to end.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_groups, name="store-writer", daemon=True)
        self._writer.start()

    async def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    async def ping(self) -> None:
        # `SELECT 1` would not look at the file.
        await self.read("SELECT count(*) FROM sqlite_schema")

    async def write(self, job: Callable[[Transaction], T]) -> T:
        waiting = _Job(job)
        self._jobs.put(waiting)
        result: T = await waiting.future
        return result

    def close(self) -> None:
        self._jobs.put(None)
        self._writer.join()
        self._connection.close()
        self._reader.close()

    def _write_groups(self) -> None:
        ending = False
        while not ending:
            group, ending = self._next_group()
            if group:
                self._commit(self._connection, group)

    def _next_group(self) -> tuple[list[_Job], bool]:
        """All jobs that wait, at least one; and whether the store is closing."""
        job = self._jobs.get()
        group: list[_Job] = []
        while job is not None:
            group.append(job)
            if len(group) == LARGEST_GROUP:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            transaction = _SqliteTransaction(connection)
            for job in group:
                _run(connection, transaction, job)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            for job in group:
                job.error = StoreUnavailableError(str(error))
        if self._on_group is not None:
            undone = sum(job.error is not None for job in group)
            self._on_group(kept=len(group) - undone, undone=undone)
        # One wake-up for all of them: they are of one loop. It is closed when the process is leaving.
        with contextlib.suppress(RuntimeError):
            group[0].loop.call_soon_threadsafe(_resolve, group)


def _run(connection: sqlite3.Connection, transaction: Transaction, job: _Job) -> None:
    """Run one job of a group; raises only if the whole transaction is lost."""
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.function(transaction)
    except Exception as error:
        # A full disk and its like make SQLite roll all of it back by itself.
        if not connection.in_transaction:
            raise
        broken = isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError)
        job.error = StoreUnavailableError(str(error)) if broken else error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _resolve(group: list[_Job]) -> None:
    for job in group:
        job.resolve()


def _connect(path: str, *, check_same_thread: bool = True) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=check_same_thread
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def store_path(url: str | None, folder: Path) -> str:
    """The file that `sqlite:///absolute/path` names, or one in `folder`; UsageError for another URL."""
    if url is None:
        return str(folder / "store.sqlite3")
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise UsageError(
            f"--store {url!r}: write sqlite:/// and an absolute path, such as sqlite:///var/lib/target.db"
        )
    return unquote(parts.path)


def prepare(path: str, schema: Iterable[str]) -> None:
    """Make the file and its tables where they are missing; UsageError where that cannot be."""
    try:
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in schema:
                connection.execute(statement)
        finally:
            connection.close()
    except UnicodeDecodeError as error:
        # What sqlite3 makes of a schema whose bytes are damaged.
        raise UsageError(f"the store {path} cannot be opened: its schema is damaged") from error
    except sqlite3.Error as error:
        raise UsageError(f"the store {path} cannot be opened: {error}") from error
