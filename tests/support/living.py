"""A user of the survival endpoints over real HTTP, and what the target says of its components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import wait_until

if TYPE_CHECKING:
    import httpx

PASSWORD = "correct horse"


@dataclass
class Living:
    """Who has registered and signed in."""

    client: httpx.Client
    id: int
    headers: dict[str, str]

    def read(self) -> httpx.Response:
        return self.client.get(f"/users/{self.id}/profile", headers=self.headers)

    def write(self, **profile) -> httpx.Response:
        return self.client.put(f"/users/{self.id}/profile", json={"profile": profile}, headers=self.headers)

    def note(self, text: str) -> httpx.Response:
        return self.client.post(f"/users/{self.id}/notes", json={"text": text}, headers=self.headers)

    def notes(self) -> httpx.Response:
        return self.client.get(f"/users/{self.id}/notes", headers=self.headers)


def sign_in(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/sessions", json={"name": name, "password": PASSWORD})


def born(client: httpx.Client, name: str) -> Living:
    made = client.post("/users", json={"name": name, "password": PASSWORD})
    assert made.status_code == 201, made.text
    token = sign_in(client, name).json()["token"]
    return Living(client, made.json()["id"], {"Authorization": f"Bearer {token}"})


def ailing(client: httpx.Client) -> set[str]:
    """The components that are not there."""
    found = client.get("/health").json()
    gone = {name for name, each in found["components"].items() if not each["ok"]}
    assert found["status"] == ("degraded" if gone else "ok")
    return gone


def await_ailing(client: httpx.Client, *names: str) -> None:
    wait_until(lambda: ailing(client) == set(names))
