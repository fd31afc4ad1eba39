"""FastHttpUser: `rest`, a common base class, parallel requests in one task, pacing, options, streams."""

from contextlib import contextmanager

import gevent
from locust import FastHttpUser, HttpUser, constant_pacing, constant_throughput, task
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession


class Api(FastHttpUser):
    abstract = True

    @contextmanager
    def rest(self, method, url, **options):
        with super().rest(method, url, headers={"X-Own": "1"}, **options) as answer:
            if answer.js and answer.js.get("fault"):
                answer.failure(answer.js["fault"])
            yield answer


class Client(Api):
    wait_time = constant_pacing(0.1)
    network_timeout = 5.0
    max_redirects = 2

    @task
    def create(self):
        with self.rest("POST", "/things", json={"thing": 1}) as answer:
            assert answer.js["json"]["thing"] == 1

    @task
    def wrong(self):
        with self.rest("POST", "/judged", json={"thing": 1}) as answer:
            assert answer.js["json"]["thing"] == 2, "another thing was expected"


class Page(FastHttpUser):
    wait_time = constant_throughput(20)
    concurrency = 5

    @task
    def with_resources(self):
        self.client.get("/page")
        pool = gevent.pool.Pool(3)
        for resource in ("/style.css", "/code.js", "/logo.png"):
            pool.spawn(self.client.get, resource)
        pool.join()

    @task
    def every_method(self):
        self.client.options("/api", name="/api")
        self.client.head("/api", name="/api")
        self.client.patch("/api", json={}, name="/api")
        self.client.delete("/api", name="/api")

    @task
    def whole_url(self):
        self.client.get(f"{self.host}/absolute", name="absolute", headers={"Accept": "text/html"})

    @task
    def new_connection(self):
        self.client.client.clientpool.close()
        self.client.get("/fresh")


class TwoSessions(HttpUser):
    fixed_count = 1
    wait_time = constant_pacing(0.1)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.other = HttpSession(base_url=self.host, request_event=self.environment.events.request, user=self)
        self.fast = FastHttpSession(self.host, self.environment.events.request, self, client_pool=None)

    @task
    def both(self):
        self.other.get("/other")
        self.fast.get("/fast")
