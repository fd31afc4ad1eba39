"""Workers of stock Locust without users, many in one process: Locust's own link and messages, made-up statistics.

Started by `bench/master.py`; says over and over, as JSON, what its workers have sent and heard.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any, Final, NoReturn

import gevent
from gevent.event import Event
from locust import __version__
from locust.rpc import Message, zmqrpc
from locust.runners import HEARTBEAT_INTERVAL, WORKER_REPORT_INTERVAL
from locust.stats import RequestStats
from made_intervals import SERIES, latencies_us

VARIETY: Final = 20
"""Different reports that are taken in turn: making one takes longer than sending it."""
EVERY_S: Final = int(WORKER_REPORT_INTERVAL)
TELL_S: Final = 0.2


class MadeReports:
    """Of a worker with `requests` to each endpoint in each second."""

    def __init__(self, requests: int, seed: int) -> None:
        self._requests = requests
        self._chance = random.Random(seed)
        self._reports = [self._one() for _ in range(VARIETY)]

    def at(self, now: float, users: dict[str, int]) -> dict[str, Any]:
        """The report of the seconds before `now`."""
        report = self._chance.choice(self._reports)
        ended = int(now)
        for entry in [*report["stats"], report["stats_total"]]:
            each = entry["num_requests"] // EVERY_S
            entry["num_reqs_per_sec"] = {ended - back: each for back in range(EVERY_S)}
            entry["start_time"], entry["last_request_timestamp"] = now - EVERY_S, now
        return {**report, "user_classes_count": users, "user_count": sum(users.values())}

    def _one(self) -> dict[str, Any]:
        statistics = RequestStats()
        for number in range(SERIES):
            for latency_us in latencies_us(self._chance, EVERY_S * self._requests):
                statistics.log_request("GET", f"/endpoints/{number}/:id", latency_us / 1_000, 400)
        return {
            "stats": statistics.serialize_stats(),
            "stats_total": statistics.total.get_stripped_report(),
            "errors": {},
        }


class SimulatedStockWorker:
    """One worker: its own connection, and the messages of a real one."""

    def __init__(self, port: int, name: str, made: MadeReports) -> None:
        self.name = name
        self._made = made
        self._client = zmqrpc.Client("127.0.0.1", port, name)
        self._users: dict[str, int] = {}
        self._left = Event()
        self.sent = self.heard = self.reports = 0

    def work(self) -> None:
        """Until the master lets it go."""
        self._say("client_ready", __version__)
        gevent.spawn(self._beat)
        while not self._left.is_set():
            message = self._client.recv()
            self.heard += len(message.serialize())
            match message.type:
                case "spawn":
                    if not self._users:
                        gevent.spawn(self._report)
                    self._users = message.data["user_classes_count"]
                    told = {"user_classes_count": self._users, "user_count": sum(self._users.values())}
                    self._say("spawning", None)
                    self._say("spawning_complete", told)
                case "stop" | "quit":
                    self._left.set()
        self._say("client_stopped", None)
        self._client.close(linger=1_000)

    def _report(self) -> None:
        # As those of real workers, who were started one after the other, reports do not come all at once.
        gevent.sleep(random.uniform(0, EVERY_S))
        while not self._left.wait(timeout=EVERY_S):
            self._say("stats", self._made.at(time.time(), self._users))
            self.reports += 1

    def _beat(self) -> None:
        while not self._left.wait(timeout=HEARTBEAT_INTERVAL):
            state = "running" if self._users else "ready"
            beat = {"state": state, "current_cpu_usage": 30.0, "current_memory_usage": 100_000_000}
            self._say("heartbeat", beat)

    def _say(self, kind: str, data: Any) -> None:
        said = Message(kind, data, self.name)
        self.sent += len(said.serialize())
        self._client.send(said)


def tell(workers: list[SimulatedStockWorker]) -> None:
    """What all of them have done so far, in a line."""
    told = {what: sum(getattr(worker, what) for worker in workers) for what in ("sent", "heard", "reports")}
    print(json.dumps(told), flush=True)


def tell_on(workers: list[SimulatedStockWorker]) -> NoReturn:
    while True:
        tell(workers)
        gevent.sleep(TELL_S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True, help="to each endpoint in each second")
    parser.add_argument("workers", nargs="+")
    arguments = parser.parse_args()
    made = MadeReports(arguments.requests, 1)
    workers = [SimulatedStockWorker(arguments.port, name, made) for name in arguments.workers]
    gevent.spawn(tell_on, workers)
    gevent.joinall([gevent.spawn(worker.work) for worker in workers], raise_error=True)
    tell(workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
