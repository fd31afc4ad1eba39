"""The master: hears every worker, answers, and gathers what they measure."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import msgspec
from locust.exception import RPCError
from locust.rpc import Message

from distributed import locust_statistics, locustfile_messages, messages
from distributed.cluster_log import ClusterLog
from distributed.live import LiveTotals
from distributed.load_keeper import LoadKeeper
from distributed.roster import Roster
from distributed.runners import QuietMaster
from loadproof.errors import JournalError, RunFolderError
from loadproof.measure.interval import Interval
from loadproof.measure.journal import Journal, read_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from locust.env import Environment

    from distributed.clock import RunClock
    from distributed.cluster_log import Remembered
    from distributed.placement import Seat
    from distributed.run_folder import RunFolder
    from distributed.suite import Suite
    from loadproof.plan.model import Plan

FAREWELL_S: Final = 3.0


class Master(QuietMaster):
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
        self.folder = folder
        self._log = ClusterLog(folder.path)
        self.live = LiveTotals()
        self.on_interval: Callable[[Seat, Interval], None] | None = None
        self.on_quit: Callable[[], None] | None = None
        """Called when the locustfile wants the run to end."""
        self._refusals: dict[str, set[str]] = {}
        self._stopping: messages.Stop | None = None
        self.dropped_messages = 0
        """Of those who were let in by their key, what did not fit."""
        self.clock_error_us = 0
        """The most that any worker's run time may have been off."""
        super().__init__(environment)
        self.port: int = self.server.port
        self.load = LoadKeeper(plan, suite, orders.run, folder, self._log, self.live, self._send)
        self.roster = Roster(orders, suite, seats, folder, self._log, self.load, self.clients)
        self.server.on_close = self.load.connection_ended
        self.greenlet.spawn(self.load.keep_placed)
        self.target_user_count = plan.max_users
        self._counted_before_reset = 0
        environment.events.reset_stats.add_listener(self._remember_counted)

    @property
    def locust_counted(self) -> int:
        """Requests in Locust's own statistics, whatever was shown of them since a reset."""
        return self._counted_before_reset + int(self.stats.total.num_requests)

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
                self.roster.admitted[client_id].gave_up = messages.read(msg.data, messages.GivingUp).why
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

    def begin_load(self, clock: RunClock) -> None:
        """Place the load on those who are here, from the zero of this clock on, and keep it placed."""
        self.load.clock = clock
        # Locust's rates over the whole run count from here.
        self.stats.total.start_time = time.time()
        locustfile_messages.tell_start(self)
        self.greenlet.spawn(locustfile_messages.tell_spawned, self, self.plan, clock.seconds_until)
        self.update_state("running")
        for admitted in self.roster.admitted.values():
            admitted.joined_us = self.load.now_us
        self.load.begin()

    def take_up(self, clock: RunClock, remembered: Remembered) -> None:
        """Go on with a run whose master died: its workers may load what it had placed on them, for one lease."""
        self.load.clock = clock
        locustfile_messages.tell_start(self)
        self.update_state("running")
        self.roster.take_up(remembered.epochs)
        for admitted in self.roster.epochs:
            for interval in Journal(admitted.receiver.copy.path).intervals():
                self._fold(admitted.seat, interval)
        unsettled = [admitted.seat for admitted in self.roster.admitted.values() if not admitted.settled]
        self.load.take_up(unsettled, remembered)

    def tell_stopping(self) -> None:
        """The load is ending, by the plan or by somebody's wish."""
        if self.state != "stopping":
            self.environment.events.test_stopping.fire(environment=self.environment)
            self.update_state("stopping")

    def stop_loading(self, *, at_once: bool = False) -> None:
        """Ask every worker to end its load and drain; returns at once."""
        self._stopping = messages.Stop(at_once)
        self.load.membership.over = True
        for worker, admitted in self.roster.admitted.items():
            if not admitted.settled:
                self._send(messages.STOP, messages.Stop(at_once), worker)

    def dismiss(self) -> None:
        """Let every worker go; its journal stands here to the end, or it is lost."""
        for worker in self.roster.admitted:
            self._send(messages.QUIT, messages.Stop(), worker)

    def salvage(self, worker: str, journal: Path) -> None:
        """Take over what a dead worker wrote to its own journal and had not sent yet."""
        admitted = self.roster.admitted.get(worker)
        if admitted is None or not journal.is_file():
            return
        with contextlib.suppress(JournalError):
            for record in read_records(journal, admitted.receiver.expected):
                message = messages.Record(admitted.epoch, admitted.receiver.expected, record)
                self._receive(worker, message)

    def finish(self) -> None:
        """Close the journals' copies and end the loops; the socket closes with the process's context."""
        self.environment.events.test_stop.fire(environment=self.environment)
        self.environment.events.quitting.fire(environment=self.environment, reverse=True)
        wish = self.environment.process_exit_code
        if wish is not None:
            note = f"the locustfile set the exit code {wish}; the exit code of a run is its verdict's"
            with contextlib.suppress(RunFolderError):
                self.folder.event(None, "note", note)
        self.roster.close()
        self._log.close()
        self.server.await_leaving(FAREWELL_S)
        self.greenlet.kill(block=False)
        self.server.close(linger=0)

    def _greet(self, worker: str, hello: messages.Hello) -> None:
        """Let a worker in, once or again on a new connection, or tell it why not."""
        if hello.worker != worker:
            raise msgspec.ValidationError(f"a hello of {hello.worker!r}")
        known = self.roster.knows(hello)
        if not known and self.load.may_return(worker):
            # Nobody knows yet whether the process before this one still loads; who asks, asks again.
            return
        refusal = self.roster.let_in(hello)
        if refusal is not None:
            self._refuse(worker, refusal)
            return
        if not known:
            self.environment.events.worker_connect.fire(client_id=worker)
        self.server.welcome(worker)
        epoch = self.roster.admitted[worker].epoch
        self._send(messages.WELCOME, messages.Welcome(hello.connection, epoch), worker)
        # What was said while its connection was down is lost, and a worker takes each of these once.
        if self._stopping is not None:
            self._send(messages.STOP, self._stopping, worker)

    def _give_orders(self, worker: str, ask: messages.Ask) -> None:
        refusal = self.roster.stranger(worker, ask.region, ask.protocol, ask.version)
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

    def _hear_beat(self, worker: str, beat: messages.Heartbeat) -> None:
        self.clock_error_us = max(self.clock_error_us, beat.clock_error_us)
        node = self.clients.get(worker)
        if node is not None:
            node.state = beat.state
            node.cpu_usage = beat.current_cpu_usage
            node.memory_usage = beat.current_memory_usage
        self.load.hear(worker, beat)

    def _receive(self, worker: str, message: messages.Record) -> None:
        record, answer = self.roster.receive(worker, message)
        self._send(messages.RECEIVED, answer, worker)
        if isinstance(record, Interval):
            self._fold(self.roster.admitted[worker].seat, record)
            node = self.clients.get(worker)
            if node is not None:
                node.user_classes_count = dict(record.users)

    def _fold(self, seat: Seat, interval: Interval) -> None:
        locust_statistics.fold(self.environment.stats, interval)
        self.live.add(seat.worker, interval)
        if self.on_interval is not None:
            self.on_interval(seat, interval)

    def _remember_counted(self, **_arguments: Any) -> None:
        """Locust's statistics are about to begin anew: somebody wants to see less of them."""
        self._counted_before_reset = self.locust_counted

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
