"""What every user of the survival suite does: register, sign in, and tell an answer that was made without a component."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from locust import between

from loadproof.client.user import LoadUser
from locustfiles.survival.accounts import Account, Registered, fresh_login

if TYPE_CHECKING:
    from collections.abc import Callable

DEGRADED: Final = "Degraded"
_TOKEN: Final = re.compile(r'"token"\s*:\s*"[^"]*"?')


class SurvivalUser(LoadUser):
    """Subclasses declare the checks `registration` and `session` where they use these methods."""

    abstract = True
    # Longer than the network may be away: whoever waits is answered when it is back.
    network_timeout = 75.0
    connection_timeout = 75.0
    # A request each 1.5 s and its answer's time: 1,000 users make about 650 requests/s.
    wait_time = between(0.5, 2.5)

    def register(self) -> Registered | None:
        """A new user of the system; None where it was refused."""
        login = fresh_login()
        response = self.client.post("/users", name="POST /users", json=login)
        right = self.check_answer(
            "registration", response, lambda answer: answer["name"] == login["name"] and answer["id"] > 0
        )
        return Registered(response.json()["id"], **login) if right else None

    def sign_in(self, who: Registered) -> Account | None:
        """Be somebody who has registered; None where it was refused."""
        login = {"name": who.name, "password": who.password}
        response = self.client.post("/sessions", name="POST /sessions", json=login)
        if not self.check_answer(
            "session", response, lambda answer: answer["user"] == who.id and answer["expires_in_s"] > 0
        ):
            return None
        return Account(who.id, {"Authorization": f"Bearer {response.json()['token']}"})

    def check_answer(
        self, name: str, response: Any, right: Callable[[Any], bool], expected: object = None
    ) -> bool:
        """The check `name` of an answer's JSON; False where the request failed.

        A failed request is no skipped check: many must fail here, and rules of their own judge how many do.
        """
        if not response.ok:
            return False
        return self.check(
            name,
            lambda: right(response.json()),
            detail=lambda: f"{'' if expected is None else f'expected {expected}, '}got {shown(response)}",
        )


def is_old(response: Any) -> bool:
    """Whether the target says that it tells what it knew last."""
    return DEGRADED in (response.headers or {})


def shown(response: Any) -> str:
    """The beginning of an answer, as evidence; a token in it stays secret."""
    return _TOKEN.sub('"token":"(secret)"', str(response.text))[:500]
