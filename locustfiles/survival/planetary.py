"""Very many users at once: each does something every two minutes, over a connection of its own that it then closes."""

from __future__ import annotations

import random
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from locust import between, task

from locustfiles.survival.surviving import SurvivalUser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from locustfiles.survival.accounts import Account

MOST_ACCOUNTS: Final = 100
"""Of each process, shared by its users: a hundred thousand registrations would be a test of password digests."""


class PlanetaryUser(SurvivalUser):
    """A server keeps no connection for two minutes, so this one asks it not to; 100,000 make 830 requests/s."""

    weight = 1
    checks = ("registration", "session", "notes")
    wait_time = between(60, 180)
    default_headers: Mapping[str, str] | None = MappingProxyType({"Connection": "close"})
    accounts: ClassVar[list[Account]] = []
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
        self.check_answer("notes", response, lambda answer: answer["total"] >= least)

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
        """One of the process's; makes another as long as there are few."""
        if len(self.accounts) < MOST_ACCOUNTS and (who := self.register()) is not None:
            account = self.sign_in(who)
            if account is not None:
                self.accounts.append(account)
                return account
        return random.choice(self.accounts) if self.accounts else None
