"""One GET of a small file, and then the connection is only kept; over TLS, with BENCH_CA_BUNDLE, a trusted one."""

import os

from locust import constant, task

from loadproof.client.user import LoadUser

BUNDLE = os.environ.get("BENCH_CA_BUNDLE")


class IdleLoadUser(LoadUser):
    wait_time = constant(3_600)
    insecure = BUNDLE is None
    authorities = BUNDLE

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
