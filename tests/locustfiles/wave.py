"""A load shape, with a host on the class: neither needs a flag."""

import os

from locust import HttpUser, LoadTestShape, constant, task


class Swimmer(HttpUser):
    host = os.environ.get("API_HOST")
    wait_time = constant(0.1)

    @task
    def swim(self):
        self.client.get("/swim")


class Wave(LoadTestShape):
    stages = ((1, 2, 2), (3, 6, 2), (4, 5, 10))

    def tick(self):
        for until, users, spawn_rate in self.stages:
            if self.get_run_time() < until:
                return users, spawn_rate
        return None
