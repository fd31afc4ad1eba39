"""Very many users at once: each does something every few minutes, over a connection of its own that it then closes."""

from __future__ import annotations

import random
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from locust import between, task

from locustfiles.survival.surviving import SurvivalUser, is_old

if TYPE_CHECKING:
    from collections.abc import Mapping

    from locustfiles.survival.accounts import Account

MOST_ACCOUNTS: Final = 25
"""Of each process, shared by its users: a hundred thousand registrations would be a test of password digests."""


class PlanetaryUser(SurvivalUser):
    """A server keeps no connection for minutes, so this one asks it not to. With the plan's pace 100,000 make 500 requests/s."""

    weight = 1
    checks = ("registration", "session", "notes")
    wait_time = between(100, 300)
    default_headers: Mapping[str, str] | None = MappingProxyType({"Connection": "close"})
    accounts: ClassVar[list[Account]] = []
    wanted: ClassVar[int] = MOST_ACCOUNTS
    """How many accounts nobody has begun to make."""
    notes: ClassVar[dict[int, int]] = {}
    """How many notes each account has at least."""

    @task(6)
    def read_profile(self) -> None:
        account = self._account()
        if account is not None:
            path = f"/users/{account.id}/profile"
            self.client.get(path, name="GET /users/:id/profile", headers=account.headers)

    @task(3)
    def list_notes(self) -> None:
        account = self._account()
        if account is None:
            return
        path = f"/users/{account.id}/notes?limit=5"
        least = self.notes.get(account.id, 0)
        response = self.client.get(path, name="GET /users/:id/notes", headers=account.headers)
        old = is_old(response)
        self.check_answer("notes", response, lambda answer: old or answer["total"] >= least)

    @task(1)
    def add_note(self) -> None:
        account = self._account()
        if account is None:
            return
        path = f"/users/{account.id}/notes"
        note = {"text": f"note {random.randint(0, 9999)}"}
        response = self.client.post(path, name="POST /users/:id/notes", json=note, headers=account.headers)
        if self.check_answer("notes", response, lambda answer: answer["text"] == note["text"]):
            self.notes[account.id] = self.notes.get(account.id, 0) + 1

    def _account(self) -> Account | None:
        """One of the process's; the first who come make them."""
        if PlanetaryUser.wanted:
            PlanetaryUser.wanted -= 1
            who = self.register()
            account = None if who is None else self.sign_in(who)
            if account is not None:
                self.accounts.append(account)
                return account
            PlanetaryUser.wanted += 1
        return random.choice(self.accounts) if self.accounts else None
