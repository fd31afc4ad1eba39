"""Does every task of governance users once a round, without waiting: `governing.py SCENARIO URL ROUNDS USERS [RUN]`.

SCENARIO is a class with its module, such as `policies.PolicyGovernanceUser`, of another suite than governance with that
before it, such as `heavy_load.flows.WritingFlowUser`. A process of its own, because Locust
patches the one it is imported in. Prints one JSON object: for each request and check name how many succeeded and
failed, and the first failure's text.
"""

from __future__ import annotations

import importlib
import json
import random
import sys

from locust.env import Environment

from locustfiles.governance.constitution import HEADERS


def main(scenario: str, url: str, rounds: int, users: int, run: str | None = None) -> None:
    random.seed(7)
    if run is not None:
        HEADERS["Loadproof-Run"] = run  # what the client of a loadproof run does
    suite, module, name = f"governance.{scenario}".split(".")[-3:]
    kind = getattr(importlib.import_module(f"locustfiles.{suite}.{module}"), name)
    kind.host = url
    environment = Environment(user_classes=[kind])
    seen: dict[str, dict] = {}

    def record(request_type, name, exception, **_):
        entry = seen.setdefault(f"CHECK {name}" if request_type == "CHECK" else name, {"ok": 0, "failed": 0})
        entry["failed" if exception else "ok"] += 1
        if exception:
            entry.setdefault("text", str(exception))

    environment.events.request.add_listener(record)
    playing = [kind(environment) for _ in range(users)]
    for _ in range(rounds):
        for user in playing:
            # `tasks` has a task as often as its weight says.
            for task in dict.fromkeys(kind.tasks):
                task(user)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
