"""A store that can really be lost: closed while `database_down` is on, opened again by whoever needs it after."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target.store import Row, Store, Transaction, Value
    from target.switches import Switches

T = TypeVar("T")


class SwitchedStore:
    """A `Store`; every room of the target loses it at once."""

    def __init__(self, reopen: Callable[[], Store], switches: Switches) -> None:
        self._reopen = reopen
        self._switches = switches
        self._open: Store | None = reopen()

    async def read(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return await self._store().read(sql, parameters)

    async def ping(self) -> None:
        await self._store().ping()

    async def size(self) -> int:
        return await self._store().size()

    async def write(self, job: Callable[[Transaction], T]) -> T:
        return await self._store().write(job)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _store(self) -> Store:
        if self._switches.on("database_down"):
            # What waits to be written is finished: it was accepted before the loss.
            self.close()
            raise StoreUnavailableError("the switch `database_down` is on")
        if self._open is None:
            self._open = self._reopen()
        return self._open
