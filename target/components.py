"""The components of the survival service: what becomes of requests when one is gone, and how one is made to go.

Each has a policy, declared here and served by `GET /health`: `open` requests go on without it, `closed` ones are
refused rather than answered wrongly. The switches take components away for real: files are moved, a process is
killed, memory is taken, what is stored is overwritten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from target.activity import Activity
from target.configuration import Configuration
from target.front import Front
from target.memory import Memory
from target.passwords import Passwords
from target.store import StoreUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from target.accounts import Accounts
    from target.cache import Cache
    from target.switches import Switches

LOOK_S: Final = 0.1
"""So long after a switch at the latest its component is gone, or back."""
Policy = Literal["open", "closed"]
logger = logging.getLogger(__name__)


class WhenGone(Struct, frozen=True):
    """What becomes of requests by their sort."""

    reads: Policy
    writes: Policy
    logins: Policy
    """Registrations too."""


POLICIES: Final = {
    "database": WhenGone("open", "closed", "closed"),
    "gateway": WhenGone("open", "closed", "closed"),
    "memory": WhenGone("open", "closed", "closed"),
    "passwords": WhenGone("open", "open", "closed"),
    "profiles": WhenGone("open", "open", "open"),
    "storage": WhenGone("open", "open", "open"),
    "configuration": WhenGone("open", "open", "open"),
}


class ComponentState(Struct, frozen=True):
    ok: bool
    detail: str
    """Of the server process that answers."""
    when_gone: WhenGone


class Components:
    """Those of one server process; files are shared with its siblings."""

    def __init__(self, folder: Path, switches: Switches, cache: Cache, accounts: Accounts) -> None:
        self._switches = switches
        self.accounts = accounts
        self._storage = folder / "storage"
        self._settings = folder / "service.json"
        with contextlib.suppress(FileExistsError):
            self._storage.mkdir()
        self.memory = Memory()
        self.front = Front(switches, cache, self.memory)
        self.passwords = Passwords()
        self.activity = Activity(self._storage / f"activity-{os.getpid()}.log")
        self.configuration = Configuration(self._settings)
        self._damaged = False

    async def keep(self) -> None:
        """For ever: make the components be as the switches say."""
        while True:
            try:
                await self.look()
            except Exception:
                logger.exception("the components could not be looked after")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        on = self._switches.on
        self.memory.look(pressed=on("memory_pressure"))
        self.passwords.crash(crashing=on("component_crash"))
        _hide(self._storage, hidden=on("storage_down"))
        _hide(self._settings, hidden=on("config_missing"))
        self.configuration.current()
        if self.activity.error:
            self.activity.flush()
        if on("state_corruption") != self._damaged:
            with contextlib.suppress(StoreUnavailableError):
                await (self.accounts.restore() if self._damaged else self.accounts.damage())
                self._damaged = not self._damaged

    def states(self) -> dict[str, ComponentState]:
        lost = self._switches.on("database_down")
        activity, memory = self.activity, self.memory
        unwritten = activity.error or ("" if self._storage.is_dir() else "No such file or directory")
        found = {
            "database": (not lost, "closed" if lost else "open"),
            "gateway": (
                not self.front.waiting,
                "the backend does not answer" if self.front.waiting else "the backend answers",
            ),
            "memory": (not memory.shedding, f"{memory.resident_bytes} bytes resident"),
            "passwords": (not self.passwords.crashing, self.passwords.state),
            "profiles": (not self._damaged, "served from their second copies" if self._damaged else "whole"),
            "storage": (
                not unwritten,
                f"{unwritten or 'ok'}: {activity.written} lines written, {activity.waiting} waiting, {activity.lost} lost",
            ),
            "configuration": (not self.configuration.error, self.configuration.error or "as in its file"),
        }
        return {name: ComponentState(ok, detail, POLICIES[name]) for name, (ok, detail) in found.items()}


def _hide(path: Path, *, hidden: bool) -> None:
    """Move it away, or back; whichever process is first does it."""
    away = path.with_name(f"{path.name}.lost")
    with contextlib.suppress(OSError):
        if hidden:
            path.rename(away)
        elif away.exists():
            away.rename(path)
