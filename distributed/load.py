"""What one worker loads: the users and starts of the placement that it follows, as long as it may."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NoReturn

import gevent

from distributed.lease import lease_clock_ns
from distributed.placement import Slot
from distributed.starts import WorkerStarts
from distributed.users import Users
from loadproof.client.books import books
from loadproof.plan.edits import LoadEdit

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from distributed.clock import RunClock
    from distributed.lease import Lease
    from distributed.messages import Begin
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.05
"""How soon a lapsed lease is felt by users that wait; who begins a request looks for itself."""
DRAIN_S: Final = 0.05


class Load:
    """Begins parked: nothing loads before `heed_lease`."""

    def __init__(
        self, environment: Any, plan: Plan, worker: str, recorder: Recorder, clock: RunClock, lease: Lease
    ) -> None:
        self._worker = worker
        self._recorder = recorder
        self._lease = lease
        self.starts = WorkerStarts(plan, worker, recorder)
        self.users = Users(environment, recorder, clock, plan.load, (), self.starts.of_user)
        self.parked = False
        recorder.load_until_ns = time.monotonic_ns()
        self._park()

    def place(self, begin: Begin) -> None:
        """Carry this and nothing else; what ends, ends at once."""
        self.users.place(
            [Slot(index, begin.scenarios[scenario]) for index, scenario in begin.slots],
            [LoadEdit(at_us, load) for at_us, load in begin.edits],
        )
        self.starts.place(begin)

    def heed_lease(self) -> None:
        """Load for as long as the lease lasts; without it nothing more begins, and users end."""
        left_ns = self._lease.left_ns(lease_clock_ns())
        if left_ns:
            self._recorder.load_until_ns = time.monotonic_ns() + left_ns
        if left_ns and self.parked:
            self.parked = False
            self.users.resume()
            self.starts.resume()
        elif not left_ns and not self.parked:
            self._park()
            logger.warning("%s is parked: the master has not renewed its lease", self._worker)

    def keep_lease(self) -> NoReturn:
        """Notice when it lapses, until killed."""
        while True:
            self.heed_lease()
            gevent.sleep(LOOK_S)

    def follow_plan(self) -> None:
        """Return when the plan is over, or after `stop`."""
        self.users.follow_plan()
        self.starts.finish()

    def stop(self) -> None:
        """Nothing more begins but what users have still to do; does not wait."""
        self.starts.stop()
        self.users.stop()

    def drain(self, seconds: float, enough: Callable[[], bool]) -> None:
        """After `stop`: let what was begun end, for so long at most and until it is `enough`; end the rest."""
        deadline = time.monotonic() + seconds
        while not enough() and time.monotonic() < deadline:
            if self.users.drain(DRAIN_S):
                break
        self.users.kill()
        # Greenlets of a scenario's own are no users, and nobody has told them of the end.
        books.deadlines.end_all()
        gevent.sleep(DRAIN_S)
        self._recorder.abandon_all()

    def _park(self) -> None:
        self.parked = True
        self.users.park()
        self.starts.park()
