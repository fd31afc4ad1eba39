"""A worker process in made-up time: the real lease, recorder, journal and sender around users that only count."""

from heapq import heappop, heappush
from itertools import count

from simulated_link import DOWN, UP, WAYS, Connection
from simulated_target import TIMEOUT_US
from simulated_time import ns

from distributed.journal_keeper import RESEND_S
from distributed.lease import RENEWED_S, Lease
from distributed.replication import Sender
from loadproof.measure.interval import Header, Outcome
from loadproof.measure.journal import FORMAT_VERSION, JournalWriter, journal_name
from loadproof.measure.recorder import Recorder
from loadproof.plan.profile import phase_at, users_at

SECOND_US = 1_000_000
PACE_US = 1_000_000
"""From one start of a user to its next, unless the answer takes longer."""
LOOK_S = 0.1
RECONNECT_S = (0.1, 2.0)
"""Pause before the first attempt to reach the master again, and the longest; it doubles, as ZeroMQ does it."""
METHOD, NAME = "GET", "/work"


class Process:
    """One life of one worker.

    What its users do is worked off in order whenever something else happens to it; its own time is `at_us`.
    """

    def __init__(self, cluster, seat, path, home):
        """`home` is the folder of its host for journals."""
        self.cluster = cluster
        self.home = home
        self.time = cluster.time
        self.chance = cluster.chance
        self.plan = cluster.plan
        self.seat = seat
        self.path = path
        self.rate = 1 + self.chance.uniform(-200e-6, 200e-6)
        # Half a round trip bounds what it may be wrong about the master's clock.
        self.error_us = round(self.chance.uniform(-0.5, 0.5) * (path.one_way_s + path.jitter_s) * 1e6)
        self.booted_ns = self.time.now_ns - ns(self.chance.uniform(20, 2_000))
        self.at_us = 0
        self.lease = Lease()
        self.epoch = None
        self.connection = None
        self.welcome = False
        self.pause_s = RECONNECT_S[0]
        self.heard_ns = self.time.now_ns
        self.journal = None
        self.waiting = []
        """How many requests were in flight at the end of each interval of its journal."""
        self.senders = {}
        """Epoch -> what is sent of its journal: its own, and those that processes before it left on this host."""
        self.progress = {}
        self.slots = {}
        self.users = {}
        """Index of an active slot -> the number of its user."""
        self.in_flight = {}
        """Number of a request -> its ticket."""
        self.parked = True
        self.dead = False
        self.frozen_ns = None
        self.mail = []
        self.stopping = False
        self.leaving = False
        self.drain_until_us = None
        self.ended = False
        self._todo = []
        self._order = count(1)
        self.time.after(self.chance.random() * 0.2, self.connect)
        self.time.after(self.chance.random(), self.beat)

    # Clocks.

    def boot_ns(self):
        return round((self.time.now_ns - self.booted_ns) * self.rate)

    def run_us(self, now_ns):
        return int((now_ns - self.cluster.zero_ns) * self.rate / 1_000) + self.error_us

    def true_ns(self, run_us):
        return self.cluster.zero_ns + round((run_us - self.error_us) * 1_000 / self.rate)

    def catch_up(self):
        """Work off what its users have done until now."""
        until_us = self.run_us(self.time.now_ns)
        todo = self._todo
        while todo and todo[0][0] <= until_us:
            due_us, _, what, args = heappop(todo)
            self.at_us = max(due_us, self.at_us)
            what(*args)
        self.at_us = max(until_us, self.at_us)

    def _later(self, due_us, what, *args):
        heappush(self._todo, (due_us, next(self._order), what, args))

    @property
    def idle(self):
        """It does nothing any more, or cannot."""
        return self.dead or self.frozen_ns is not None

    # The link.

    def connect(self):
        if self.idle or self.connection is not None:
            return
        if self.cluster.master is None or any(self.path.is_cut(way) for way in WAYS):
            self._reconnect()
        else:
            self.time.after(self.path.handshake_s(), self._connected, self.cluster.master)

    def _connected(self, master):
        if self.idle or self.connection is not None:
            return
        if self.cluster.master is not master or any(self.path.is_cut(way) for way in WAYS):
            self._reconnect()
            return
        self.connection = Connection(self.path, self, master)
        self.welcome = False
        self.pause_s = RECONNECT_S[0]
        self.say("hello")

    def _reconnect(self):
        pause_s = self.pause_s + self.chance.random() * RECONNECT_S[0]
        self.pause_s = min(2 * self.pause_s, RECONNECT_S[1])
        self.time.after(pause_s, self.connect)

    def say(self, what, *args):
        """Lost if there is no connection: nothing is queued."""
        if self.connection is not None and (self.welcome or what == "hello"):
            self.connection.send(UP, what, self, *args)

    def gone(self, connection):
        if self.frozen_ns is not None:
            self.mail.append((connection, "gone", ()))
        elif connection is self.connection:
            self.connection = None
            self._reconnect()

    def receive(self, connection, what, args):
        if self.frozen_ns is not None:
            self.mail.append((connection, what, args))
        elif not self.dead and connection is self.connection:
            self.heard_ns = self.time.now_ns
            self.catch_up()
            getattr(self, f"hear_{what}")(*args)

    # What the master says.

    def hear_welcome(self, epoch):
        self.welcome = True
        self.epoch = epoch if self.epoch is None else self.epoch
        self.ask_for_lease()

    def hear_refused(self):
        """Another process may have the name still: who started this one starts it again."""
        self.connection.close(DOWN)
        self.gone(self.connection)

    def hear_lease(self, asked_ns, revision):
        self.lease.renew(asked_ns, revision)
        self._allow()

    def hear_placement(self, revision, slots):
        if not self.lease.follow(revision):
            return
        if self.journal is None:
            self._begin()
        self.slots = {slot.index: slot.scenario for slot in slots}
        for index, (_, scenario) in list(self.users.items()):
            if self.slots.get(index) != scenario:
                self._release(index)
        self._follow_plan()
        self.ask_for_lease()

    def hear_received(self, message):
        if message.epoch in self.senders:
            self.senders[message.epoch].received(message)
            self._replicate()

    # Its loops.

    def beat(self):
        if self.dead or self.ended_and_sent:
            return
        if self.frozen_ns is None:
            self.catch_up()
            self.ask_for_lease()
            self._retry()
        self.time.after(RENEWED_S, self.beat)

    def ask_for_lease(self):
        silence_ns = self.time.now_ns - self.heard_ns
        self.say("heartbeat", self.boot_ns(), self.lease.revision, self.stopping, silence_ns)

    def _allow(self):
        """Load while the lease lasts, park when it ends."""
        left_ns = self.lease.left_ns(self.boot_ns())
        if left_ns > 0:
            # A microsecond late, so that rounding does not look before it is over.
            self.time.after(left_ns / self.rate / 1e9 + 1e-6, self._look)
        if self.parked != (left_ns <= 0):
            self.parked = left_ns <= 0
            if self.parked:
                for index in list(self.users):
                    self._release(index)
            else:
                self._follow_plan()

    def _look(self):
        if not self.idle and self.lease.left_ns(self.boot_ns()) <= 0 and not self.parked:
            self.catch_up()
            self._allow()

    def _replicate(self):
        for sender in self.senders.values():
            for record in sender.next_records():
                self.say("record", record)

    def _retry(self):
        for epoch, sender in self.senders.items():
            acknowledged, since_ns = self.progress.get(epoch, (None, 0))
            if sender.acknowledged != acknowledged:
                self.progress[epoch] = (sender.acknowledged, self.time.now_ns)
            elif not sender.done and self.time.now_ns - since_ns > ns(RESEND_S):
                sender.retry()
                self.progress[epoch] = (sender.acknowledged, self.time.now_ns)
        self._replicate()

    @property
    def ended_and_sent(self):
        return self.ended and all(sender.done for sender in self.senders.values())

    # Its journal.

    def _begin(self):
        now_us = self.run_us(self.time.now_ns)
        self.at_us = max(0, now_us)
        self.recorder = Recorder(
            self.cluster.limits_us, lambda: max(0, self.at_us), self.cluster.phase_ends, 0
        )
        self.file = self.home / journal_name(self.seat.worker, self.epoch)
        seat = self.seat
        header = Header(
            FORMAT_VERSION, self.cluster.run, seat.worker, seat.region, self.epoch, self.cluster.limits_us
        )
        earlier = [self.home / journal_name(seat.worker, epoch) for epoch in range(self.epoch)]
        self.senders = {epoch: Sender.of(path, epoch) for epoch, path in enumerate(earlier) if path.is_file()}
        self.journal = JournalWriter(self.file, header)
        self.sender = self.senders[self.epoch] = Sender(self.file, self.epoch)
        self.sender.wrote(self.journal.header_record)
        self._replicate()
        for change_us in self.cluster.changes_us:
            if change_us > now_us:
                self._later(change_us, self._follow_plan)
        self.time.at(self.true_ns(self.recorder.closes_at_us), self._pulse)
        self.time.at(self.true_ns(self.plan.duration_us), self._end_of_plan)

    def _pulse(self):
        if self.dead or self.ended:
            return
        if self.frozen_ns is None:
            self.catch_up()
            if self.at_us >= self.recorder.closes_at_us:
                self._append()
            self.time.at(self.true_ns(self.recorder.closes_at_us) + 1_000, self._pulse)

    def _append(self):
        self.recorder.pacer_lag.record(150, 20)
        interval = self.recorder.close_interval(cpu_us=100_000, steal_us=0)
        self.waiting.append(len(self.in_flight))
        self.sender.wrote(self.journal.append(interval))
        self._replicate()

    # Its users.

    def _follow_plan(self):
        wanted = 0 if self.parked or self.stopping else users_at(self.plan.load, self.at_us)
        for index, scenario in self.slots.items():
            if index < wanted:
                if index not in self.users:
                    self._bring(index, scenario)
            elif index in self.users:
                self._release(index)

    def _bring(self, index, scenario):
        number = next(self._order)
        self.users[index] = (number, scenario)
        self.recorder.user_started(scenario)
        self._count_user(1)
        self._later(self.at_us + self.chance.randrange(PACE_US), self._turn, index, number)

    def _release(self, index):
        _, scenario = self.users.pop(index)
        self.recorder.user_stopped(scenario)
        self._count_user(-1)

    def _count_user(self, change):
        self.cluster.active.append((self.true_ns(self.at_us), change))

    def _turn(self, index, number):
        """A user begins its next request, if it is still the one of its slot."""
        user = self.users.get(index)
        if user is None or user[0] != number:
            return
        ticket = self.recorder.begin(user[1], METHOD, NAME)
        phase = phase_at(self.plan.load, ticket.start_us)
        answer = self.cluster.target.ask(
            self.true_ns(self.at_us),
            self,
            self.plan.load[-1].name if phase is None else phase.name,
            ticket.start_us,
        )
        request = next(self._order)
        self.in_flight[request] = ticket
        latency_us = TIMEOUT_US if answer.latency_us is None else answer.latency_us
        self._later(self.at_us + latency_us, self._done, request, answer, latency_us)
        self._later(self.at_us + max(PACE_US, latency_us + 1_000), self._turn, index, number)

    def _done(self, request, answer, latency_us):
        ticket = self.in_flight.pop(request)
        recorder = self.recorder
        if answer.latency_us is None:
            recorder.finish(ticket, Outcome.TIMEOUT, latency_us, answered=0, unanswered=1, error="timeout")
        elif not answer.ok:
            recorder.finish(ticket, Outcome.FAILED, latency_us, error="503")
        else:
            recorder.finish(ticket, Outcome.OK, latency_us)
        checked = None if not answer.ok else answer.right
        recorder.check(ticket.scenario, "correct", checked)

    # How it ends.

    def _end_of_plan(self):
        if not self.idle:
            self.catch_up()
            self.stop()

    def stop(self):
        """No more starts; what is in flight may end."""
        if self.stopping or self.journal is None:
            return
        self.stopping = True
        for index in list(self.users):
            self._release(index)
        self.drain_until_us = self.at_us + self.plan.stop_timeout_us
        self._drain()

    def leave(self):
        """SIGTERM."""
        if self.idle or self.leaving:
            return
        self.catch_up()
        self.leaving = True
        self.stop()
        self.ask_for_lease()

    def _drain(self):
        if self.idle or self.ended:
            return
        self.catch_up()
        if self.in_flight and self.at_us < self.drain_until_us:
            self.time.after(LOOK_S, self._drain)
            return
        self.recorder.abandon_all()
        self._append()
        totals = self.recorder.totals
        fin = self.journal.finish(
            started=totals.started, ok=totals.ok, failed=totals.failed, unfinished=totals.unfinished
        )
        self.ended = True
        self.journal.close()
        self.sender.wrote(fin)
        self._replicate()

    def kill(self, *, kernel_lives=True):
        """SIGKILL, or the machine is gone without a word."""
        if self.dead:
            return
        if self.frozen_ns is None and self.journal is not None and not self.ended:
            self.catch_up()
            self.cluster.active.append((self.time.now_ns, -len(self.users)))
        self.dead = True
        self.frozen_ns = None
        if self.journal is not None:
            self.journal.close()
        if self.connection is not None:
            self.connection.close(DOWN, told=kernel_lives)

    def freeze(self, seconds):
        """SIGSTOP, and SIGCONT so much later."""
        if self.idle:
            return
        self.catch_up()
        self.frozen_ns = self.time.now_ns
        self.cluster.active.append((self.time.now_ns, -len(self.users)))
        if self.connection is not None:
            self.time.after(self.chance.uniform(5, 8), self._unheard, self.connection, self.frozen_ns)
        self.time.after(seconds, self._thaw, self.frozen_ns)

    def _unheard(self, connection, since_ns):
        """A frozen process does not answer ZeroMQ's heartbeats."""
        if self.frozen_ns == since_ns and connection.open[UP]:
            connection.close(UP)
            connection.ends[UP].gone(connection)

    def _thaw(self, since_ns):
        if self.dead or self.frozen_ns != since_ns:
            return
        self.frozen_ns = None
        now_us = self.run_us(self.time.now_ns)
        if self.journal is not None and not self.ended:
            gap_us = max(0, now_us - self.at_us)
            # Answers that came meanwhile have the kernel's stamp; what was due is late, and looks at the lease first.
            self.at_us = now_us
            self.cluster.active.append((self.time.now_ns, len(self.users)))
            self.recorder.pacer_lag.record(gap_us)
            self._allow()
            self.catch_up()
            if now_us >= self.plan.duration_us:
                self.stop()
            self._drain_again()
            if not self.ended:
                self._pulse()
        mail, self.mail = self.mail, []
        for connection, what, args in mail:
            if what == "gone":
                self.gone(connection)
            else:
                self.receive(connection, what, args)
        if self.connection is None:
            self.connect()

    def _drain_again(self):
        if self.stopping and not self.ended:
            self._drain()
