"""Registration: new users one after the other, passed on to those who use the API."""

from __future__ import annotations

from typing import Any

from locust import between, task

from locustfiles.survival.accounts import Registered, fresh_login, waiting
from locustfiles.survival.surviving import SurvivalUser


class RegistrationUser(SurvivalUser):
    """100 of these register 6,000 users in the seven and a half minutes that the plan `survival` leaves whole."""

    weight = 10
    checks = ("registration", "unique_names")
    wait_time = between(6, 9)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._latest: Registered | None = None

    @task(20)
    def create(self) -> None:
        made = self.register()
        if made is not None:
            self._latest = made
            waiting.append(made)

    @task(1)
    def create_again(self) -> None:
        """Ask for a name that we have; to be refused is to succeed."""
        if self._latest is None:
            self.create()
            return
        login = {**fresh_login(), "name": self._latest.name}
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
