"""HttpUser: log-in at the start, weights, tags, nested and sequential task sets, grouping, checks by hand."""

import random

from locust import HttpUser, SequentialTaskSet, TaskSet, between, constant, events, tag, task
from locust.exception import RescheduleTask
from urllib3 import PoolManager

SEEN_BY_LISTENER = []


@events.request.add_listener
def remember(name, context, exception, **_rest):
    """A context is what the scenario put into it, and nothing else."""
    SEEN_BY_LISTENER.append(name)
    assert set(context) <= {"visitor"}, context
    if context:
        assert context["visitor"].startswith("visitor-")


class Catalogue(TaskSet):
    @task(5)
    def item(self):
        self.client.get(f"/item?id={random.randrange(100)}", name="/item")

    @task
    class Detail(TaskSet):
        @task(3)
        def picture(self):
            self.client.get("/picture")

        @task
        def back(self):
            self.interrupt()

    @task
    def leave(self):
        self.interrupt(reschedule=False)


class Checkout(SequentialTaskSet):
    @task
    def basket(self):
        self.client.put("/basket", json={"item": 1})

    @task
    def pay(self):
        with self.client.post("/pay", json={"amount": 3}, catch_response=True) as response:
            if response.json()["json"]["amount"] != 3:
                response.failure("the amount was changed")

    @task
    def done(self):
        self.interrupt()


class Shopper(HttpUser):
    wait_time = between(0.01, 0.05)
    weight = 3
    tasks = {Catalogue: 3, Checkout: 1}  # noqa: RUF012 as Locust's documentation writes it

    def on_start(self):
        self.client.post("/login", json={"username": "a", "password": "b"})
        assert self.client.cookies["session"] == "1"

    def on_stop(self):
        self.client.post("/logout")


class Reader(HttpUser):
    wait_time = constant(0.05)
    pool_manager = PoolManager(maxsize=4, block=True)

    def context(self):
        return {"visitor": f"visitor-{id(self)}"}

    @tag("pages")
    @task
    def blog(self):
        with self.client.rename_request("/blog?id=[id]"):
            for number in range(3):
                self.client.get(f"/blog?id={number}")
        self.client.request_name = "by attribute"
        self.client.get("/anything")
        self.client.request_name = None

    @tag("odd")
    @task
    def expected_absence(self):
        with self.client.get("/missing", catch_response=True) as response:
            if response.status_code == 404:
                response.success()

    @tag("odd")
    @task
    def again(self):
        with self.client.get("/again", catch_response=True) as response:
            response.success()
            raise RescheduleTask

    @tag("never")
    @task
    def excluded_by_its_tag(self):
        self.client.get("/never")
