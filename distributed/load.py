"""What one worker loads: the users and starts of the placement that it follows, as long as it may."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from distributed.placement import Slot
from distributed.starts import WorkerStarts
from distributed.users import Users

if TYPE_CHECKING:
    from typing import Any

    from distributed.clock import RunClock
    from distributed.messages import Begin
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.model import Plan


class Load:
    """Begins parked: nothing loads before `allow`."""

    def __init__(
        self, environment: Any, plan: Plan, worker: str, recorder: Recorder, clock: RunClock
    ) -> None:
        self._recorder = recorder
        self.starts = WorkerStarts(plan, worker, recorder)
        self.users = Users(environment, recorder, clock, plan.load, (), self.starts.of_user)
        self.parked = False
        self._park()

    def place(self, begin: Begin) -> None:
        """Carry this and nothing else; what ends, ends at once."""
        self.users.place([Slot(index, begin.scenarios[scenario]) for index, scenario in begin.slots])
        self.starts.place(begin)

    def allow(self, left_ns: int) -> None:
        """Load for so long from now on; with 0 nothing more begins, and users end."""
        self._recorder.load_until_ns = time.monotonic_ns() + left_ns
        if left_ns and self.parked:
            self.parked = False
            self.users.resume()
            self.starts.resume()
        elif not left_ns and not self.parked:
            self._park()

    def follow_plan(self) -> None:
        """Return when the plan is over, or after `stop`."""
        self.users.follow_plan()
        self.starts.finish()

    def stop(self) -> None:
        """Nothing more begins but what users have still to do; does not wait."""
        self.starts.stop()
        self.users.stop()

    def _park(self) -> None:
        self.parked = True
        self.users.park()
        self.starts.park()
