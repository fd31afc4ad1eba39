"""A worker: runs its share of the users, closes an interval a second, and hands its journal to the master."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import time
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
import locust
import msgspec
from gevent.event import Event
from locust.exception import RPCError
from locust.rpc import Message

from distributed import locustfile_messages, messages
from distributed.clock import RunClock
from distributed.clock_offset import Exchange, MasterClock
from distributed.journal_keeper import JournalKeeper
from distributed.lease import RENEWED_S, Lease, lease_clock_ns
from distributed.limits import limits_us, stop_timeout_us
from distributed.load import Load
from distributed.placement import seats
from distributed.runners import QuietWorker
from distributed.smoke import run_every_task_once
from loadproof.client.recording import start_recording
from loadproof.errors import JournalError
from loadproof.measure.recorder import Recorder
from loadproof.measure.scrub import Scrubber
from loadproof.plan.profile import phase_spans

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from locust.env import Environment

    from distributed.placement import Seat
    from distributed.suite import Suite
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

HEARD_S: Final = 1.0
"""How long a worker that gives up waits for the master to hear why: it still loads the target meanwhile."""
FAREWELL_S: Final = 5.0
"""How long a worker whose journals all stand on the master waits for its word to go."""
SILENCE_S: Final = 60.0
"""How long a worker with an ended journal waits for a master that says nothing."""
AFTERWARDS_S: Final = 3.0
"""How long a worker whose master is gone may take to end its journal."""


class Worker(QuietWorker):
    """Locust's worker, with our loops in place of those that wait in a message handler or trust a wall clock."""

    def __init__(
        self,
        environment: Environment,
        seat: Seat,
        plan: Plan,
        plan_sha256: str,
        suite: Suite,
        journal_dir: Path,
        exchanges: Iterable[Exchange],
        *,
        smoke: bool = False,
    ) -> None:
        self.smoke = smoke
        self.seat = seat
        self.plan = plan
        self.plan_sha256 = plan_sha256
        self.suite = suite
        self.journal_dir = journal_dir
        self.epoch: int | None = None
        self.lease = Lease()
        self._load: Load | None = None
        self._clock = MasterClock(exchanges)
        self._heard = time.monotonic()
        """When the master spoke last."""
        self.refused: str | None = None
        self.scrub = Scrubber()
        """Takes the plan's secrets out of every text that leaves this process."""
        self.left = Event()
        """Set when nothing is left to do here."""
        self.stopping = Event()
        self.at_once = False
        self._life = secrets.token_hex(8)
        self._welcome_on = 0
        """The number of the connection by which the master has let us in last."""
        self._begun: messages.Begin | None = None
        """The placement that is followed."""
        self._orphaned = False
        self._leaving = False
        self._journals: JournalKeeper | None = None
        super().__init__(environment, seat.worker)
        self.worker_index = [planned.worker for planned in seats(plan.regions)].index(seat.worker)

    def heartbeat(self) -> NoReturn:
        while True:
            self.client.changed.clear()
            if self.client.refusal is not None:
                self._leave(self.client.refusal)
            elif self._welcome_on != self.client.connections:
                self._say_hello()
            else:
                beat = messages.Heartbeat(
                    self.worker_state,
                    lease_clock_ns(),
                    self.lease.revision,
                    self.stopping.is_set(),
                    int((time.monotonic() - self._heard) * 1e6),
                    self._clock.error_us,
                    float(self.current_cpu_usage),
                    int(self.current_memory_usage),
                )
                self._send(messages.HEARTBEAT, beat)
                self._send(messages.CLOCK, messages.Clock(time.monotonic_ns()))
            self.client.changed.wait(timeout=RENEWED_S)

    def _say_hello(self) -> None:
        hello = messages.Hello(
            protocol=messages.PROTOCOL,
            worker=self.seat.worker,
            region=self.seat.region,
            life=self._life,
            connection=self.client.connections,
            pid=os.getpid(),
            suite_sha256=self.suite.sha256,
            plan_sha256=self.plan_sha256,
            version=locust.__version__,
        )
        self._send(messages.HELLO, hello)

    def worker(self) -> NoReturn:
        """Locust's name for the receive loop: takes messages one by one and never waits in one."""
        while True:
            try:
                self.handle_message(self.client.recv())
            except msgspec.ValidationError as error:
                logger.warning("dropped a message that does not fit: %s", error)
            except Exception as error:  # noqa: BLE001 a stranger's bytes must not deafen a worker
                logger.warning("dropped a message: %s", error)
                gevent.sleep(0.01)

    def handle_message(self, msg: Message) -> None:
        now_ns = time.monotonic_ns()
        self._heard = time.monotonic()
        match msg.type:
            case messages.BEGIN:
                self._follow(messages.read(msg.data, messages.Begin))
            case messages.LEASE:
                lease = messages.read(msg.data, messages.Lease)
                if lease.asked_ns <= lease_clock_ns():
                    self.lease.renew(lease.asked_ns, lease.revision)
                    if self._load is not None:
                        self._load.heed_lease()
            case messages.WELCOME:
                welcome = messages.read(msg.data, messages.Welcome)
                self._welcome_on = welcome.connection
                if self.epoch is None:
                    self.epoch = welcome.epoch
            case messages.CLOCK:
                answer = messages.read(msg.data, messages.Clock)
                if answer.master_ns is not None and answer.worker_ns <= now_ns:
                    self._clock.exchanges.append(Exchange(answer.worker_ns, answer.master_ns, now_ns))
            case messages.RECEIVED:
                received = messages.read(msg.data, messages.Received)
                if self._journals is not None:
                    self._journals.received(received)
            case messages.STOP:
                self.stop_loading(at_once=messages.read(msg.data, messages.Stop).at_once)
            case messages.REFUSED:
                self.refused = messages.read(msg.data, messages.Refused).why
                self.left.set()
            case messages.QUIT:
                self.left.set()
            case _:
                if not locustfile_messages.deliver(self, msg):
                    logger.warning("dropped a message of unknown type %s", msg.type)

    def quit(self) -> None:
        """A locustfile wants the test to end: the whole of it, as where Locust runs in one process."""
        locustfile_messages.end(self)

    def stop_loading(self, *, at_once: bool = False) -> None:
        """End the load and drain; a second call `at_once` ends what is in flight too."""
        self.at_once = self.at_once or at_once
        self.stopping.set()
        if self._begun is None:
            self.left.set()

    @property
    def begun(self) -> bool:
        """It was told to load."""
        return self._begun is not None

    def leave(self) -> None:
        """Leave in order: drain, end the journal, hand it over, and go; the second time without draining."""
        self.stop_loading(at_once=self._leaving)
        self._leaving = True

    def orphan(self) -> None:
        """Our starter is gone: end at once, finish the journal for `recover`, and leave."""
        self._orphaned = True
        self.stop_loading(at_once=True)
        gevent.spawn_later(AFTERWARDS_S, self.left.set)

    def _follow(self, begin: messages.Begin) -> None:
        """Carry what this placement says from now on, unless a later one was heard before it."""
        if not self.lease.follow(begin.revision):
            return
        first = self._begun is None
        self._begun = begin
        if first:
            self.greenlet.spawn(self._run, begin)
        elif self._load is not None:
            self._load.place(begin)
        # The next word to the master acknowledges it.
        self.client.changed.set()

    def _run(self, begin: messages.Begin) -> None:
        try:
            self._load_and_drain(begin)
        except JournalError as error:
            self._give_up(str(error))
        except Exception as error:
            logger.exception("%s cannot go on", self.seat.worker)
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        """End without a FIN, and tell the master why: it has no other way to learn what befell another host."""
        self._send(messages.GIVING_UP, messages.GivingUp(self.scrub(why)[: messages.WHY_CHARACTERS]))
        # The answer shows that it was heard: what is unsent when the process ends is dropped.
        self.left.wait(timeout=HEARD_S)
        self._leave(why)

    def _leave(self, why: str) -> None:
        """The reason goes to the run's log, and the master sees the process go."""
        logger.error("%s stops: %s", self.seat.worker, why)
        self.refused = why
        self.left.set()

    def _load_and_drain(self, begin: messages.Begin) -> None:
        # Fixed for the run: a run time that is put right in its middle would go back or jump.
        self._clock.settle()
        clock = RunClock(begin.start_ns - self._clock.offset_ns)
        phases = [(span.phase.name, span.end_us) for span in phase_spans(self.plan.load)]
        limits = limits_us(self.plan)
        # What a suite does in `test_start` comes before zero, and counts as the first second's.
        faults = [(fault.name, fault.at_us, fault.until_us) for fault in self.plan.faults]
        recorder = Recorder(limits, lambda: max(0, clock.now_us()), phases, clock.start_ns, faults)
        recorder.scrub = self.scrub
        start_recording(self.environment, recorder, begin.run)
        assert self.epoch is not None
        journals = self._journals = JournalKeeper(
            self.journal_dir, begin.run, self.seat, self.epoch, recorder, self._send
        )
        random.seed(f"{self.plan.seed}:{self.seat.worker}")
        load = Load(self.environment, self.plan, self.seat.worker, recorder, clock, self.lease)
        self.worker_state = self.state = "running"
        self.target_user_count = len(begin.slots)
        self.environment._filter_tasks_by_tags()  # noqa: SLF001 done by Locust where it starts users
        locustfile_messages.tell_start(self)
        # What was heard meanwhile is newer.
        load.place(self._begun or begin)
        self._load = load
        load.heed_lease()
        gevent.sleep(clock.seconds_until(0))
        pulse = gevent.spawn(journals.close_intervals, clock)
        replicating = gevent.spawn(journals.replicate)
        helpers = [
            gevent.spawn(load.starts.probe),
            gevent.spawn(journals.sync),
            gevent.spawn(load.keep_lease),
            gevent.spawn(locustfile_messages.tell_spawned, self, self.plan, clock.seconds_until),
            gevent.spawn(locustfile_messages.keep_reporting, self),
        ]
        if self.smoke:
            following = self.user_greenlets.spawn(
                run_every_task_once, self.environment, recorder, begin.scenarios
            )
        else:
            following = gevent.spawn(load.follow_plan)
        gevent.wait([following, self.stopping, pulse, replicating], count=1)
        for vital in (following, replicating):
            if vital.exception is not None:
                # Without its FIN the journal is torn, and the run says so.
                raise vital.exception
        self.environment.events.test_stopping.fire(environment=self.environment)
        load.stop()
        self.worker_state = self.state = "stopping"
        load.drain(stop_timeout_us(self.plan) / 1e6, lambda: self.at_once or pulse.ready())
        pulse.kill()
        if pulse.exception is not None:
            raise pulse.exception
        journals.finish()
        gevent.killall(helpers)
        load.starts.close()
        locustfile_messages.report(self)
        self.worker_state = self.state = "stopped"
        self.environment.events.test_stop.fire(environment=self.environment)
        if self._orphaned:
            self.left.set()
        self._await_dismissal()

    def _await_dismissal(self) -> None:
        """Stay until the master has all and lets us go, we want to go and it has all, or it is gone."""
        assert self._journals is not None
        since_s: float | None = None
        while not self.left.wait(timeout=0.5):
            if not self._journals.done:
                since_s = None
                if time.monotonic() - self._heard > SILENCE_S:
                    self._give_up(f"the master is silent; the journal is kept in {self.journal_dir}")
            elif self._leaving:
                self.left.set()
            elif since_s is None:
                since_s = time.monotonic()
            elif time.monotonic() - max(since_s, self._heard) > FAREWELL_S:
                self.left.set()

    def _send(self, kind: str, message: msgspec.Struct) -> None:
        with contextlib.suppress(RPCError):
            self.client.send(Message(kind, messages.write(message), self.client_id))
