"""Damaged messages from a broken master: a worker takes each whole or not at all, hears on, and keeps its journal."""

import random
import time

import locust
import msgpack
import msgspec
import pytest
from damaging import bent, damaged
from linking import DIGEST, PLAN, Visitor, linked, until
from locust import clients
from locust.contrib import fasthttp
from locust.env import Environment
from locust.rpc import Message

from distributed import messages
from distributed.clock import RunClock
from distributed.clock_offset import Exchange
from distributed.joining import connect
from distributed.lease import lease_clock_ns
from distributed.link.sockets import Client, use
from distributed.placement import Seat
from distributed.suite import Suite
from distributed.worker import Worker
from loadproof.client.books import books
from loadproof.measure.journal import Journal

BATCH = 100
ENDS = {messages.STOP, messages.QUIT, messages.REFUSED}
"""What ends a worker, however well it is said."""


def worker_of(home, folder):
    """A worker at the master, before the run."""
    client = Client("127.0.0.1", home.port, home.of_workers["east-01"])
    connect(client)
    use(client)
    now_ns = time.monotonic_ns()
    return Environment(user_classes=[Visitor], events=locust.event.Events())._create_runner(
        Worker,
        Seat("east-01", "east"),
        home.master.plan,
        messages.Orders("run", PLAN).plan_sha256,
        Suite({"Visitor": Visitor}, DIGEST),
        folder,
        [Exchange(now_ns, now_ns, now_ns)],
    )


def state(worker):
    """All that a message could change."""
    keeper, load = worker._journals, worker._load
    return {
        "welcome": (worker._welcome_on, worker.epoch),
        "lease": (worker.lease.revision, worker.lease._until_ns),
        "begun": worker._begun,
        "ends": (worker.stopping.is_set(), worker.left.is_set(), worker.at_once, worker.refused),
        "clock": tuple(worker._clock.exchanges),
        "sent": keeper and {epoch: vars(sender).copy() for epoch, sender in keeper._senders.items()},
        "placed": load and list(load.users._slots),
    }


def said_by_a_master(chance, worker):
    """A kind of message and data that is right for this worker just now."""
    revision = worker.lease.revision
    begin = messages.Begin(
        "run", revision + 1, 0, [(0, 0), (1, 0)], ["Visitor"], 4, [messages.Pool(4, [(0, 0)])]
    )
    return chance.choice(
        [
            (messages.BEGIN, begin),
            (messages.LEASE, messages.Lease(lease_clock_ns(), revision)),
            (messages.WELCOME, messages.Welcome(worker.client.connections, 0)),
            (messages.CLOCK, messages.Clock(time.monotonic_ns(), time.monotonic_ns())),
            (messages.RECEIVED, messages.Received(0, 0)),
            (messages.STOP, messages.Stop()),
            (messages.REFUSED, messages.Refused("the run has begun")),
            (messages.QUIT, messages.Stop()),
        ]
    )


def fuzzed(chance, worker):
    kind, message = said_by_a_master(chance, worker)
    data = messages.write(message)
    whole = [kind, data, "east-01"]
    match chance.randrange(4):
        case 0:
            whole[1] = damaged(chance, data)
        case 1:
            whole = damaged(chance, whole)
        case 2:
            return bent(chance, msgpack.packb(whole))
        case 3:
            return chance.randbytes(chance.randrange(60))
    return msgpack.packb(whole)


@pytest.fixture
def _recording_ends(monkeypatch):
    """Recording is for good in a worker; other tests of this process have a record of their own."""
    for wrapped, name in (
        (fasthttp.FastHttpSession, "request"),
        (clients.HttpSession, "request"),
        (fasthttp.ResponseContextManager, "__exit__"),
        (clients.ResponseContextManager, "__exit__"),
    ):
        monkeypatch.setattr(wrapped, name, getattr(wrapped, name))
    yield
    books.end()


@pytest.mark.usefixtures("_recording_ends")
@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_fuzzed_messages_leave_a_worker_whole(tmp_path, count):
    """None raises past its loop, none leaves a part of itself behind, and what is right is still obeyed."""
    chance = random.Random(count)
    with linked(tmp_path) as home:
        worker = worker_of(home, tmp_path)
        until(lambda: worker.epoch is not None)
        home.master.begin_load(RunClock(time.monotonic_ns()))
        until(lambda: worker._load is not None and not worker._load.parked)
        apply, half_applied, taken = worker.handle_message, [], []

        def watched(message):
            if message.type in ENDS:
                messages.read(
                    message.data, messages.Refused if message.type == messages.REFUSED else messages.Stop
                )
                return
            before = state(worker)
            try:
                apply(message)
                taken.append(message.type)
            except BaseException:
                if state(worker) != before:
                    half_applied.append((message.type, message.data))
                raise

        worker.handle_message = watched
        server = home.master.server
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                server.socket.send_multipart([server._current["east-01"], fuzzed(chance, worker)])
            asked_ns = time.monotonic_ns()
            home.master._send(messages.CLOCK, messages.Clock(asked_ns, 1), "east-01")
            until(lambda asked_ns=asked_ns: any(one.sent_ns == asked_ns for one in worker._clock.exchanges))
        worker.handle_message = apply

        assert half_applied == []
        assert set(taken) >= {messages.BEGIN, messages.LEASE, messages.CLOCK, messages.RECEIVED}
        assert worker.refused is None
        worker.stop_loading()
        until(lambda: worker.worker_state == "stopped")
        [own] = tmp_path.glob("east-01-0.journal")
        assert Journal(own).state.complete
        worker.left.set()
        worker.greenlet.kill(block=False)
        worker.client.close()


BROKEN = {
    "an epoch that would take for ever to look through": (
        messages.WELCOME,
        {"connection": 1, "epoch": 2**62},
    ),
    "a placement that goes back": (messages.BEGIN, {"slots": [(1, 0), (0, 0)]}),
    "a placement of a scenario that it does not name": (messages.BEGIN, {"slots": [(0, 1)]}),
    "a placement whose turns lie outside their period": (
        messages.BEGIN,
        {"period": 4, "pools": [{"users": 1, "turns": [(4, 0)]}]},
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_a_broken_master_may_say_is_dropped(tmp_path, message):
    """A message of the right form that makes no sense changes nothing."""
    kind, changes = BROKEN[message]
    begin = messages.write(messages.Begin("run", 1, 0, [], ["Visitor"]))
    with linked(tmp_path) as home:
        worker = worker_of(home, tmp_path)
        until(lambda: worker.epoch is not None)
        worker.epoch = None
        before = state(worker)
        with pytest.raises(msgspec.ValidationError):
            worker.handle_message(
                Message(kind, {**(begin if kind == messages.BEGIN else {}), **changes}, "east-01")
            )

        assert state(worker) == before
        worker.greenlet.kill(block=False)
        worker.client.close()
