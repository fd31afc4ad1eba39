"""The shape for stock Locust that a plan says with phases: one user for some seconds, then all of them."""

import os

from locust import LoadTestShape


class OneThenAll(LoadTestShape):
    alone_s = float(os.environ.get("BENCH_ALONE_S", "4"))
    users = int(os.environ.get("BENCH_USERS", "1000"))
    spawn_rate = float(os.environ.get("BENCH_SPAWN_RATE", "1000"))

    def tick(self) -> tuple[int, float]:
        if self.get_run_time() < self.alone_s:
            return 1, 1
        return self.users, self.spawn_rate
