"""What a worker learns from its master before it has users: the plan, and how far apart their clocks are."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import locust
from locust.exception import RPCError, RPCReceiveError
from locust.rpc import Message

from distributed import messages
from distributed.clock_offset import AT_JOINING, Exchange
from loadproof.errors import UsageError
from loadproof.plan.reader import read_plan

if TYPE_CHECKING:
    import msgspec

    from distributed.link.sockets import Client
    from distributed.placement import Seat
    from loadproof.plan.model import Plan

AGAIN_S = 1.0
"""Until a question that was not answered is asked again."""


def connect(client: Client) -> None:
    """Return when the master has let us in by our key; UsageError when it never will."""
    while client.connections == 0:
        if client.refusal is not None:
            raise UsageError(client.refusal)
        client.changed.wait(timeout=AGAIN_S)
        client.changed.clear()


def fetch_orders(client: Client, seat: Seat) -> messages.Orders:
    """Ask the master what the run is; UsageError with its words if it does not want us."""
    question = messages.Ask(messages.PROTOCOL, seat.region, locust.__version__)
    while True:
        answer = _ask(client, seat, messages.ASK, question, messages.ORDERS)
        if answer is not None:
            return messages.read(answer, messages.Orders)


def plan_of(orders: messages.Orders) -> Plan:
    """The plan as data: nothing in it is executed, and `${ENV}` in it is not ours to fill in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(orders.plan, encoding="utf-8")
        return read_plan(path, environ={})


def exchange_clocks(client: Client, seat: Seat) -> list[Exchange]:
    """A few exchanges, one after the other."""
    exchanges: list[Exchange] = []
    asked: set[int] = set()
    while len(exchanges) < AT_JOINING:
        question = messages.Clock(time.monotonic_ns())
        asked.add(question.worker_ns)
        data = _ask(client, seat, messages.CLOCK, question, messages.CLOCK)
        received_ns = time.monotonic_ns()
        if data is None:
            continue
        answer = messages.read(data, messages.Clock)
        # On a slow link the answer to an earlier question comes while a later one is asked.
        if answer.worker_ns in asked and answer.master_ns is not None:
            asked.remove(answer.worker_ns)
            exchanges.append(Exchange(answer.worker_ns, answer.master_ns, received_ns))
    return exchanges


def _ask(client: Client, seat: Seat, kind: str, question: msgspec.Struct, expected: str) -> Any:
    """The data of the answer; None if none came in time. UsageError if the master refuses us."""
    if client.refusal is not None:
        raise UsageError(client.refusal)
    answer = None
    with gevent.Timeout(AGAIN_S, False):
        try:
            client.send(Message(kind, messages.write(question), seat.worker))
        except RPCError:
            # Not connected just now: ask again after the pause.
            client.changed.clear()
            client.changed.wait()
        while answer is None:
            with contextlib.suppress(RPCReceiveError):
                heard = client.recv()
                if heard.type == messages.REFUSED:
                    raise UsageError(messages.read(heard.data, messages.Refused).why)
                if heard.type == expected:
                    answer = heard.data
    return answer
