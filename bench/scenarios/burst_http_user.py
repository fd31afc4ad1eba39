"""GET of a small file at every full second, all users in the same instant."""

import time

from locust import HttpUser, task


class BurstHttpUser(HttpUser):
    def wait_time(self) -> float:
        return 1 - time.time() % 1

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
