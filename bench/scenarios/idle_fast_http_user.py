"""One GET of a small file, and then the connection is only kept."""

from locust import FastHttpUser, constant, task


class IdleFastHttpUser(FastHttpUser):
    wait_time = constant(3_600)
    insecure = True

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
