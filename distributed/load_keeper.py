"""The load of a run on the master's side: placed on the workers that are there, and moved when one of them is gone."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import gevent

from distributed import messages
from distributed.absences import Absences
from distributed.arrivals import period_of
from distributed.lease import lease_clock_ns
from distributed.membership import Change, Membership
from distributed.shares import Shares
from loadproof.errors import RunFolderError
from loadproof.plan.edits import edits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import msgspec

    from distributed.clock import RunClock
    from distributed.cluster_log import ClusterLog, Remembered
    from distributed.live import LiveTotals
    from distributed.membership import Placement
    from distributed.placement import Seat
    from distributed.run_folder import RunFolder
    from distributed.suite import Suite
    from loadproof.plan.model import Plan

TICK_S: Final = 0.1
LAST_US: Final = 1_000_000
HEARD_LATELY_S: Final = 3.0
"""A connection that ends between two ends that both heard each other so lately was not given up by either: ZeroMQ
does that after 6 s. So its process has ended."""


class LoadKeeper:
    """Tells the membership what happens, and carries out what it decides: to the workers, the log and the events."""

    def __init__(
        self,
        plan: Plan,
        suite: Suite,
        run: str,
        folder: RunFolder,
        log: ClusterLog,
        live: LiveTotals,
        send: Callable[[str, msgspec.Struct, str], None],
    ) -> None:
        """`send` sends a message of this type to a worker; what it cannot send now is said again later."""
        self._run = run
        self._edits = edits_of(plan.load)
        self._duration_us = plan.duration_us
        self._period = period_of(plan) if plan.open else 0
        self._folder = folder
        self._log = log
        self._live = live
        self._send = send
        self._shares = (
            Shares(plan, suite.weights, suite.fixed)
            if plan.scenarios is None
            else Shares(plan, plan.scenarios, {})
        )
        self._heard_s: dict[str, float] = {}
        """Worker -> when it spoke last, on the monotonic clock, less how long it had not heard us by then."""
        self._round_trip_ns: dict[str, int] = {}
        """Worker -> how long its link takes there and back, at the most."""
        self.membership = Membership(len(self._shares.pieces), self._shares.deal)
        self.absences = Absences()
        """Workers whose load was given to others while they were silent."""
        self.unwritable: RunFolderError | None = None
        """Why nothing more can be placed: what is placed must be written down before."""
        self.clock: RunClock | None = None
        """Set when the run has one: before the load is placed."""

    @property
    def now_us(self) -> int | None:
        """Run time; None before the run has a clock, 0 while it counts down."""
        return None if self.clock is None else max(0, self.clock.now_us())

    def begin(self) -> None:
        """Place the load on those who are here, from the zero of the clock on, and keep it placed."""
        assert self.clock is not None
        self._log.began(self.clock.start_ns)
        self.membership.begun = True
        self._tick()

    def take_up(self, seats: Iterable[Seat], remembered: Remembered) -> None:
        """These workers may load what a master before this one had placed on them, for one lease.

        None of them was heard of lately: whoever else has such a worker's name must wait until its lease is over.
        """
        for seat in seats:
            revision = remembered.revisions.get(seat.worker, 0)
            self.membership.adopt(seat, revision, remembered.held(seat.worker), lease_clock_ns())
        self.membership.begun = True

    def edited(self) -> None:
        """The plan's load has one more edit: write it down, and tell every worker with a new placement."""
        self._log.edited(self._edits[-1])
        self.membership.renew()
        self._tick()

    def keep_placed(self) -> None:
        """Do what time brings about, until killed or nothing more can be written down."""
        while True:
            gevent.sleep(TICK_S)
            try:
                self._tick()
            except RunFolderError as error:
                self.unwritable = error
                return

    def join(self, seat: Seat) -> None:
        """A worker process is let in."""
        self._heard_s[seat.worker] = time.monotonic()
        self.membership.join(seat, lease_clock_ns())
        if self.now_us is not None:
            self.absences.end(seat.worker, self.now_us)

    def finish(self, worker: str) -> None:
        """It carries nothing any more, and never will."""
        self.membership.finish(worker)
        self._live.forget(worker)

    def hear(self, worker: str, beat: messages.Heartbeat) -> None:
        """A worker asks for its lease, and is told again what it has not heard."""
        self._heard_s[worker] = time.monotonic() - beat.silence_us / 1e6
        # The clock's error is half the shortest round trip, and what it has drifted.
        self._round_trip_ns[worker] = 2_000 * beat.clock_error_us
        if beat.leaving:
            self.membership.leave(worker)
        if self.membership.hear(worker, beat.revision, lease_clock_ns()):
            self._send(messages.LEASE, messages.Lease(beat.asked_ns, beat.revision), worker)
        elif self.clock is not None and (placement := self.membership.latest(worker)) is not None:
            # It was said before, and lost with its connection or still on its way.
            self._place(placement)
        self._tick()

    def connection_ended(self, worker: str) -> None:
        if self._was_heard_lately(worker):
            self.membership.close(worker, lease_clock_ns(), self._round_trip_ns.get(worker, 0))

    def may_return(self, worker: str) -> bool:
        """Its process is silent, and its load has not been taken from it yet."""
        silent = not self._was_heard_lately(worker) or self.membership.is_closed(worker)
        return silent and not self.membership.replaceable(worker)

    def _was_heard_lately(self, worker: str) -> bool:
        return time.monotonic() - self._heard_s.get(worker, -math.inf) < HEARD_LATELY_S

    def _tick(self) -> None:
        """Send what the membership wants sent, and note what it has noticed."""
        now_us = self.now_us
        # A move in the last second would come too late, and a worker whose clock is ahead may end before ours does.
        if now_us is not None and now_us >= self._duration_us - LAST_US:
            self.membership.over = True
        placements = self.membership.tick(lease_clock_ns())
        for notice in self.membership.notices():
            away = notice.change is Change.AWAY
            self._folder.event(now_us, "worker_away" if away else "worker_back", notice.why, notice.worker)
            if away:
                self._live.forget(notice.worker)
            if now_us is not None and away and not self.membership.over:
                self.absences.begin(notice.worker, now_us, notice.why)
            elif now_us is not None:
                self.absences.end(notice.worker, now_us)
        for placement in placements:
            self._place(placement)

    def _place(self, placement: Placement) -> None:
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
            self._period,
            [
                messages.Pool(users, [(turn.index, index[turn.scenario]) for turn in turns])
                for users, turns in carried.pools.items()
            ],
            list(self._edits),
        )
        self._send(messages.BEGIN, begin, placement.worker)
