"""Users that leave: one ends itself, a Markov chain walks on, and one ends the whole test."""

from locust import HttpUser, MarkovTaskSet, constant, task, transition, transitions
from locust.exception import StopUser


class Walk(MarkovTaskSet):
    @transition("second")
    def first(self):
        self.client.get("/first")

    @transitions({"first": 1, "second": 2})
    def second(self):
        self.client.get("/second")


class Walker(HttpUser):
    wait_time = constant(0.05)
    tasks = [Walk]  # noqa: RUF012 as Locust's documentation writes it


class Guest(HttpUser):
    wait_time = constant(0.05)

    @task
    def once(self):
        self.client.get("/once")
        raise StopUser


class Ender(HttpUser):
    fixed_count = 1
    wait_time = constant(0.1)
    left = 10

    @task
    def count_down(self):
        self.client.get("/last")
        self.left -= 1
        if not self.left:
            self.environment.runner.quit()
