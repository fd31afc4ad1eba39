"""Workers without users, many in one process: real keys, link, messages and journals, made-up intervals.

Started by `bench/master.py`; says over and over, as JSON, what its workers have sent and heard.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
import locust
from gevent.event import AsyncResult, Event
from locust.rpc import Message
from made_intervals import SERIES, MadeIntervals

from distributed import messages
from distributed.clock import RunClock
from distributed.joining import connect, exchange_clocks, fetch_orders, plan_of
from distributed.lease import lease_clock_ns
from distributed.limits import limits_us
from distributed.link.keys import read_worker_keys, worker_key
from distributed.link.sockets import Client
from distributed.placement import Seat
from distributed.replication import Sender
from distributed.suite import load_suite
from distributed.worker_process import raise_file_limit
from loadproof.measure.interval import Header
from loadproof.measure.journal import JournalWriter, journal_name
from loadproof.measure.wire import FORMAT_VERSION

if TYPE_CHECKING:
    import msgspec

    from loadproof.plan.model import Plan

RESEND_S: Final = 2.0
TELL_S: Final = 0.2


class SimulatedWorker:
    """One worker: its own connection and key, and the messages of a real one."""

    def __init__(self, port: int, keys: Path, worker: str, folder: Path, requests: int) -> None:
        self._requests = requests
        self.seat = Seat(worker, worker.rpartition("-")[0])
        self.folder = folder
        self.client = Client(
            "127.0.0.1", port, read_worker_keys(worker_key(keys, worker), keys / "master.pub")
        )
        self.begin: AsyncResult[messages.Begin] = AsyncResult()
        self.epoch: AsyncResult[int] = AsyncResult()
        self.revision = 0
        self.left = Event()
        self.sender: Sender | None = None
        self.sent = self.heard = self.intervals = 0

    @property
    def acknowledged(self) -> int:
        """Records that stand on the master."""
        return 0 if self.sender is None else self.sender.acknowledged

    def join(self, suite_sha256: str) -> messages.Orders:
        connect(self.client)
        orders = fetch_orders(self.client, self.seat)
        exchange_clocks(self.client, self.seat)
        hello = messages.Hello(
            protocol=messages.PROTOCOL,
            worker=self.seat.worker,
            region=self.seat.region,
            life=secrets.token_hex(8),
            connection=self.client.connections,
            pid=1,
            suite_sha256=suite_sha256,
            plan_sha256=orders.plan_sha256,
            version=locust.__version__,
        )
        self._say(messages.HELLO, hello)
        gevent.spawn(self._listen)
        gevent.spawn(self._beat)
        return orders

    def load(self, plan: Plan, seed: int) -> None:
        """From the master's word to begin until it lets us go."""
        limits = limits_us(plan)
        made = MadeIntervals(self._requests, seed, limits, plan.load[0].name)
        begin = self.begin.get()
        clock = RunClock(begin.start_ns)
        epoch = self.epoch.get()
        path = self.folder / journal_name(self.seat.worker, epoch)
        header = Header(FORMAT_VERSION, begin.run, self.seat.worker, self.seat.region, epoch, limits)
        journal = JournalWriter(path, header)
        self.sender = Sender(path, epoch)
        self._wrote(journal.header_record)
        for second in range(plan.duration_us // 1_000_000):
            gevent.sleep(clock.seconds_until((second + 1) * 1_000_000))
            self._wrote(journal.append(made.at(second)))
            self.intervals += 1
        answered = self.intervals * SERIES * self._requests
        self._wrote(journal.finish(started=answered, ok=answered, failed=0, unfinished=0))
        while not self.left.wait(timeout=RESEND_S):
            if not self.sender.done:
                self.sender.retry()
                self._send_records()
        journal.close()
        self.client.close()

    def _wrote(self, record: bytes) -> None:
        assert self.sender is not None
        self.sender.wrote(record)
        self._send_records()

    def _send_records(self) -> None:
        assert self.sender is not None
        for record in self.sender.next_records():
            self._say(messages.RECORD, record)

    def _listen(self) -> None:
        while not self.left.is_set():
            message = self.client.recv()
            self.heard += len(message.serialize())
            match message.type:
                case messages.WELCOME:
                    self.epoch.set(messages.read(message.data, messages.Welcome).epoch)
                case messages.BEGIN:
                    begin = messages.read(message.data, messages.Begin)
                    self.revision = begin.revision
                    self.begin.set(begin)
                case messages.RECEIVED if self.sender is not None:
                    self.sender.received(messages.read(message.data, messages.Received))
                    self._send_records()
                case messages.REFUSED | messages.QUIT:
                    self.left.set()

    def _beat(self) -> None:
        while not self.left.wait(timeout=1):
            beat = messages.Heartbeat(
                "running", lease_clock_ns(), self.revision, False, 0, 20, 30.0, 100_000_000
            )
            self._say(messages.HEARTBEAT, beat)
            self._say(messages.CLOCK, messages.Clock(1))

    def _say(self, kind: str, message: msgspec.Struct) -> None:
        said = Message(kind, messages.write(message), self.seat.worker)
        self.sent += len(said.serialize())
        self.client.send(said)


def tell(workers: list[SimulatedWorker]) -> None:
    """What all of them have done so far, in a line."""
    told = {
        what: sum(getattr(worker, what) for worker in workers)
        for what in ("sent", "heard", "intervals", "acknowledged")
    }
    print(json.dumps(told), flush=True)


def tell_on(workers: list[SimulatedWorker]) -> NoReturn:
    while True:
        tell(workers)
        gevent.sleep(TELL_S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--locustfile", required=True)
    parser.add_argument("--journals", type=Path, required=True)
    parser.add_argument("--requests", type=int, required=True, help="of each series in each second")
    parser.add_argument("workers", nargs="+")
    arguments = parser.parse_args()
    raise_file_limit()
    suite = load_suite(None, arguments.locustfile)
    workers = [
        SimulatedWorker(arguments.port, arguments.keys, worker, arguments.journals, arguments.requests)
        for worker in arguments.workers
    ]
    gevent.spawn(tell_on, workers)
    joining = [gevent.spawn(worker.join, suite.sha256) for worker in workers]
    gevent.joinall(joining, raise_error=True)
    plan = plan_of(joining[0].value)
    loading = [gevent.spawn(worker.load, plan, seed) for seed, worker in enumerate(workers)]
    gevent.joinall(loading, raise_error=True)
    tell(workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
