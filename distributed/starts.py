"""What a worker's users wait for before each task: the plan's arrivals, their pace, or nothing of ours."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

import gevent

from distributed.arrivals import Turns, own_starts
from distributed.limits import stop_timeout_us
from loadproof.client.open_starts import OpenStarts
from loadproof.client.pace import PacedStarts
from loadproof.client.pacer import Pacer
from loadproof.plan.edits import EditedLoad, LoadEdit
from loadproof.plan.profile import phase_spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.messages import Begin
    from loadproof.client.user import Starts
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.model import Plan

PROBE_S: Final = 0.02
"""How often a worker looks how late its own timers are."""


class WorkerStarts:
    """The starts of one worker, and the evidence how late its timers are."""

    def __init__(self, plan: Plan, worker: str, recorder: Recorder) -> None:
        self._plan = plan
        self._worker = worker
        self._recorder = recorder
        self._pacer: Pacer | None = None
        self._open: OpenStarts | None = None
        self._placed: Begin | None = None
        self._parked = False
        self.of_user: Callable[[Any], Starts] | None = None
        """For a user that has its slot; None where users follow their own `wait_time`."""
        if plan.open:
            self._pacer = Pacer()
            self._open = OpenStarts(stop_timeout_us(plan), self._pacer, recorder)
            self.of_user = self._open.place
        elif any(phase.pace_us is not None for phase in plan.load):
            pacer = self._pacer = Pacer()
            spans = phase_spans(plan.load)
            self.of_user = lambda user: PacedStarts(user, spans, pacer, recorder)

    def place(self, begin: Begin) -> None:
        """Offer the starts of this placement from now on; before run time 0, so that the first one is not late."""
        self._placed = begin
        if not self._parked:
            self._walk()

    def park(self) -> None:
        """Offer none until `resume`."""
        self._parked = True
        if self._open is not None:
            self._open.park()

    def resume(self) -> None:
        self._parked = False
        self._walk()

    def _walk(self) -> None:
        if self._open is None or self._placed is None:
            return
        begin, names = self._placed, self._placed.scenarios
        edits = [LoadEdit(at_us, load) for at_us, load in begin.edits]
        plan = self._plan.model_copy(update={"load": EditedLoad(self._plan.load, edits)})
        by_users = {
            pool.users: [(turn, names[scenario]) for turn, scenario in pool.turns] for pool in begin.pools
        }
        turns = Turns(begin.period, by_users)
        now_us = self._recorder.clock()
        self._open.walk(own_starts(plan, self._worker, turns, now_us, begin.revision))

    def probe(self) -> None:
        """Measure the lag of the timers that the load goes by, also in seconds in which nothing is due.

        With arrivals or a pace that is the pacer, whose starts are measured too; users that follow their
        `wait_time` go by the event loop's timers.
        """
        if self._pacer is not None:
            self._probe_pacer(self._pacer)
        else:
            self._probe_loop()

    def finish(self) -> None:
        """Wait, at the end of the plan, until its last start has been noticed."""
        if self._open is not None and not self._parked:
            self._open.walked.get()

    def stop(self) -> None:
        """No more starts; those that wait for a user are dropped. Users that are idle wait on."""
        if self._open is not None:
            self._open.stop()

    def close(self) -> None:
        """When no user is left."""
        if self._pacer is not None:
            self._pacer.close()

    def _probe_pacer(self, pacer: Pacer) -> None:
        apart_ns = int(PROBE_S * 1e9)

        def noticed(due_ns: int, noticed_ns: int) -> None:
            self._recorder.pacer_lag.record((noticed_ns - due_ns) // 1_000)
            pacer.at(noticed_ns + apart_ns, noticed)

        pacer.at(monotonic_ns() + apart_ns, noticed)

    def _probe_loop(self) -> None:
        recorder = self._recorder
        while True:
            due_us = recorder.clock() + int(PROBE_S * 1e6)
            gevent.sleep(PROBE_S)
            recorder.pacer_lag.record(max(0, recorder.clock() - due_us))
