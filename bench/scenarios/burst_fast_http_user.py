"""GET of a small file at every full second, all users in the same instant."""

import time

from locust import FastHttpUser, task


class BurstFastHttpUser(FastHttpUser):
    def wait_time(self) -> float:
        return 1 - time.time() % 1

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
