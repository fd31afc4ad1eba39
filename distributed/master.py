"""The master: admits workers, hands out user slots, and gathers every journal to its end."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
import locust
import msgspec
from gevent.event import Event
from locust.exception import RPCError
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerNode

from distributed import locust_statistics, locustfile_messages, messages
from distributed.arrivals import period_of, place_turns
from distributed.live import LiveTotals
from distributed.placement import Seat, interleave, place
from distributed.replication import Receiver, sync_failure
from loadproof.errors import JournalError, RunFolderError
from loadproof.measure.interval import Fin, Interval
from loadproof.measure.journal import read_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from locust.env import Environment

    from distributed.clock import RunClock
    from distributed.placement import Slot
    from distributed.run_folder import RunFolder
    from distributed.suite import Suite
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)


@dataclass
class Admitted:
    """One worker process that was let in."""

    seat: Seat
    epoch: int
    life: str
    receiver: Receiver
    begin: messages.Begin | None = None
    """What it was told to load."""
    joined_us: int | None = None
    left_us: int | None = None
    lost: str | None = None
    """What became of it, in words, if it will not finish its journal."""
    gave_up: str | None = None
    """Why it cannot go on, by its own word."""
    unwritten: str | None = None
    """Why its latest record could not be taken here."""

    @property
    def finished(self) -> bool:
        return self.receiver.fin is not None

    @property
    def settled(self) -> bool:
        """Nothing more is to be expected of it."""
        return self.finished or self.lost is not None


class Master(MasterRunner):  # type: ignore[misc]  # Locust's runners are not typed
    """Locust's master, with our loops: no message handler waits, no dispatcher decides, nothing is sent blindly."""

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        orders: messages.Orders,
        suite: Suite,
        seats: tuple[Seat, ...],
        folder: RunFolder,
    ) -> None:
        self.plan = plan
        self.orders = orders
        self.suite = suite
        self.seats = {seat.worker: seat for seat in seats}
        self.folder = folder
        self.admitted: dict[str, Admitted] = {}
        """By worker."""
        self.changed = Event()
        """Set whenever a worker came, finished or was lost."""
        self.live = LiveTotals()
        self.on_interval: Callable[[Seat, Interval], None] | None = None
        self.on_quit: Callable[[], None] | None = None
        """Called when the locustfile wants the run to end."""
        self._refusals: dict[str, set[str]] = {}
        self._stopping: messages.Stop | None = None
        self.dropped_messages = 0
        """Of those who were let in by their key, what did not fit."""
        self.clock: RunClock | None = None
        self.clock_error_us = 0
        """The most that any worker's run time may have been off."""
        ours = [
            getattr(environment.events, hook)
            for hook in ("request", "quitting", *locustfile_messages.UNHEARD)
        ]
        before = [list(hook._handlers) for hook in ours]  # noqa: SLF001 Locust has no other way to take a listener out
        super().__init__(environment, "127.0.0.1", 0)
        for hook, handlers in zip(ours, before, strict=True):
            hook._handlers = handlers  # noqa: SLF001
        self.port: int = self.server.port
        self.target_user_count = plan.max_users

    # What Locust would do by itself, and must not.

    def heartbeat_worker(self) -> None:
        """A silent worker's load stays with it: its lease decides, not three missed beats."""

    def check_stopped(self) -> None:
        """The run is over when every journal is, not when states look alike."""

    def reset_connection(self) -> None:
        """ZeroMQ reconnects by itself; closing the socket would lose who is who."""

    def start(self, *_args: Any, **_options: Any) -> None:
        """The plan decides how many users run."""

    def stop(self, send_stop_to_client: bool = True) -> None:  # noqa: ARG002 as Locust calls it
        self.quit()

    def quit(self) -> None:
        """A locustfile wants the test to end."""
        if self.on_quit is not None:
            self.on_quit()

    def client_listener(self) -> NoReturn:
        while True:
            client_id = None
            try:
                client_id, message = self.server.recv_from_client()
                self.handle_message(client_id, message)
            except Exception as error:  # noqa: BLE001 whatever a worker's bytes do must not deafen the master
                self._drop(getattr(error, "addr", client_id), error)

    def handle_message(self, client_id: str, msg: Message) -> None:
        """Apply one message of the worker `client_id`, whole or not at all; raises for one that does not fit."""
        if msg.type == messages.HELLO:
            self._greet(client_id, messages.read(msg.data, messages.Hello))
            return
        if msg.type == messages.ASK:
            self._give_orders(client_id, messages.read(msg.data, messages.Ask))
            return
        if msg.type == messages.CLOCK:
            question = messages.read(msg.data, messages.Clock)
            answer = messages.Clock(question.worker_ns, time.monotonic_ns())
            self._send(messages.CLOCK, answer, client_id, self.server.answer)
            return
        if not self.server.is_current(client_id):
            raise msgspec.ValidationError(f"{msg.type[:100]!r} by a connection that was not let in")
        match msg.type:
            case messages.RECORD:
                self._receive(client_id, messages.read(msg.data, messages.Record))
            case messages.HEARTBEAT:
                beat = messages.read(msg.data, messages.Heartbeat)
                self.clock_error_us = max(self.clock_error_us, beat.clock_error_us)
                node = self.clients.get(client_id)
                if node is not None:
                    node.state = beat.state
                    node.cpu_usage = beat.current_cpu_usage
                    node.memory_usage = beat.current_memory_usage
            case messages.GIVING_UP:
                if client_id in self.admitted:
                    self.admitted[client_id].gave_up = messages.read(msg.data, messages.GivingUp).why
                    self._send(messages.QUIT, messages.Stop(), client_id)
            case _:
                self._hear(client_id, msg)

    def _hear(self, client_id: str, message: Message) -> None:
        """What only a locustfile can mean by it."""
        if message.type == locustfile_messages.END:
            self.quit()
        elif message.type == locustfile_messages.REPORT and isinstance(message.data, dict):
            self.environment.events.worker_report.fire(client_id=client_id, data=message.data)
        elif not locustfile_messages.deliver(self, message):
            raise msgspec.ValidationError(f"unknown message type {message.type[:100]!r}")

    def begin_load(self, run: str, clock: RunClock) -> dict[str, list[Slot]]:
        """Tell every admitted worker its slots and the run's zero; those who are not here get none.

        The split is over all planned workers, so a missing one's users are missing from the load, visibly.
        """
        self.clock = clock
        plan = self.plan
        weights = plan.scenarios if plan.scenarios is not None else self.suite.weights
        fixed = {} if plan.scenarios is not None else self.suite.fixed
        slots = place(plan.max_users, interleave(weights, fixed), plan.regions, list(self.seats.values()))
        names = sorted({*fixed, *(name for name, weight in weights.items() if weight > 0)})
        index = {name: position for position, name in enumerate(names)}
        pools = self._turns(weights, slots) if plan.open else {}
        locustfile_messages.tell_start(self)
        self.greenlet.spawn(locustfile_messages.tell_spawned, self, plan, clock.seconds_until)
        self.update_state("running")
        for worker, admitted in self.admitted.items():
            placed = [(slot.index, index[slot.scenario]) for slot in slots[worker]]
            begin = messages.Begin(
                run,
                1,
                clock.start_ns,
                placed,
                names,
                period_of(plan) if plan.open else 0,
                [
                    messages.Pool(users, [(turn.index, index[turn.scenario]) for turn in turns[worker]])
                    for users, turns in pools.items()
                ],
            )
            admitted.joined_us = max(0, clock.now_us())
            admitted.begin = begin
            self._send(messages.BEGIN, begin, worker)
        return slots

    def _turns(
        self, weights: Mapping[str, float], slots: Mapping[str, Sequence[Slot]]
    ) -> dict[int, dict[str, list[Slot]]]:
        """Each worker's turns for every number of users that an open plan has."""
        pools = {}
        for users in sorted({phase.users_from for phase in self.plan.load}):
            serving = {worker: [slot for slot in own if slot.index < users] for worker, own in slots.items()}
            pools[users] = place_turns(
                period_of(self.plan), weights, self.plan.regions, list(self.seats.values()), serving
            )
        return pools

    def tell_stopping(self) -> None:
        """The load is ending, by the plan or by somebody's wish."""
        if self.state != "stopping":
            self.environment.events.test_stopping.fire(environment=self.environment)
            self.update_state("stopping")

    def stop_loading(self, *, at_once: bool = False) -> None:
        """Ask every worker to end its load and drain; returns at once."""
        self._stopping = messages.Stop(at_once)
        for worker, admitted in self.admitted.items():
            if not admitted.settled:
                self._send(messages.STOP, messages.Stop(at_once), worker)

    def dismiss(self) -> None:
        """Let every worker go; its journal stands here to the end, or it is lost."""
        for worker in self.admitted:
            self._send(messages.QUIT, messages.Stop(), worker)

    def lose(self, worker: str, why: str) -> None:
        """A worker's process is gone; keep what its journal has, and say so once."""
        admitted = self.admitted.get(worker)
        if admitted is None or admitted.settled:
            return
        cause = admitted.gave_up or admitted.unwritten
        why = f"{why}: {cause}" if cause else why
        admitted.lost = why
        admitted.left_us = None if self.clock is None else self.clock.now_us()
        self.live.forget(worker)
        if worker in self.clients:
            del self.clients[worker]
        self.folder.event(admitted.left_us, "worker_lost", why, worker)
        self.changed.set()

    def salvage(self, worker: str, journal: Path) -> None:
        """Take over what a dead worker wrote to its own journal and had not sent yet."""
        admitted = self.admitted.get(worker)
        if admitted is None or not journal.is_file():
            return
        with contextlib.suppress(JournalError):
            for record in read_records(journal, admitted.receiver.expected):
                message = messages.Record(admitted.epoch, admitted.receiver.expected, record)
                self._receive(worker, message)

    def secure_copies(self) -> bool:
        """Bring every finished copy to disk; True if all journals are whole and there.

        A copy that the disk did not take is lost, although it can be read back now.
        """
        whole = True
        for worker, admitted in self.admitted.items():
            failure = gevent.get_hub().threadpool.apply(sync_failure, (admitted.receiver.copy,))
            if failure is not None:
                self.folder.event(admitted.left_us, "note", failure, worker)
                admitted.lost = admitted.lost or failure
                whole = False
            whole = whole and admitted.finished
        return whole

    def finish(self) -> None:
        """Close the journals' copies and end the loops; the socket closes with the process's context."""
        self.environment.events.test_stop.fire(environment=self.environment)
        self.environment.events.quitting.fire(environment=self.environment, reverse=True)
        wish = self.environment.process_exit_code
        if wish is not None:
            note = f"the locustfile set the exit code {wish}; the exit code of a run is its verdict's"
            with contextlib.suppress(RunFolderError):
                self.folder.event(None, "note", note)
        for admitted in self.admitted.values():
            admitted.receiver.copy.close()
        self.greenlet.kill(block=False)
        self.server.close(linger=0)

    def _greet(self, worker: str, hello: messages.Hello) -> None:
        """Let a worker in, once or again on a new connection, or tell it why not."""
        if hello.worker != worker:
            raise msgspec.ValidationError(f"a hello of {hello.worker!r}")
        known = self.admitted.get(worker)
        back = known is not None and known.life == hello.life
        refusal = known.lost if known is not None and back else self._refusal(hello) or self._admit(hello)
        if refusal is not None:
            self._refuse(worker, refusal)
            return
        self.server.welcome(worker)
        self._send(messages.WELCOME, messages.Welcome(hello.connection), worker)
        # What was said while its connection was down is lost, and a worker takes each of these once.
        if known is not None and known.begin is not None:
            self._send(messages.BEGIN, known.begin, worker)
        if known is not None and self._stopping is not None:
            self._send(messages.STOP, self._stopping, worker)

    def _give_orders(self, worker: str, ask: messages.Ask) -> None:
        refusal = self._stranger(worker, ask.region, ask.protocol, ask.version)
        if refusal is not None:
            self._refuse(worker, refusal)
        else:
            self._send(messages.ORDERS, self.orders, worker, self.server.answer)

    def _refuse(self, worker: str, why: str) -> None:
        self.server.log_once(f"refused worker {worker}: {why}")
        if why not in self._refusals.get(worker, ()):
            self._refusals.setdefault(worker, set()).add(why)
            self.folder.event(None, "note", f"refused: {why}", worker)
        self._send(messages.REFUSED, messages.Refused(why), worker, self.server.answer)

    def _admit(self, hello: messages.Hello) -> str | None:
        """Give a worker its seat; or say why that cannot be."""
        path = self.folder.journals / f"{hello.worker}-{hello.epoch}.journal"
        try:
            receiver = Receiver(path, hello.worker, hello.epoch)
        except JournalError as error:
            return str(error)
        self.admitted[hello.worker] = Admitted(self.seats[hello.worker], hello.epoch, hello.life, receiver)
        self.clients[hello.worker] = WorkerNode(hello.worker)
        self.environment.events.worker_connect.fire(client_id=hello.worker)
        self.folder.event(None, "worker_joined", f"process {hello.pid}, region {hello.region}", hello.worker)
        self.changed.set()
        return None

    def _stranger(self, worker: str, region: str, protocol: int, version: str) -> str | None:
        """Why this worker has no part in the run, whatever it was started with; None if it has."""
        seat = self.seats.get(worker)
        if protocol != messages.PROTOCOL or version != locust.__version__:
            return (
                f"it speaks protocol {protocol} on Locust {version}, this master "
                f"{messages.PROTOCOL} on {locust.__version__}: install the same version"
            )
        if seat is None or seat.region != region:
            return f"the plan has no worker {worker} in region {region}"
        return None

    def _refusal(self, hello: messages.Hello) -> str | None:
        """Why this worker may not join, as one line for its operator; None if it may."""
        stranger = self._stranger(hello.worker, hello.region, hello.protocol, hello.version)
        if stranger is not None:
            return stranger
        if hello.plan_sha256 != self.orders.plan_sha256:
            return "it has another plan: start it with the plan of this run"
        if hello.suite_sha256 != self.suite.sha256:
            return "it has other user classes: install the same suite or locustfile"
        if hello.worker in self.admitted:
            return f"{hello.worker} is taken by another process"
        if self.clock is not None:
            return "the run has begun"
        return None

    def _receive(self, client_id: str, message: messages.Record) -> None:
        admitted = self.admitted.get(client_id)
        if admitted is None or admitted.lost is not None or message.epoch != admitted.epoch:
            raise msgspec.ValidationError("a journal record from nobody who was admitted")
        try:
            record, answer = admitted.receiver.receive(message)
        except JournalError as error:
            admitted.unwritten = str(error)
            raise
        if record is not None:
            admitted.unwritten = None
        self._send(messages.RECEIVED, answer, client_id)
        if isinstance(record, Interval):
            locust_statistics.fold(self.environment.stats, record)
            self.live.add(admitted.seat.worker, record)
            node = self.clients.get(client_id)
            if node is not None:
                node.user_classes_count = dict(record.users)
            if self.on_interval is not None:
                self.on_interval(admitted.seat, record)
        elif isinstance(record, Fin):
            admitted.left_us = None if self.clock is None else self.clock.now_us()
            self.live.forget(admitted.seat.worker)
            self.folder.event(admitted.left_us, "worker_left", "in order", admitted.seat.worker)
            self.changed.set()

    def _drop(self, worker: str | None, error: Exception) -> None:
        self.dropped_messages += 1
        self.server.log_once(f"dropped a message from {worker}: {error}")
        gevent.sleep(0)

    def _send(
        self,
        kind: str,
        message: msgspec.Struct,
        worker: str,
        send: Callable[[Message], None] | None = None,
    ) -> None:
        with contextlib.suppress(RPCError):
            (send or self.server.send_to_client)(Message(kind, messages.write(message), worker))
