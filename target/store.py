"""Where the target keeps what it was told: what its rooms need of a database.

The rooms write SQL that SQLite and PostgreSQL both understand, with `?` as placeholder and SQLite's names of
types. A write is a job, a function of the open transaction, and **one writes at a time**, over all processes and
machines that share the store: a job may read what it then changes, the largest id is the last one given, and
rows become visible in the order of their ids. Lists that are cached by the number of their rows, ids without
gaps and the chain of the audit trail rest on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
Value = str | int | bytes | None
Row = tuple[Any, ...]

BUSY_S: Final = 5.0
"""How long a writer waits for its turn, and PostgreSQL may take for one answer."""

IDENTITY: Final = "SELECT name FROM store_identity"
"""A name that no other store has: what is cached outside of the target is kept under it."""


class StoreUnavailableError(Exception):
    """The database cannot be read or written now.

    Nothing of a job is kept, unless the connection to PostgreSQL was lost while it committed: nobody knows then.
    """


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

    async def size(self) -> int:
        """Bytes that the database takes; raises StoreUnavailableError when it cannot be read."""

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """The job's result once it is committed; its exception if it raised, and then nothing of it is kept.

        Raises StoreUnavailableError when the database cannot be written.
        """

    def close(self) -> None:
        """Finish the jobs that wait, then let go of the database."""


class GroupObserver(Protocol):
    """Told of every group commit: how many jobs were kept, how many were undone."""

    def __call__(self, kept: int, undone: int) -> None: ...
