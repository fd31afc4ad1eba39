"""GET of a small file every BENCH_PACE_S seconds; the users spread over them."""

import os
import random

import gevent
from locust import constant_pacing, task

from loadproof.client.user import LoadUser

PACE_S = float(os.environ["BENCH_PACE_S"])


class PacedLoadUser(LoadUser):
    wait_time = constant_pacing(PACE_S)

    def on_start(self) -> None:
        gevent.sleep(random.random() * PACE_S)

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
