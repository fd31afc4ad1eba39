"""Writers: each has one writing flow in progress at a time, so that users are concurrent operations."""

from __future__ import annotations

import hashlib
import random
from typing import Any, Final

from locust import task

from loadproof.client.user import LoadUser

TOPICS: Final = ("bridges", "gardens", "harbours", "letters", "orchards", "railways", "rivers", "winters")
HEALTH: Final = {"status": "ok"}
BACK_OFF_S: Final = 0.1
"""After a failure that does not say when to come again: a dead target is not asked in a tight loop."""
MOST_PAUSE_S: Final = 60.0


class WritingFlowUser(LoadUser):
    """Has a text written, reads all of it, and has the next one written at once; comes again when it is told to."""

    weight = 19
    expected_health = HEALTH
    checks = ("draft", "refusal")
    metrics = ("reduced_quality",)
    heeds_refusals = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._pause_s = 0.0

    def wait_time(self) -> float:
        pause_s, self._pause_s = self._pause_s, 0.0
        return pause_s

    @task
    def write(self) -> None:
        topic = f"{random.choice(TOPICS)} {random.randint(1, 9999)}"
        words = random.randint(300, 700)
        response = self.client.post(
            "/writing/flows", name="POST /writing/flows", json={"topic": topic, "words": words}
        )
        if response.status_code == 201:
            self.check(
                "draft",
                lambda: _is_the_draft(response.json(), topic, words),
                detail=lambda: f"{words} words on {topic!r} were asked for, got {response.text[:300]}",
            )
            self.metric("reduced_quality", response.json()["quality"] == "reduced")
            return
        self._pause_s = BACK_OFF_S
        if response.status_code == 503:
            wait = str((response.headers or {}).get("Retry-After", ""))
            # The answer is an error, and is looked at although it is one.
            told = self.check(
                "refusal",
                wait.isdigit(),
                detail=lambda: f"503 with Retry-After {wait!r}: {response.text[:300]}",
            )
            if told and self.heeds_refusals:
                self._pause_s = min(float(wait), MOST_PAUSE_S)


class ImpatientWritingUser(WritingFlowUser):
    """Comes again at once, whatever a refusal says: it shows where capacity ends."""

    weight = 1
    heeds_refusals = False


def _is_the_draft(answer: dict[str, Any], topic: str, words: int) -> bool:
    draft = answer["draft"]
    return bool(
        answer["topic"] == topic
        and answer["words"] == words == len(draft.split())
        and answer["digest"] == hashlib.sha256(draft.encode()).hexdigest()
    )
