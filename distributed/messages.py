"""What master and workers say to each other: the data of Locust messages, typed and validated.

A message that does not fit its type is refused before anything of it is applied.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Annotated, Any, Final, TypeVar

import msgspec

PROTOCOL: Final = 2
WINDOW: Final = 8
"""Journal records that a worker sends ahead of the master's acknowledgement."""
RECORD_BYTES: Final = 4 * 1024 * 1024
WHY_CHARACTERS: Final = 500

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=9_999)]
"""More processes than one worker has in a run; for each before it a worker looks whether it left a journal."""

HELLO: Final = "client_ready"
"""Worker -> master. Locust's own word, so that a stock worker is understood and refused."""
WELCOME: Final = "ack"
ASK: Final = "loadproof_ask"
ORDERS: Final = "loadproof_orders"
CLOCK: Final = "loadproof_clock"
REFUSED: Final = "loadproof_refused"
BEGIN: Final = "spawn"
RECORD: Final = "loadproof_record"
RECEIVED: Final = "loadproof_received"
HEARTBEAT: Final = "heartbeat"
LEASE: Final = "loadproof_lease"
STOP: Final = "stop"
QUIT: Final = "quit"
GIVING_UP: Final = "loadproof_giving_up"


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """A worker on a host of its own asks what the run is; answered whether or not it has joined."""

    protocol: int
    region: Name
    version: Name


class FaultProxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the proxy listens that makes the plan's faults on the way to its target."""

    host: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z._:%-]{1,253}\Z")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Orders(msgspec.Struct):
    """What the run is, as data: the effective plan's text, which the worker's own reader checks."""

    run: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$")]
    plan: Annotated[str, msgspec.Meta(max_length=RECORD_BYTES)]
    embedded_url: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    """Where the embedded target listens, if the plan's target is that."""
    fault_proxy: FaultProxy | None = None
    """Dialled in the target's place, for nothing else."""

    @property
    def plan_sha256(self) -> str:
        return hashlib.sha256(self.plan.encode()).hexdigest()


class Clock(msgspec.Struct, forbid_unknown_fields=True):
    """A worker's question with the time on its clock; the master gives it back with the time on its own."""

    worker_ns: Count
    master_ns: Count | None = None


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """A worker asks to join, or is back on a new connection."""

    protocol: int
    worker: Name
    region: Name
    life: Name
    """Random, and new with every process: tells a worker that is back from another that has its name."""
    connection: Count
    """The sender's own number of this connection."""
    pid: Count
    suite_sha256: Digest
    plan_sha256: Digest
    version: Name


class Welcome(msgspec.Struct):
    """The sender of this Hello is in, and hears from the master by this connection from now on."""

    connection: Count
    epoch: Epoch
    """Of its journal: how many processes of this name were let in before."""


class Refused(msgspec.Struct):
    why: str


class Pool(msgspec.Struct):
    """Which starts of an open plan a worker offers while the plan has so many users; see `distributed.arrivals`."""

    users: Count
    turns: list[tuple[Count, Count]]
    """(turn, index into the scenarios), ascending by turn."""


class Begin(msgspec.Struct):
    """What this worker is to load, from when; each replaces those with a lower `revision`."""

    run: Name
    revision: Count
    start_ns: int
    """Zero of the run clock on CLOCK_MONOTONIC."""
    slots: list[tuple[Count, Count]]
    """(slot, index into `scenarios`), ascending by slot."""
    scenarios: list[Name]
    period: Count = 0
    """How many turns the starts of an open plan repeat after; 0 in a closed plan."""
    pools: list[Pool] = []
    """One for each number of users that a phase of an open plan has."""
    edits: list[tuple[Count, Count]] = []
    """(run time in microseconds, load from then on) of a plan that was changed while it was run, ascending; the load
    is users, of an open plan arrivals in `RATE_PERIOD_S` seconds."""

    def __post_init__(self) -> None:
        """ValueError, which `read` gives as a ValidationError, for what points at nothing or goes back."""
        if any(one >= following for (one, _), (following, _) in itertools.pairwise(self.edits)):
            raise ValueError("`edits` must ascend")
        _check("slots", self.slots, 2**62, len(self.scenarios))
        for pool in self.pools:
            _check("turns", pool.turns, self.period, len(self.scenarios))


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """One record of the sender's journal; `number` counts from 0, the header."""

    epoch: Count
    number: Count
    record: Annotated[bytes, msgspec.Meta(max_length=RECORD_BYTES)]


class Received(msgspec.Struct):
    """All records before `expected` are written on the master; `again` asks to send from there again."""

    epoch: Count
    expected: Count
    again: bool = False


class Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    """A worker is there, and asks for the renewal of its lease."""

    state: Name
    asked_ns: Count
    """Now, on the sender's own clock; given back with the lease."""
    revision: Count
    """Of the placement that it follows; 0 before the first."""
    leaving: bool
    """It drains, and takes nothing more."""
    silence_us: Count
    """How long it has not heard from the master."""
    clock_error_us: Count
    """How far the sender's run time may be from the master's."""
    current_cpu_usage: float
    current_memory_usage: Count


class Lease(msgspec.Struct):
    """Who follows this placement may load for another lease, counted from when it asked."""

    asked_ns: Count
    revision: Count


class GivingUp(msgspec.Struct, forbid_unknown_fields=True):
    """A worker cannot go on, and its journal will have no FIN; the answer is `QUIT`."""

    why: Annotated[str, msgspec.Meta(max_length=WHY_CHARACTERS)]


class Stop(msgspec.Struct):
    """End the load now and drain; `at_once` ends what is in flight too."""

    at_once: bool = False


def _check(what: str, places: list[tuple[int, int]], below: int, scenarios: int) -> None:
    numbers = [number for number, _ in places]
    if any(one >= following for one, following in itertools.pairwise(numbers)) or numbers[-1:] >= [below]:
        raise ValueError(f"`{what}` must ascend and stay below {below}")
    if any(scenario >= scenarios for _, scenario in places):
        raise ValueError(f"`{what}` name a scenario that is not among the {scenarios}")


T = TypeVar("T")


def read(data: Any, kind: type[T]) -> T:
    """Message data as its type; raises msgspec.ValidationError saying what does not fit."""
    return msgspec.convert(data, kind, strict=True)


def write(message: msgspec.Struct) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return built
