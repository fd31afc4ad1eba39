"""POST of 1 KB JSON under a session cookie; two checks on the parsed answer; without a pause."""

from locust import constant, task
from order import ORDER

from loadproof.client.user import LoadUser


class PostLoadUser(LoadUser):
    wait_time = constant(0)
    checks = ("accepted", "total")

    def on_start(self) -> None:
        self.client.post("/login", name="POST /login")

    @task
    def order(self) -> None:
        answer = self.client.post("/orders", json=ORDER, name="POST /orders")
        self.check("accepted", lambda: answer.json()["order"]["status"] == "accepted", on=answer)
        self.check("total", lambda: answer.json()["order"]["total"] == 4430, on=answer)
