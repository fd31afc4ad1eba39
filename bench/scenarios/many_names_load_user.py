"""GETs of a small file under twenty names, as a service of twenty endpoints has them."""

import random

from locust import task

from loadproof.client.user import LoadUser

NAMES = [f"GET /small/{number}" for number in range(20)]


class ManyNamesLoadUser(LoadUser):
    @task
    def small(self) -> None:
        self.client.get("/small", name=random.choice(NAMES))
