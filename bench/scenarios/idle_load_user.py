"""One GET of a small file, and then the connection is only kept."""

from locust import constant, task

from loadproof.client.user import LoadUser


class IdleLoadUser(LoadUser):
    wait_time = constant(3_600)
    insecure = True

    @task
    def small(self) -> None:
        self.client.get("/small", name="GET /small")
