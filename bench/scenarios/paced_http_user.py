"""GET of a small file every BENCH_PACE_S seconds; the users spread over them."""

import os
import random

import gevent
from locust import HttpUser, constant_pacing, task

PACE_S = float(os.environ["BENCH_PACE_S"])


class PacedHttpUser(HttpUser):
    wait_time = constant_pacing(PACE_S)

    def on_start(self) -> None:
        gevent.sleep(random.random() * PACE_S)

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
