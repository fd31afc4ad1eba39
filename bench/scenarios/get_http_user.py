"""GET of a small file, without a pause."""

from locust import HttpUser, constant, task


class GetHttpUser(HttpUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.client.verify = False

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
