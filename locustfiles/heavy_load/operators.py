"""Operators: look at the writing service, and let go what it keeps."""

from __future__ import annotations

from typing import Any

from locust import constant, task

from loadproof.client.user import LoadUser
from locustfiles.heavy_load.flows import HEALTH


class OperatorUser(LoadUser):
    """The service never does more at once than it says, and what is cleaned up is really gone a second later."""

    weight = 1
    expected_health = HEALTH
    checks = ("bounded", "cleanup")
    metrics = ("concurrent_operations", "circuit_open", "draft_bytes")
    wait_time = constant(1)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._gone_by_now: int | None = None
        """How many drafts must have been let go by the next look."""
        self._keeps_too_many = False

    @task(4)
    def look(self) -> dict[str, Any] | None:
        """The state as it is now; None where it was not told."""
        response = self.client.get("/writing/state", name="GET /writing/state")
        expected, self._gone_by_now = self._gone_by_now, None
        bounded = self.check(
            "bounded",
            lambda: self._is_bounded(response.json()),
            on=response,
            detail=lambda: str(response.text),
        )
        if not bounded:
            return None
        state: dict[str, Any] = response.json()
        capacity, drafts = state["capacity"], state["drafts"]
        self.metric("concurrent_operations", capacity["running"] + capacity["waiting"])
        self.metric("circuit_open", state["circuit"] != "closed")
        self.metric("draft_bytes", drafts["kept_bytes"])
        if expected is not None:
            self.check(
                "cleanup",
                drafts["let_go"] >= expected,
                detail=lambda: f"{expected} drafts had to be gone: {drafts}",
            )
        return state

    @task(1)
    def clean_up(self) -> None:
        """Unless all drafts are to be kept."""
        state = self.look()
        if state is None or state["drafts"]["most_kept"] is None:
            return
        response = self.client.delete("/writing/drafts", name="DELETE /writing/drafts")
        if response.status_code == 200:
            self._gone_by_now = state["drafts"]["let_go"] + response.json()["drafts"]

    def _is_bounded(self, state: dict[str, Any]) -> bool:
        """Too many drafts at two looks in a row, as processes let go a moment after they are told to."""
        capacity, drafts = state["capacity"], state["drafts"]
        kept_too_many = self._keeps_too_many
        self._keeps_too_many = drafts["most_kept"] is not None and drafts["kept"] > drafts["most_kept"]
        return bool(
            capacity["running"] <= capacity["most_running"]
            and capacity["waiting"] <= capacity["most_waiting"]
            and not (kept_too_many and self._keeps_too_many)
        )
