"""The one writing thread of a store: it commits what waits together.

The thread takes all jobs that wait, runs them in one transaction, each under a savepoint of its own, commits
once and only then resolves them: what was answered is in the database. A job that raises is undone alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target.store import GroupObserver, Row, Transaction, Value

T = TypeVar("T")

LARGEST_GROUP: Final = 512


class Session(Protocol):
    """The thread's connection to its database."""

    @property
    def errors(self) -> type[Exception]:
        """What goes wrong in the database."""

    @property
    def integrity_errors(self) -> type[Exception]:
        """Those of them that are the job's own: it broke a constraint."""

    def begin(self) -> None:
        """Open a transaction, and wait in turn until no other writer of the store is in one."""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]: ...

    @property
    def in_transaction(self) -> bool:
        """Whether it can still be rolled back to a savepoint."""

    def close(self) -> None: ...


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


class GroupWriter:
    """The thread and what waits for it; the session is made elsewhere and used and closed here."""

    def __init__(self, session: Session, on_group: GroupObserver | None) -> None:
        self._session = session
        self._on_group = on_group
        # None asks the thread to end.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_groups, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        job = _Job(function)
        self._jobs.put(job)
        result: T = await job.future
        return result

    def close(self) -> None:
        """Finish the jobs that wait, then let go of the session."""
        self._jobs.put(None)
        self._thread.join()
        self._session.close()

    def _write_groups(self) -> None:
        ending = False
        while not ending:
            group, ending = self._next_group()
            if group:
                self._commit(group)

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

    def _commit(self, group: list[_Job]) -> None:
        session = self._session
        try:
            session.begin()
            for job in group:
                self._run(job)
            session.execute("COMMIT")
        except session.errors as error:
            if session.in_transaction:
                with contextlib.suppress(session.errors):
                    session.execute("ROLLBACK")
            for job in group:
                job.error = StoreUnavailableError(one_line(error))
        if self._on_group is not None:
            undone = sum(job.error is not None for job in group)
            self._on_group(kept=len(group) - undone, undone=undone)
        # One wake-up for all of them: they are of one loop. It is closed when the process is leaving.
        with contextlib.suppress(RuntimeError):
            group[0].loop.call_soon_threadsafe(_resolve, group)

    def _run(self, job: _Job) -> None:
        """Run one job of a group; raises only if the whole transaction is lost."""
        session = self._session
        session.execute("SAVEPOINT job")
        try:
            job.result = job.function(session)
        except Exception as error:
            # A full disk makes SQLite roll all of it back by itself; a connection that is gone has done so.
            if not session.in_transaction:
                raise
            broken = isinstance(error, session.errors) and not isinstance(error, session.integrity_errors)
            job.error = StoreUnavailableError(one_line(error)) if broken else error
            session.execute("ROLLBACK TO job")
        session.execute("RELEASE job")


def _resolve(group: list[_Job]) -> None:
    for job in group:
        job.resolve()


def one_line(error: Exception) -> str:
    """What a driver says, which may be several lines with pointers below."""
    return " ".join(str(error).split())
