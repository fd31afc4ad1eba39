"""Runs tasks of `PolicyGovernanceUser` once each, without waiting: `governing.py URL ROUNDS [RUN]`.

A process of its own, because Locust patches the one it is imported in. Prints one JSON object: for each request
and check name how many succeeded and failed, and the first failure's text.
"""

from __future__ import annotations

import json
import random
import sys

from locust.env import Environment

from locustfiles.governance.constitution import HEADERS
from locustfiles.governance.policies import PolicyGovernanceUser

TASKS = ("create", "read", "update", "page", "decide", "read")


def main(url: str, rounds: int, run: str | None = None) -> None:
    random.seed(7)
    if run is not None:
        HEADERS["Loadproof-Run"] = run  # what the client of a loadproof run does
    PolicyGovernanceUser.host = url
    environment = Environment(user_classes=[PolicyGovernanceUser])
    seen: dict[str, dict] = {}

    def record(request_type, name, exception, **_):
        entry = seen.setdefault(f"CHECK {name}" if request_type == "CHECK" else name, {"ok": 0, "failed": 0})
        entry["failed" if exception else "ok"] += 1
        if exception:
            entry.setdefault("text", str(exception))

    environment.events.request.add_listener(record)
    user = PolicyGovernanceUser(environment)
    for _ in range(rounds):
        for task in TASKS:
            getattr(user, task)()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
