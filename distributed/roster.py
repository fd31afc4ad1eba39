"""Every worker process that was let into a run: its epoch, the copy of its journal, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
import locust
import msgspec
from locust.runners import WorkerNode

from distributed import messages
from distributed.replication import Receiver, sync_failure
from loadproof.errors import JournalError
from loadproof.measure.interval import Fin, Header, Interval
from loadproof.measure.journal import journal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from distributed.cluster_log import ClusterLog, RememberedEpoch
    from distributed.load_keeper import LoadKeeper
    from distributed.placement import Seat
    from distributed.run_folder import RunFolder
    from distributed.suite import Suite


@dataclass
class Admitted:
    """One worker process that was let in."""

    seat: Seat
    epoch: int
    life: str
    receiver: Receiver
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


class Roster:
    """Who is let in and who is not. A worker has one process at a time; each of them is an epoch with a journal."""

    def __init__(
        self,
        orders: messages.Orders,
        suite: Suite,
        seats: Iterable[Seat],
        folder: RunFolder,
        log: ClusterLog,
        load: LoadKeeper,
        nodes: MutableMapping[str, WorkerNode],
    ) -> None:
        """`nodes` is Locust's own list of workers, which locustfiles read: it is kept alike."""
        self._orders = orders
        self._suite = suite
        self._seats = {seat.worker: seat for seat in seats}
        self._folder = folder
        self._log = log
        self._load = load
        self._nodes = nodes
        self.admitted: dict[str, Admitted] = {}
        """By worker, its latest process."""
        self.epochs: list[Admitted] = []
        """All of them."""

    def take_up(self, epochs: Iterable[RememberedEpoch]) -> None:
        """Those whom a master before this one had let in, with the copies of their journals as they stand."""
        for each in epochs:
            receiver = self._receiver(each.worker, each.epoch, go_on=True)
            seat = self._seats[each.worker]
            admitted = Admitted(seat, each.epoch, each.life, receiver, each.joined_us, lost=each.lost)
            self.admitted[each.worker] = admitted
            self.epochs.append(admitted)
        for worker, admitted in self.admitted.items():
            if not admitted.settled:
                self._nodes[worker] = WorkerNode(worker)

    def knows(self, hello: messages.Hello) -> bool:
        """The process that says it is the worker's latest one here."""
        known = self.admitted.get(hello.worker)
        return known is not None and known.life == hello.life

    def stranger(self, worker: str, region: str, protocol: int, version: str) -> str | None:
        """Why this worker has no part in the run, whatever it was started with; None if it has."""
        seat = self._seats.get(worker)
        if protocol != messages.PROTOCOL or version != locust.__version__:
            return (
                f"it speaks protocol {protocol} on Locust {version}, this master "
                f"{messages.PROTOCOL} on {locust.__version__}: install the same version"
            )
        if seat is None or seat.region != region:
            return f"the plan has no worker {worker} in region {region}"
        return None

    def let_in(self, hello: messages.Hello) -> str | None:
        """Give a worker its seat, or know it again; or say why that cannot be, as one line for its operator."""
        if self.knows(hello):
            return self.admitted[hello.worker].lost
        return self._refusal(hello) or self._admit(hello)

    def receive(
        self, worker: str, message: messages.Record
    ) -> tuple[Header | Interval | Fin | None, messages.Received]:
        """Write the next record of a journal: the record if it is new, and the answer to send.

        ValidationError for a journal that nobody here has, JournalError for a record that is not taken.
        """
        admitted = self._epoch(worker, message.epoch)
        if admitted is None:
            raise msgspec.ValidationError("a journal record from nobody who was admitted")
        try:
            record, answer = admitted.receiver.receive(message)
        except JournalError as error:
            admitted.unwritten = str(error)
            raise
        if record is not None:
            admitted.unwritten = None
        if isinstance(record, Fin):
            admitted.left_us = self._load.now_us
            if admitted is self.admitted[worker]:
                self._load.finish(worker)
            self._folder.event(admitted.left_us, "worker_left", "in order", worker)
        return record, answer

    def lose(self, worker: str, why: str) -> None:
        """A worker's process is gone; keep what its journal has, and say so once."""
        admitted = self.admitted.get(worker)
        if admitted is None or admitted.settled:
            return
        cause = admitted.gave_up or admitted.unwritten
        why = f"{why}: {cause}" if cause else why
        admitted.lost = why
        self._log.lost(worker, admitted.epoch, why)
        admitted.left_us = self._load.now_us
        self._load.finish(worker)
        self._nodes.pop(worker, None)
        self._folder.event(admitted.left_us, "worker_lost", why, worker)

    def at_work(self) -> list[Seat]:
        """Who carries load, or did to the end."""
        membership = self._load.membership
        return [
            admitted.seat
            for worker, admitted in self.admitted.items()
            if admitted.lost is None
            and (membership.over if admitted.finished else not membership.replaceable(worker))
        ]

    def secure_copies(self) -> bool:
        """Bring every finished copy to disk; True if all journals are whole and there.

        A copy that the disk did not take is lost, although it can be read back now.
        """
        whole = True
        for admitted in self.epochs:
            failure = gevent.get_hub().threadpool.apply(sync_failure, (admitted.receiver.copy,))
            if failure is not None:
                self._folder.event(admitted.left_us, "note", failure, admitted.seat.worker)
                admitted.lost = admitted.lost or failure
                whole = False
            whole = whole and admitted.finished
        return whole

    def close(self) -> None:
        for admitted in self.epochs:
            admitted.receiver.copy.close()

    def documents(self) -> list[dict[str, Any]]:
        """For the manifest: every epoch."""
        return [
            {
                "worker": admitted.seat.worker,
                "region": admitted.seat.region,
                "epoch": admitted.epoch,
                "joined_us": admitted.joined_us,
                "left_us": admitted.left_us,
                "how": "fin" if admitted.finished and admitted.lost is None else "lost",
                "why": admitted.lost,
            }
            for admitted in sorted(self.epochs, key=lambda each: (each.seat.worker, each.epoch))
        ]

    def _refusal(self, hello: messages.Hello) -> str | None:
        """Why this process may not join; None if it may."""
        stranger = self.stranger(hello.worker, hello.region, hello.protocol, hello.version)
        if stranger is not None:
            return stranger
        if hello.plan_sha256 != self._orders.plan_sha256:
            return "it has another plan: start it with the plan of this run"
        if hello.suite_sha256 != self._suite.sha256:
            return "it has other user classes: install the same suite or locustfile"
        known = self.admitted.get(hello.worker)
        if known is not None and not known.settled and not self._load.membership.replaceable(hello.worker):
            return f"{hello.worker} is taken by another process"
        if self._load.membership.over:
            return "the run is ending"
        return None

    def _admit(self, hello: messages.Hello) -> str | None:
        worker = hello.worker
        before = self.admitted.get(worker)
        epoch = 0 if before is None else before.epoch + 1
        try:
            receiver = self._receiver(worker, epoch)
        except JournalError as error:
            return str(error)
        if before is not None and not before.settled:
            self.lose(worker, "another process has taken its place before its journal had ended")
        now_us = self._load.now_us
        admitted = Admitted(self._seats[worker], epoch, hello.life, receiver, now_us)
        self._log.admitted(worker, epoch, hello.life, now_us)
        self.admitted[worker] = admitted
        self.epochs.append(admitted)
        self._nodes[worker] = WorkerNode(worker)
        self._load.join(admitted.seat)
        self._folder.event(now_us, "worker_joined", f"process {hello.pid}, region {hello.region}", worker)
        return None

    def _receiver(self, worker: str, epoch: int, *, go_on: bool = False) -> Receiver:
        return Receiver(self._folder.journals / journal_name(worker, epoch), worker, epoch, go_on=go_on)

    def _epoch(self, worker: str, epoch: int) -> Admitted | None:
        """Whose journal a record belongs to: the worker's own, or one that a process before it has left behind."""
        latest = self.admitted.get(worker)
        if latest is None or latest.epoch == epoch:
            return None if latest is None or latest.lost is not None else latest
        return next(
            (each for each in self.epochs if each.seat.worker == worker and each.epoch == epoch), None
        )
