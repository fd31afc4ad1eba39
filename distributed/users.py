"""A worker's users: started and stopped by the plan's own arithmetic, never by a message per step."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.measure.interval import Outcome
from loadproof.plan.profile import next_change_us, users_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gevent.pool import Group

    from distributed.clock import RunClock
    from distributed.placement import Slot
    from loadproof.client.user import Starts
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.model import Phase

logger = logging.getLogger(__name__)

TICK_S = 0.05
"""Longest sleep between two looks at the plan, so that a stop is felt at once."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
BURST = 32
"""Users made before the others get a turn."""


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
        starts: Callable[[Any], Starts] | None = None,
    ) -> None:
        """`starts` says for a user when it begins its tasks; None where they follow `wait_time`."""
        self._starts = starts
        self._environment = environment
        self._recorder = recorder
        self._clock = clock
        self._load = load
        self._total = max((max(phase.users_from, phase.users_to) for phase in load), default=0)
        self._slots = sorted(slots, key=lambda slot: slot.index)
        self._begun = 0
        """How many of the slots, from the first, have been asked for."""
        self._running: dict[int, Any] = {}
        """Position among the slots -> its user."""
        self._returning: dict[int, gevent.Greenlet] = {}
        """Position -> what brings its next user, after a pause."""
        self._pauses: dict[int, float] = {}
        """Position -> seconds to wait after the next failure, where there was one."""
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
            while (
                not self._stopping
                and self._begun < len(self._slots)
                and self._slots[self._begun].index < wanted
            ):
                self._begun += 1
                self._bring(self._begun - 1, None)
                if self._begun % BURST == 0:
                    # Making many users must not hold up those that run.
                    gevent.sleep(0)
            while self._begun and self._slots[self._begun - 1].index >= wanted:
                self._release()
            change = next_change_us(self._load, now)
            pause = TICK_S if change is None else min(TICK_S, self._clock.seconds_until(change))
            gevent.sleep(max(pause, 0.001))

    def stop(self) -> None:
        """Let every user end after its current task; does not wait."""
        self._stopping = True
        while self._begun:
            self._release()

    def drain(self, seconds: float) -> bool:
        """Wait for users that were told to stop; True if all have ended."""
        return bool(self.group.join(timeout=seconds))

    def kill(self) -> None:
        """End the rest; their requests in flight become unfinished."""
        self.group.kill(block=True, timeout=5)

    def _release(self) -> None:
        self._begun -= 1
        position = self._begun
        returning = self._returning.pop(position, None)
        if returning is not None:
            returning.kill(block=False)
        self._pauses.pop(position, None)
        user = self._running.pop(position, None)
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

    def _bring(self, position: int, rows: Any) -> None:
        """Start the user of a slot. A greenlet that waits for its end would double what an idle user costs."""
        self._returning.pop(position, None)
        slot = self._slots[position]
        user_class = self._environment.user_classes_by_name[slot.scenario]
        begun_us = self._clock.now_us()
        try:
            user = user_class(self._environment)
        except Exception as error:  # noqa: BLE001 a scenario's constructor may raise anything
            self._count_failed_start(slot.scenario, error, begun_us)
            self._bring_later(position, rows, failed=True)
            return
        if position >= self._begun or position in self._running:
            # Its constructor has waited for something, and meanwhile the plan has let go of the slot.
            return
        user.slot, user.slots = slot.index, self._total
        # A replacement plays the same user, so it goes on with the same share of the rows.
        user._own_rows = rows  # noqa: SLF001
        user._begun_us = begun_us  # noqa: SLF001
        user._position = position  # noqa: SLF001
        if self._starts is not None:
            user.starts = self._starts(user)
        self._running[position] = user
        self._recorder.user_started(slot.scenario)
        user.start(self.group).rawlink(partial(self._ended, user))

    def _ended(self, user: Any, greenlet: gevent.Greenlet) -> None:
        position = user._position  # noqa: SLF001
        if position not in self._running or self._running[position] is not user:
            # Let go, perhaps in the same instant as it ended: it is counted as stopped already.
            return
        del self._running[position]
        scenario = self._slots[position].scenario
        self._recorder.user_stopped(scenario)
        failed = greenlet.exception is not None
        if failed:
            self._count_failed_start(scenario, greenlet.exception, user._begun_us)  # noqa: SLF001
        lived_us = self._clock.now_us() - user._begun_us  # noqa: SLF001
        if lived_us > LONGEST_BACKOFF_S * 1_000_000:
            self._pauses.pop(position, None)
        self._bring_later(position, getattr(user, "_own_rows", None), failed=failed or lived_us < 1_000_000)

    def _bring_later(self, position: int, rows: Any, *, failed: bool) -> None:
        """Replace a user: at once, or after a pause that doubles with each failure."""
        pause = 0.0
        if failed:
            pause = self._pauses.get(position, FIRST_BACKOFF_S)
            self._pauses[position] = min(pause * 2, LONGEST_BACKOFF_S)
        self._returning[position] = gevent.spawn_later(pause, self._bring, position, rows)

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
