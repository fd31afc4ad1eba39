"""GET of a small file about once a minute; each user keeps its connection, from one of eight local addresses."""

import os

from locust import constant_pacing, task

from loadproof.client.user import LoadUser


class MinutelyLoadUser(LoadUser):
    wait_time = constant_pacing(float(os.environ.get("BENCH_PACE_S", "55")))
    # One address has 28,000 ports to one destination.
    source_addresses = tuple(f"127.0.0.{number}" for number in range(2, 10))

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
