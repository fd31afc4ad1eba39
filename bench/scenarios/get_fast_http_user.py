"""GET of a small file, without a pause."""

from locust import FastHttpUser, constant, task


class GetFastHttpUser(FastHttpUser):
    wait_time = constant(0)
    insecure = True

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
