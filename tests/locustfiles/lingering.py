"""Users that hang when the run ends: in a greenlet of their own, and in what they do last."""

import socket

import gevent
from locust import constant, task

from loadproof.client.user import LoadUser

HOLE = socket.create_server(("127.0.0.1", 0))
NOWHERE = f"http://127.0.0.1:{HOLE.getsockname()[1]}"


class Parallel(LoadUser):
    wait_time = constant(0.2)

    @task
    def two_at_once(self):
        gevent.spawn(self.client.get, f"{NOWHERE}/parallel", name="/parallel")
        self.client.get("/item")


class Leaver(LoadUser):
    wait_time = constant(0.2)

    @task
    def look(self):
        self.client.get("/item")

    def on_stop(self):
        self.client.get(f"{NOWHERE}/last", name="/last")
