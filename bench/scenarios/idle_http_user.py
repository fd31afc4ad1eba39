"""One GET of a small file, and then the connection is only kept."""

from locust import HttpUser, constant, task


class IdleHttpUser(HttpUser):
    wait_time = constant(3_600)

    def on_start(self) -> None:
        self.client.verify = False

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
