"""One GET of a small file, and then the connection is only kept; over TLS, with BENCH_CA_BUNDLE, a trusted one."""

import os

from locust import HttpUser, constant, task

BUNDLE = os.environ.get("BENCH_CA_BUNDLE")


class IdleHttpUser(HttpUser):
    wait_time = constant(3_600)

    def on_start(self) -> None:
        self.client.verify = BUNDLE or False

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
