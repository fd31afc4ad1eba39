"""POST of 1 KB JSON under a session cookie; two checks on the parsed answer; without a pause."""

from locust import FastHttpUser, constant, task
from order import ORDER


class PostFastHttpUser(FastHttpUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.client.post("/login", name="POST /login")

    @task
    def order(self) -> None:
        with self.client.post("/orders", json=ORDER, name="POST /orders", catch_response=True) as answer:
            order = answer.json()["order"]
            if order["status"] != "accepted":
                answer.failure("not accepted")
            elif order["total"] != 4430:
                answer.failure("wrong total")
