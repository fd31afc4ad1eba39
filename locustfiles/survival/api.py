"""Authenticated use of the API: register once or be somebody who was registered, sign in, then read and write."""

from __future__ import annotations

import random
from typing import Any, Final

from locust import task

from locustfiles.survival.accounts import Account, Stored, waiting
from locustfiles.survival.surviving import SurvivalUser, is_old

COLOURS: Final = ("amber", "blue", "green", "red", "türkis", "白")
PAGE: Final = 10


class AuthenticatedApiUser(SurvivalUser):
    """What is read is compared with what was written; a ninth of all requests are writes and logins."""

    weight = 90
    checks = ("registration", "session", "profile", "notes")

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._account: Account | None = None

    @task(30)
    def read_profile(self) -> None:
        account = self._signed_in()
        if account is not None:
            self._read_profile(account)

    @task(3)
    def change_profile(self) -> None:
        account = self._signed_in()
        if account is None or account.stored is None:
            # What is there now is looked at first, so that an answer can be right or wrong.
            self.read_profile()
            return
        new = Stored(account.stored.version + 1, _random_profile())
        with self.client.put(
            f"/users/{account.id}/profile",
            name="PUT /users/:id/profile",
            json={"profile": new.profile, "if_version": account.stored.version},
            headers=account.headers,
            catch_response=True,
        ) as response:
            if response.status_code == 409 and account.perhaps:
                # By a write of ours of which nobody knew: the next look tells which.
                response.success()
        if response.status_code == 200:
            self.check_answer("profile", response, lambda answer: _stored(answer) == new)
            account.know(new)
        elif response.status_code != 409:
            account.perhaps.append(new)

    @task(12)
    def list_notes(self) -> None:
        account = self._signed_in()
        if account is not None:
            self._list_notes(account)

    @task(1)
    def add_note(self) -> None:
        account = self._signed_in()
        if account is None:
            return
        text = f"{random.choice(COLOURS)} {random.randint(0, 9999)}"
        response = self.client.post(
            f"/users/{account.id}/notes",
            name="POST /users/:id/notes",
            json={"text": text},
            headers=account.headers,
        )
        if self.check_answer("notes", response, lambda answer: answer["text"] == text and answer["id"] > 0):
            account.notes += 1
        else:
            account.notes_perhaps += 1

    @task(1)
    def move_on(self) -> None:
        """Be the next who has registered, where there is one, and else who we are."""
        if waiting:
            self._account = self._next() or self._account
        else:
            self.read_profile()

    def _signed_in(self) -> Account | None:
        """Our account; finds one where there is none, so that a failure costs a request, not a user."""
        if self._account is None:
            self._account = self._next()
        return self._account

    def _next(self) -> Account | None:
        who = waiting.popleft() if waiting else self.register()
        if who is None:
            return None
        account = self.sign_in(who)
        if account is None:
            # Another may have more luck.
            waiting.append(who)
            return None
        # What whoever opens the application is shown first.
        self._read_profile(account)
        self._list_notes(account)
        return account

    def _read_profile(self, account: Account) -> None:
        response = self.client.get(
            f"/users/{account.id}/profile", name="GET /users/:id/profile", headers=account.headers
        )
        old = is_old(response)
        right = self.check_answer(
            "profile", response, lambda answer: account.may_be(_stored(answer), old=old), account
        )
        if right and not old:
            account.know(_stored(response.json()))

    def _list_notes(self, account: Account) -> None:
        response = self.client.get(
            f"/users/{account.id}/notes?limit={PAGE}", name="GET /users/:id/notes", headers=account.headers
        )
        old = is_old(response)
        right = self.check_answer(
            "notes", response, lambda answer: _page_is_right(account, answer, old=old), account
        )
        if right and account.notes_before is None and not old:
            account.notes_before = response.json()["total"]
            account.notes = account.notes_perhaps = 0


def _stored(answer: Any) -> Stored:
    return Stored(answer["version"], answer["profile"])


def _page_is_right(account: Account, answer: Any, *, old: bool) -> bool:
    """From the newest, as many as there are or as were asked for."""
    ids = [item["id"] for item in answer["items"]]
    return (
        account.may_have_notes(answer["total"], old=old)
        and len(ids) == min(PAGE, answer["total"])
        and ids == sorted(set(ids), reverse=True)
    )


def _random_profile() -> dict[str, Any]:
    return {
        "colour": random.choice(COLOURS),
        "size": random.randint(0, 1_000_000),
        "news": random.random() < 0.5,
    }
