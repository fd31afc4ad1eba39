"""Registration: new users one after the other, passed on to those who use the API."""

from __future__ import annotations

from typing import Any, Final

from locust import between, task

from locustfiles.survival.accounts import Registered, fresh_login, waiting
from locustfiles.survival.surviving import SurvivalUser

AGAIN_EACH: Final = 20
"""Turns of a user to one that asks for a name that is taken."""


class RegistrationUser(SurvivalUser):
    """100 of these register 6,000 users in the seven and a half minutes that the plan `survival` leaves whole."""

    weight = 10
    checks = ("registration", "unique_names")
    wait_time = between(6, 9)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._latest: Registered | None = None
        self._turns = 0

    @task
    def create(self) -> None:
        """Register, and ask for the name again at the second turn, so that a short run checks it too."""
        self._turns += 1
        if self._turns % AGAIN_EACH == 2 and self._latest is not None:
            self._ask_again(self._latest)
            return
        made = self.register()
        if made is not None:
            self._latest = made
            waiting.append(made)

    def _ask_again(self, who: Registered) -> None:
        """Ask for a name that somebody has; to be refused is to succeed."""
        login = {**fresh_login(), "name": who.name}
        with self.client.post(
            "/users", name="POST /users (taken)", json=login, catch_response=True
        ) as response:
            given = response.status_code == 201
            if response.status_code == 409:
                response.success()
            elif given:
                response.failure("a name was given twice")
        if given or response.status_code == 409:
            self.check("unique_names", not given)
