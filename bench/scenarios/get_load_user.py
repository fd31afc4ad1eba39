"""GET of a small file, without a pause."""

from locust import constant, task

from loadproof.client.user import LoadUser


class GetLoadUser(LoadUser):
    wait_time = constant(0)
    insecure = True

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
