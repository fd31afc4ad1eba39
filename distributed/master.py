"""The master: admits workers, hands out user slots, and gathers every journal to its end."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import locust
import msgspec
from gevent.event import Event
from locust.exception import RPCError
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerNode

from distributed import locust_statistics, locustfile_messages, messages
from distributed.absences import Absences
from distributed.arrivals import period_of
from distributed.cluster_log import ClusterLog
from distributed.lease import lease_clock_ns
from distributed.live import LiveTotals
from distributed.membership import Change, Membership
from distributed.replication import Receiver, sync_failure
from distributed.shares import Shares
from loadproof.errors import JournalError, RunFolderError
from loadproof.measure.interval import Fin, Interval
from loadproof.measure.journal import Journal, journal_name, read_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from locust.env import Environment

    from distributed.clock import RunClock
    from distributed.cluster_log import Remembered
    from distributed.membership import Placement
    from distributed.placement import Seat
    from distributed.run_folder import RunFolder
    from distributed.suite import Suite
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

TICK_S: Final = 0.1
LAST_US: Final = 1_000_000
FAREWELL_S: Final = 3.0
HEARD_LATELY_S: Final = 3.0
"""A connection that ends between two ends that both heard each other so lately was not given up by either: ZeroMQ
does that after 6 s. So its process has ended."""


@dataclass
class Admitted:
    """One worker process that was let in."""

    seat: Seat
    epoch: int
    life: str
    receiver: Receiver
    heard_s: float
    """When it spoke last, on the monotonic clock, less how long it had not heard us by then."""
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
        """By worker, its latest process."""
        self.epochs: list[Admitted] = []
        """All of them."""
        self._run = ""
        self._shares = (
            Shares(plan, suite.weights, suite.fixed)
            if plan.scenarios is None
            else Shares(plan, plan.scenarios, {})
        )
        self._log = ClusterLog(folder.path)
        self.membership = Membership(len(self._shares.pieces), self._shares.deal)
        self.absences = Absences()
        """Workers whose load was given to others while they were silent."""
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
        self.server.on_close = self._connection_ended
        self.greenlet.spawn(self._keep_placed)
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
                self._hear_beat(client_id, messages.read(msg.data, messages.Heartbeat))
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

    def begin_load(self, run: str, clock: RunClock) -> None:
        """Place the load on those who are here, from the zero of this clock on, and keep it placed."""
        self.clock = clock
        self._run = run
        locustfile_messages.tell_start(self)
        self.greenlet.spawn(locustfile_messages.tell_spawned, self, self.plan, clock.seconds_until)
        self.update_state("running")
        for admitted in self.admitted.values():
            admitted.joined_us = max(0, clock.now_us())
        self._log.began(clock.start_ns)
        self.membership.begun = True
        self._tick()

    def take_up(self, run: str, clock: RunClock, remembered: Remembered) -> None:
        """Go on with a run whose master died: its workers may load what it had placed on them, for one lease."""
        self.clock = clock
        self._run = run
        locustfile_messages.tell_start(self)
        self.update_state("running")
        for each in remembered.epochs:
            path = self.folder.journals / journal_name(each.worker, each.epoch)
            receiver = Receiver(path, each.worker, each.epoch, go_on=True)
            # Nobody was heard of lately: whoever has such a worker's name must wait until its lease is over.
            admitted = Admitted(
                self.seats[each.worker], each.epoch, each.life, receiver, -math.inf, each.joined_us
            )
            admitted.lost = each.lost
            self.admitted[each.worker] = admitted
            self.epochs.append(admitted)
            for interval in Journal(path).intervals():
                self._fold(admitted.seat, interval)
        for worker, admitted in self.admitted.items():
            if not admitted.settled:
                self.clients[worker] = WorkerNode(worker)
                revision = remembered.revisions.get(worker, 0)
                self.membership.adopt(admitted.seat, revision, remembered.held(worker), lease_clock_ns())
        self.membership.begun = True

    def _keep_placed(self) -> NoReturn:
        while True:
            gevent.sleep(TICK_S)
            self._tick()

    def _tick(self) -> None:
        """Send what the membership wants sent, and note what it has noticed."""
        now_us = None if self.clock is None else max(0, self.clock.now_us())
        # A move in the last second would come too late, and a worker whose clock is ahead may end before ours does.
        if now_us is not None and now_us >= self.plan.duration_us - LAST_US:
            self.membership.over = True
        placements = self.membership.tick(lease_clock_ns())
        for notice in self.membership.notices():
            away = notice.change is Change.AWAY
            self.folder.event(now_us, "worker_away" if away else "worker_back", notice.why, notice.worker)
            if away:
                self.live.forget(notice.worker)
            if now_us is not None and away:
                self.absences.begin(notice.worker, now_us, notice.why)
            elif now_us is not None:
                self.absences.end(notice.worker, now_us)
            self.changed.set()
        for placement in placements:
            self._send_placement(placement)

    def _send_placement(self, placement: Placement) -> None:
        assert self.clock is not None
        self._log.placing(placement)
        names = self._shares.scenarios
        index = {name: position for position, name in enumerate(names)}
        carried = self._shares.carried(placement.pieces)
        begin = messages.Begin(
            self._run,
            placement.revision,
            self.clock.start_ns,
            [(slot.index, index[slot.scenario]) for slot in carried.slots],
            names,
            period_of(self.plan) if self.plan.open else 0,
            [
                messages.Pool(users, [(turn.index, index[turn.scenario]) for turn in turns])
                for users, turns in carried.pools.items()
            ],
        )
        self._send(messages.BEGIN, begin, placement.worker)

    def _hear_beat(self, worker: str, beat: messages.Heartbeat) -> None:
        admitted = self.admitted.get(worker)
        if admitted is None:
            return
        self.clock_error_us = max(self.clock_error_us, beat.clock_error_us)
        admitted.heard_s = time.monotonic() - beat.silence_us / 1e6
        node = self.clients.get(worker)
        if node is not None:
            node.state = beat.state
            node.cpu_usage = beat.current_cpu_usage
            node.memory_usage = beat.current_memory_usage
        if admitted.settled:
            return
        membership = self.membership
        if beat.leaving:
            membership.leave(worker)
        if membership.hear(worker, beat.revision, lease_clock_ns()):
            self._send(messages.LEASE, messages.Lease(beat.asked_ns, beat.revision), worker)
        elif self.clock is not None and (placement := membership.latest(worker)) is not None:
            # It was said before, and lost with its connection or still on its way.
            self._send_placement(placement)
        self._tick()

    def _connection_ended(self, worker: str) -> None:
        admitted = self.admitted.get(worker)
        if admitted is None or admitted.settled:
            return
        if time.monotonic() - admitted.heard_s < HEARD_LATELY_S:
            self.membership.close(worker, lease_clock_ns())

    @property
    def here(self) -> set[str]:
        """The workers that may be given load."""
        return {seat.worker for seat in self.membership.present}

    def at_work(self) -> list[Seat]:
        """Who carries load, or did to the end."""
        return [
            admitted.seat
            for worker, admitted in self.admitted.items()
            if admitted.lost is None
            and (self.membership.over if admitted.finished else not self.membership.replaceable(worker))
        ]

    def tell_stopping(self) -> None:
        """The load is ending, by the plan or by somebody's wish."""
        if self.state != "stopping":
            self.environment.events.test_stopping.fire(environment=self.environment)
            self.update_state("stopping")

    def stop_loading(self, *, at_once: bool = False) -> None:
        """Ask every worker to end its load and drain; returns at once."""
        self._stopping = messages.Stop(at_once)
        self.membership.over = True
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
        self._log.lost(worker, admitted.epoch, why)
        admitted.left_us = None if self.clock is None else self.clock.now_us()
        self.membership.finish(worker)
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
        for admitted in self.epochs:
            failure = gevent.get_hub().threadpool.apply(sync_failure, (admitted.receiver.copy,))
            if failure is not None:
                self.folder.event(admitted.left_us, "note", failure, admitted.seat.worker)
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
        for admitted in self.epochs:
            admitted.receiver.copy.close()
        self._log.close()
        self.server.await_leaving(FAREWELL_S)
        self.greenlet.kill(block=False)
        self.server.close(linger=0)

    def _greet(self, worker: str, hello: messages.Hello) -> None:
        """Let a worker in, once or again on a new connection, or tell it why not."""
        if hello.worker != worker:
            raise msgspec.ValidationError(f"a hello of {hello.worker!r}")
        known = self.admitted.get(worker)
        back = known is not None and known.life == hello.life
        if known is not None and not back and self._may_return(known):
            # Nobody knows yet whether the process before this one still loads; who asks, asks again.
            return
        refusal = known.lost if known is not None and back else self._refusal(hello) or self._admit(hello)
        if refusal is not None:
            self._refuse(worker, refusal)
            return
        self.server.welcome(worker)
        self._send(messages.WELCOME, messages.Welcome(hello.connection, self.admitted[worker].epoch), worker)
        # What was said while its connection was down is lost, and a worker takes each of these once.
        if self._stopping is not None:
            self._send(messages.STOP, self._stopping, worker)

    def _may_return(self, known: Admitted) -> bool:
        """The process is silent, and its load has not been taken from it yet."""
        silent = time.monotonic() - known.heard_s > HEARD_LATELY_S or self.membership.is_closed(
            known.seat.worker
        )
        return not known.settled and silent and not self.membership.replaceable(known.seat.worker)

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
        worker = hello.worker
        before = self.admitted.get(worker)
        epoch = 0 if before is None else before.epoch + 1
        try:
            receiver = Receiver(self.folder.journals / journal_name(worker, epoch), worker, epoch)
        except JournalError as error:
            return str(error)
        if before is not None and not before.settled:
            self.lose(worker, "another process has taken its place before its journal had ended")
        admitted = Admitted(self.seats[worker], epoch, hello.life, receiver, time.monotonic())
        now_us = None if self.clock is None else max(0, self.clock.now_us())
        admitted.joined_us = now_us
        self._log.admitted(worker, epoch, hello.life, now_us)
        self.admitted[worker] = admitted
        self.epochs.append(admitted)
        self.clients[worker] = WorkerNode(worker)
        self.membership.join(admitted.seat, lease_clock_ns())
        self.environment.events.worker_connect.fire(client_id=worker)
        self.folder.event(now_us, "worker_joined", f"process {hello.pid}, region {hello.region}", worker)
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
        known = self.admitted.get(hello.worker)
        if known is not None and not known.settled and not self.membership.replaceable(hello.worker):
            return f"{hello.worker} is taken by another process"
        if self._stopping is not None or self.membership.over:
            return "the run is ending"
        return None

    def _receive(self, client_id: str, message: messages.Record) -> None:
        admitted = self._epoch(client_id, message.epoch)
        if admitted is None:
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
            self._fold(admitted.seat, record)
            node = self.clients.get(client_id)
            if node is not None:
                node.user_classes_count = dict(record.users)
        elif isinstance(record, Fin):
            admitted.left_us = None if self.clock is None else self.clock.now_us()
            if admitted is self.admitted[client_id]:
                self.membership.finish(client_id)
                self.live.forget(client_id)
            self.folder.event(admitted.left_us, "worker_left", "in order", client_id)
            self.changed.set()

    def _fold(self, seat: Seat, interval: Interval) -> None:
        locust_statistics.fold(self.environment.stats, interval)
        self.live.add(seat.worker, interval)
        if self.on_interval is not None:
            self.on_interval(seat, interval)

    def _epoch(self, worker: str, epoch: int) -> Admitted | None:
        """Whose journal a record belongs to: the worker's own, or one that a process before it has left behind."""
        latest = self.admitted.get(worker)
        if latest is None or latest.epoch == epoch:
            return None if latest is None or latest.lost is not None else latest
        return next(
            (each for each in self.epochs if each.seat.worker == worker and each.epoch == epoch), None
        )

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
