"""A master behind a real socket, workers that are only a key and a journal, and peers that are not invited."""

from __future__ import annotations

import contextlib
import datetime
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gevent
import locust
import zmq.green as zmq
from locust import User, constant, task
from locust.env import Environment
from locust.rpc import Message
from measuring import series_of

from distributed import messages
from distributed.lease import lease_clock_ns
from distributed.link.keys import MasterKeys, WorkerKeys, make_keys
from distributed.link.sockets import Client, Server, use
from distributed.master import Master
from distributed.placement import seats
from distributed.run_folder import RunFolder
from distributed.suite import Suite
from loadproof.measure.interval import Header, Interval, Outcome, SeriesKey
from loadproof.measure.journal import JournalWriter
from loadproof.measure.wire import FORMAT_VERSION
from loadproof.plan.reader import read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLAN = """\
name: linked
suite: governance
target: http://127.0.0.1:9
load: [{phase: steady, duration: 60s, users: 4}]
regions: [{name: east, workers: 2}]
rules: [p95 <= 2s]
"""
WORKERS = ("east-01", "east-02")
DIGEST = "0" * 64


class Visitor(User):
    wait_time = constant(1)

    @task
    def nothing(self) -> None:
        pass


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Let the other greenlets work until it comes to pass."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        gevent.sleep(0.01)
    return found


@dataclass
class Linked:
    """A master with its keys, and where it listens."""

    master: Master
    keys: MasterKeys
    of_workers: dict[str, WorkerKeys]
    folder: RunFolder

    @property
    def port(self) -> int:
        return self.master.port

    def state(self) -> dict[str, Any]:
        """All that a message could change: who is in, with how much, and what the run looks like."""
        master = self.master
        return {
            "admitted": {
                worker: (known.receiver.expected, known.epoch, known.life, known.lost, known.finished)
                for worker, known in master.roster.admitted.items()
            },
            "journals": {path.name: path.stat().st_size for path in self.folder.journals.iterdir()},
            "nodes": {
                node.id: (node.state, node.cpu_usage, node.memory_usage, node.user_classes_count)
                for node in master.clients.values()
            },
            "live": (master.live.users, master.live.requests, master.live.failures, master.live.dropped),
            "locust": (master.stats.total.num_requests, master.stats.total.num_failures),
            "routes": dict(master.server._current),
            "run": master.state,
        }


@contextlib.contextmanager
def linked(tmp_path: Path) -> Iterator[Linked]:
    """A master that waits for `WORKERS` on loopback."""
    source = tmp_path / "linked.yaml"
    source.write_text(PLAN)
    plan = read_plan(source, environ={})
    keys, of_workers = make_keys(WORKERS)
    use(Server("127.0.0.1", 0, keys))
    folder = RunFolder(tmp_path / "reports", plan.name, datetime.datetime.now(datetime.UTC))
    environment = Environment(user_classes=[Visitor], events=locust.event.Events())
    suite = Suite({"Visitor": Visitor}, DIGEST)
    master = environment._create_runner(
        Master, plan, messages.Orders("run", PLAN), suite, seats(plan.regions), folder
    )
    try:
        yield Linked(master, keys, of_workers, folder)
    finally:
        master.finish()
        folder.close()


class Peer:
    """A worker's key on a connection of its own; says what a test wants said."""

    def __init__(self, home: Linked, worker: str, **other: Any) -> None:
        self.worker = worker
        self.life = "0123456789abcdef"
        self.client = Client("127.0.0.1", home.port, home.of_workers[worker], **other)
        until(lambda: self.client.connections)

    def hello(self, **changes: Any) -> dict[str, Any]:
        plain = messages.Hello(
            protocol=messages.PROTOCOL,
            worker=self.worker,
            region="east",
            life=self.life,
            connection=self.client.connections,
            pid=1,
            suite_sha256=DIGEST,
            plan_sha256=messages.Orders("run", PLAN).plan_sha256,
            version=locust.__version__,
        )
        return {**messages.write(plain), **changes}

    def beat(self, **changes: Any) -> dict[str, Any]:
        plain = messages.Heartbeat("running", lease_clock_ns(), 0, False, 0, 0, 0.0, 0)
        return {**messages.write(plain), **changes}

    def say(self, kind: str, data: Any, sender: str | None = None) -> None:
        self.client.send(Message(kind, data, self.worker if sender is None else sender))

    def hear(self) -> Message:
        with gevent.Timeout(20):
            return self.client.recv()

    def join(self) -> Peer:
        self.say(messages.HELLO, self.hello())
        assert self.hear().type == messages.WELCOME
        return self

    def record(self, number: int, record: bytes) -> dict[str, Any]:
        return messages.write(messages.Record(0, number, record))

    def is_heard(self, number: int, record: bytes) -> bool:
        """Send the next record of the journal; the master acknowledges it."""
        self.say(messages.RECORD, self.record(number, record))
        with gevent.Timeout(20):
            while (answer := self.client.recv()).type != messages.RECEIVED:
                pass
        return bool(answer.data["expected"] == number + 1)


def journal(path: Path, worker: str, intervals: int = 3) -> list[bytes]:
    """The records of a journal of one user with a request a second: header, intervals, FIN."""
    writer = JournalWriter(path, Header(FORMAT_VERSION, "run", worker, "east", 0, (2_000_000,)))
    records = [writer.header_record]
    for second in range(intervals):
        interval = Interval(second, second * 1_000_000, 1_000_000, users={"Visitor": 1}, started=1)
        key = SeriesKey("Visitor", "GET", "/", Outcome.OK, "steady")
        interval.series[key] = series_of([1_000], [2_000_000])
        records.append(writer.append(interval))
    records.append(writer.finish(started=intervals, ok=intervals, failed=0, unfinished=0))
    writer.close()
    return records


@contextlib.contextmanager
def stranger(port: int, *, curve: tuple[bytes, bytes, bytes] | None = None) -> Iterator[Any]:
    """A DEALER as stock Locust opens it: without a mechanism, or with (master's public, own public, own secret)."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.identity = b"stranger"
    if curve is not None:
        socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = curve
    socket.connect(f"tcp://127.0.0.1:{port}")
    try:
        yield SimpleNamespace(
            socket=socket, say=lambda kind, data, sender: socket.send(Message(kind, data, sender).serialize())
        )
    finally:
        socket.close()
        context.term()
