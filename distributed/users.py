"""A worker's users: started and stopped by the plan's own arithmetic, never by a message per step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gevent
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.measure.interval import Outcome
from loadproof.plan.profile import next_change_us, users_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gevent.pool import Group

    from distributed.clock import RunClock
    from distributed.placement import Slot
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.model import Phase

logger = logging.getLogger(__name__)

TICK_S = 0.05
"""Longest sleep between two looks at the plan, so that a stop is felt at once."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0


class Users:
    """Keeps slot i running while the plan asks for more than i users.

    A user that ends by itself is replaced: a closed model holds its number. One whose `on_start` failed is
    counted as a failed request `USER on_start` and retried with growing pauses.
    """

    def __init__(
        self,
        environment: Any,
        recorder: Recorder,
        clock: RunClock,
        load: Sequence[Phase],
        slots: Sequence[Slot],
    ) -> None:
        self._environment = environment
        self._recorder = recorder
        self._clock = clock
        self._load = load
        self._total = max((max(phase.users_from, phase.users_to) for phase in load), default=0)
        self._slots = sorted(slots, key=lambda slot: slot.index)
        self._keepers: list[gevent.Greenlet] = []
        self._running: dict[int, Any] = {}
        self._stopping = False
        self.group: Group = environment.runner.user_greenlets

    def follow_plan(self) -> None:
        """Return when the plan is over or `stop` was called; users are still running then."""
        total_us = sum(phase.duration_us for phase in self._load)
        while not self._stopping:
            now = self._clock.now_us()
            if now >= total_us:
                return
            wanted = users_at(self._load, now)
            while len(self._keepers) < len(self._slots) and self._slots[len(self._keepers)].index < wanted:
                slot = self._slots[len(self._keepers)]
                self._keepers.append(gevent.spawn(self._keep, slot))
            while self._keepers and self._slots[len(self._keepers) - 1].index >= wanted:
                self._release()
            change = next_change_us(self._load, now)
            pause = TICK_S if change is None else min(TICK_S, self._clock.seconds_until(change))
            gevent.sleep(max(pause, 0.001))

    def stop(self) -> None:
        """Let every user end after its current task; does not wait."""
        self._stopping = True
        while self._keepers:
            self._release()

    def drain(self, seconds: float) -> bool:
        """Wait for users that were told to stop; True if all have ended."""
        return bool(self.group.join(timeout=seconds))

    def kill(self) -> None:
        """End the rest; their requests in flight become unfinished."""
        self.group.kill(block=True, timeout=5)

    def _release(self) -> None:
        position = len(self._keepers) - 1
        keeper = self._keepers.pop()
        keeper.kill(block=False)
        user = self._running.pop(self._slots[position].index, None)
        if user is not None:
            self._let_go(user)

    def _let_go(self, user: Any) -> None:
        """What `User.stop(force=False)` does, without its race.

        Locust kills a waiting user, and if its wait ends before the kill arrives, the kill hits the request
        that it has just begun. With the state set first, such a user ends by itself.
        """
        self._recorder.user_stopped(type(user).__name__)
        state, user._state = user._state, LOCUST_STATE_STOPPING  # noqa: SLF001 Locust's own protocol
        if state in {None, LOCUST_STATE_WAITING}:
            # At once, so that one which has not begun never does; and without waiting for its `on_stop`.
            self.group.killone(user.greenlet, block=False)

    def _keep(self, slot: Slot) -> None:
        user_class = self._environment.user_classes_by_name[slot.scenario]
        backoff = FIRST_BACKOFF_S
        user = None
        while True:
            # A replacement plays the same user, so it goes on with the same share of the rows.
            rows = getattr(user, "_own_rows", None)
            try:
                user = user_class(self._environment)
            except Exception as error:  # noqa: BLE001 a scenario's constructor may raise anything
                self._count_failed_start(slot.scenario, error, self._clock.now_us())
                gevent.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_S)
                continue
            user.slot, user.slots, user._own_rows = slot.index, self._total, rows  # noqa: SLF001
            started = self._clock.now_us()
            greenlet = user.start(self.group)
            self._running[slot.index] = user
            self._recorder.user_started(slot.scenario)
            greenlet.join()
            if self._running.pop(slot.index, None) is None:
                # Let go in the same instant as it ended: it is counted as stopped already.
                return
            self._recorder.user_stopped(slot.scenario)
            if greenlet.exception is not None:
                self._count_failed_start(slot.scenario, greenlet.exception, started)
            if self._clock.now_us() - started > LONGEST_BACKOFF_S * 1_000_000:
                backoff = FIRST_BACKOFF_S
            elif greenlet.exception is not None or self._clock.now_us() - started < 1_000_000:
                gevent.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF_S)

    def _count_failed_start(self, scenario: str, error: BaseException, started_us: int) -> None:
        ticket = self._recorder.begin(scenario, "USER", "on_start")
        ticket.start_us = started_us
        self._recorder.finish(
            ticket,
            Outcome.FAILED,
            max(0, self._clock.now_us() - started_us),
            error=f"{type(error).__name__}: {error}"[:300],
            answered=0,
        )
