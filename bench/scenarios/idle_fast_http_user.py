"""One GET of a small file, and then the connection is only kept; over TLS, with BENCH_CA_BUNDLE, a trusted one."""

import os

import gevent.ssl
from locust import FastHttpUser, constant, task

BUNDLE = os.environ.get("BENCH_CA_BUNDLE")


class IdleFastHttpUser(FastHttpUser):
    wait_time = constant(3_600)
    insecure = BUNDLE is None
    if BUNDLE is not None:
        ssl_context_factory = staticmethod(lambda **_: gevent.ssl.create_default_context(cafile=BUNDLE))

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
