"""The master in made-up time: the real membership and receivers, and what of it outlives a `kill -9`."""

from dataclasses import dataclass, field

from simulated_link import DOWN, UP
from simulated_time import ns

from distributed.absences import Absences
from distributed.cluster_log import ClusterLog, read_cluster_log
from distributed.load_keeper import HEARD_LATELY_S, LAST_US, TICK_S
from distributed.membership import Change, Membership
from distributed.messages import Record
from distributed.replication import Receiver
from loadproof.measure.interval import Fin
from loadproof.measure.journal import journal_name, read_records


@dataclass
class Epoch:
    """One process that was let in."""

    seat: object
    epoch: int
    process: object
    receiver: Receiver | None = None
    finished: bool = False
    lost: str | None = None


@dataclass
class Written:
    """What the master has on disk, beside the journals' copies and its log."""

    epochs: dict = field(default_factory=dict)
    """Worker -> its epochs."""
    absences: Absences = field(default_factory=Absences)
    quorum_lost: Absences = field(default_factory=Absences)


class Master:
    def __init__(self, cluster, written):
        self.cluster = cluster
        self.time = cluster.time
        self.written = written
        self.dead = False
        self.current = {}
        self.heard = {}
        """Worker -> when it spoke last, less how long it had not heard us by then."""
        shares = cluster.shares
        self.membership = Membership(len(shares.pieces), shares.deal)
        if written.epochs:
            self._take_up(read_cluster_log(cluster.folder))
        self.log = ClusterLog(cluster.folder)
        self.tick()

    def begin(self):
        self.log.began(0)
        self.membership.begun = True

    def _take_up(self, remembered):
        """After a restart: the copies as they are on disk, and whatever their workers may carry."""
        for worker, epochs in self.written.epochs.items():
            for epoch in epochs:
                if not epoch.finished and epoch.lost is None:
                    self._open(epoch)
                    revision = remembered.revisions.get(worker, 0)
                    self.membership.adopt(epoch.seat, revision, remembered.held(worker), self.time.now_ns)
        self.membership.begun = True

    def _open(self, epoch):
        path = self.cluster.folder / journal_name(epoch.seat.worker, epoch.epoch)
        epoch.receiver = Receiver(path, epoch.seat.worker, epoch.epoch, go_on=True)

    # What workers say.

    def receive(self, connection, what, args):
        if not self.dead:
            getattr(self, f"hear_{what}")(connection, *args)
            self.move()

    def gone(self, connection):
        if self.dead:
            return
        for worker, current in self.current.items():
            if current is connection and self.time.now_ns - self.heard.get(worker, 0) < ns(HEARD_LATELY_S):
                round_trip_ns = ns(2 * connection.path.one_way_s)
                self.membership.close(worker, self.time.now_ns, round_trip_ns)

    def hear_hello(self, connection, process):
        worker = process.seat.worker
        epochs = self.written.epochs.setdefault(worker, [])
        known = next((epoch for epoch in epochs if epoch.process is process), None)
        if known is None:
            if not self.membership.replaceable(worker) or self.membership.over:
                connection.send(DOWN, "refused")
                return
            for epoch in epochs:
                if not epoch.finished and epoch.lost is None:
                    self._lose(epoch, "it was replaced")
            known = Epoch(process.seat, len(epochs), process)
            self._open(known)
            epochs.append(known)
            self.log.admitted(worker, known.epoch, str(id(process)), None)
            self.membership.join(process.seat, self.time.now_ns)
            self.cluster.note("join", worker)
        elif known.lost is not None:
            return
        self.current[worker] = connection
        self.heard[worker] = self.time.now_ns
        connection.send(DOWN, "welcome", known.epoch)
        self._place(worker)

    def hear_heartbeat(self, connection, process, asked_ns, revision, leaving, silence_ns):
        worker = process.seat.worker
        if self.current.get(worker) is not connection:
            return
        self.heard[worker] = self.time.now_ns - silence_ns
        if self.written.epochs[worker][-1].finished:
            return
        if leaving:
            self.membership.leave(worker)
        if self.membership.hear(worker, revision, self.time.now_ns):
            connection.send(DOWN, "lease", asked_ns, revision)
        else:
            self._place(worker)

    def hear_record(self, connection, process, message):
        worker = process.seat.worker
        epochs = self.written.epochs[worker]
        if self.current.get(worker) is not connection or epochs[-1].process is not process:
            return
        # A journal that a process before this one has left behind is taken too.
        epoch = epochs[message.epoch]
        found, answer = epoch.receiver.receive(message)
        connection.send(DOWN, "received", answer)
        if isinstance(found, Fin):
            epoch.finished = True
            if epoch is epochs[-1]:
                self.membership.finish(worker)
            self.cluster.note("left", worker)

    # What it does by itself.

    def tick(self):
        if not self.dead:
            if self.time.now_ns >= self.cluster.end_ns - LAST_US * 1_000:
                self.membership.over = True
            self.move()
            self._heed_quorum()
            self.time.after(TICK_S, self.tick)

    def move(self):
        for placement in self.membership.tick(self.time.now_ns):
            self._place(placement.worker)
        for notice in self.membership.notices():
            self.cluster.note(str(notice.change), notice.worker)
            if notice.change is Change.AWAY:
                self.written.absences.begin(notice.worker, self.run_us, notice.why)
            else:
                self.written.absences.end(notice.worker, self.run_us)

    def _heed_quorum(self):
        if not 0 < self.run_us < self.cluster.plan.duration_us or self.membership.over:
            return
        present = [seat.region for seat in self.membership.present]
        lost = self.written.quorum_lost
        for region in self.cluster.plan.regions:
            missing = present.count(region.name) < region.quorum
            if missing and region.name not in lost.open:
                lost.begin(region.name, self.run_us, "too few workers")
            elif not missing and region.name in lost.open:
                lost.end(region.name, self.run_us)

    @property
    def run_us(self):
        return max(0, (self.time.now_ns - self.cluster.zero_ns) // 1_000)

    def _place(self, worker):
        placement = self.membership.latest(worker)
        if placement is None or not self.membership.begun:
            return
        self.log.placing(placement)
        connection = self.current.get(worker)
        if connection is not None:
            slots = self.cluster.shares.carried(placement.pieces).slots
            connection.send(DOWN, "placement", placement.revision, slots)

    def reap(self, process):
        """A child of ours is dead: what it had written and not sent is taken from its file."""
        worker = process.seat.worker
        for epoch in self.written.epochs.get(worker, ()):
            if epoch.process is process and not epoch.finished and epoch.lost is None:
                if process.journal is not None:
                    for record in read_records(process.file, epoch.receiver.expected):
                        epoch.receiver.receive(Record(epoch.epoch, epoch.receiver.expected, record))
                self._lose(epoch, "its process was killed")
                self.membership.finish(worker)
                self.move()

    def _lose(self, epoch, why):
        epoch.lost = why
        self.log.lost(epoch.seat.worker, epoch.epoch, why)

    def kill(self):
        """SIGKILL: the kernel closes every connection."""
        self.dead = True
        self.log.close()
        for epochs in self.written.epochs.values():
            for epoch in epochs:
                epoch.receiver.copy.close()
        for connection in self.current.values():
            connection.close(UP)
