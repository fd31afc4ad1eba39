"""A worker's users: started and stopped by the plan's own arithmetic, never by a message per step."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadproof.measure.interval import Outcome
from loadproof.plan.edits import EditedLoad
from loadproof.plan.profile import next_change_us, users_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gevent.pool import Group

    from distributed.clock import RunClock
    from distributed.placement import Slot
    from loadproof.client.user import Starts
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.edits import LoadEdit
    from loadproof.plan.model import Phase

logger = logging.getLogger(__name__)

TICK_S = 0.05
"""Longest sleep between two looks at the plan, so that a stop is felt at once."""
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
BURST = 32
"""Users made before the others get a turn."""


class Users:
    """Keeps each slot of its own running while the plan asks for more users than the slot's index.

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
        self._slots: list[Slot] = []
        """Ascending."""
        self._begun = 0
        """So many of them, from the first, have been asked for."""
        self._asked: dict[int, str] = {}
        """Index of a slot that has been asked for -> its scenario."""
        self._running: dict[int, Any] = {}
        """Index -> its user."""
        self._returning: dict[int, gevent.Greenlet] = {}
        """Index -> what brings its next user, after a pause."""
        self._pauses: dict[int, float] = {}
        """Index -> seconds to wait after the next failure, where there was one."""
        self._rows: dict[int, Any] = {}
        """Index -> the rows that its users go on with."""
        self._stopping = False
        self._parked = False
        self.group: Group = environment.runner.user_greenlets
        self.place(slots)

    def place(self, slots: Sequence[Slot], edits: Iterable[LoadEdit] = ()) -> None:
        """Run these slots and no others from now on; at once for those that end, with the plan for those that begin.

        `edits` are all that were made to the plan's users so far.
        """
        self._load = EditedLoad(self._load, edits)
        self._slots = sorted(slots, key=lambda slot: slot.index)
        scenarios = {slot.index: slot.scenario for slot in slots}
        for index, scenario in list(self._asked.items()):
            if scenarios.get(index) != scenario:
                self._release(index)
        self._begun = 0

    def park(self) -> None:
        """Let every user end after its current request, and bring none until `resume`; does not wait."""
        self._parked = True
        for index in list(self._asked):
            self._release(index)
        self._begun = 0

    def resume(self) -> None:
        self._parked = False

    def follow_plan(self) -> None:
        """Return when the plan is over or `stop` was called; users are still running then."""
        total_us = sum(phase.duration_us for phase in self._load)
        while not self._stopping:
            now = self._clock.now_us()
            if now >= total_us:
                return
            self._follow(users_at(self._load, now))
            change = next_change_us(self._load, now)
            pause = TICK_S if change is None else min(TICK_S, self._clock.seconds_until(change))
            gevent.sleep(max(pause, 0.001))

    def _follow(self, wanted: int) -> None:
        brought = 0
        while (
            not self._stopping
            and not self._parked
            and self._begun < len(self._slots)
            and self._slots[self._begun].index < wanted
        ):
            slot = self._slots[self._begun]
            self._begun += 1
            if slot.index in self._asked:
                continue
            self._asked[slot.index] = slot.scenario
            self._bring(slot.index)
            brought += 1
            if brought % BURST == 0:
                # Making many users must not hold up those that run.
                gevent.sleep(0)
        while self._begun and self._slots[self._begun - 1].index >= wanted:
            self._begun -= 1
            self._release(self._slots[self._begun].index)

    def stop(self) -> None:
        """Let every user end after its current task; does not wait."""
        self._stopping = True
        for index in list(self._asked):
            self._release(index)

    def drain(self, seconds: float) -> bool:
        """Wait for users that were told to stop; True if all have ended."""
        return bool(self.group.join(timeout=seconds))

    def kill(self) -> None:
        """End the rest; their requests in flight become unfinished."""
        # A group kills nobody twice, and who was let go while it waited may hang in its `on_stop`.
        self.group.dying.clear()
        self.group.kill(block=True, timeout=5)

    def _release(self, index: int) -> None:
        if self._asked.pop(index, None) is None:
            return
        returning = self._returning.pop(index, None)
        if returning is not None:
            returning.kill(block=False)
        self._pauses.pop(index, None)
        self._rows.pop(index, None)
        user = self._running.pop(index, None)
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

    def _bring(self, index: int) -> None:
        """Start the user of a slot. A greenlet that waits for its end would double what an idle user costs."""
        self._returning.pop(index, None)
        scenario = self._asked[index]
        user_class = self._environment.user_classes_by_name[scenario]
        begun_us = self._clock.now_us()
        try:
            user = user_class(self._environment)
        except Exception as error:  # noqa: BLE001 a scenario's constructor may raise anything
            self._count_failed_start(scenario, error, begun_us)
            if index in self._asked:
                self._bring_later(index, failed=True)
            return
        if self._asked.get(index) != scenario or index in self._running:
            # Its constructor has waited for something, and meanwhile the slot was let go, or has its user.
            return
        user.slot, user.slots = index, self._total
        # A replacement plays the same user, so it goes on with the same share of the rows.
        user._own_rows = self._rows.pop(index, None)  # noqa: SLF001
        user._begun_us = begun_us  # noqa: SLF001
        user._slot = index  # noqa: SLF001 `slot` is the scenario's to read, and perhaps to change
        if self._starts is not None:
            user.starts = self._starts(user)
        self._running[index] = user
        self._recorder.user_started(scenario)
        user.start(self.group).rawlink(partial(self._ended, user))

    def _ended(self, user: Any, greenlet: gevent.Greenlet) -> None:
        index = user._slot  # noqa: SLF001
        if index not in self._running or self._running[index] is not user:
            # Let go, perhaps in the same instant as it ended: it is counted as stopped already.
            return
        del self._running[index]
        scenario = self._asked[index]
        self._recorder.user_stopped(scenario)
        failed = greenlet.exception is not None
        if failed:
            self._count_failed_start(scenario, greenlet.exception, user._begun_us)  # noqa: SLF001
        lived_us = self._clock.now_us() - user._begun_us  # noqa: SLF001
        if lived_us > LONGEST_BACKOFF_S * 1_000_000:
            self._pauses.pop(index, None)
        if (rows := getattr(user, "_own_rows", None)) is not None:
            self._rows[index] = rows
        self._bring_later(index, failed=failed or lived_us < 1_000_000)

    def _bring_later(self, index: int, *, failed: bool) -> None:
        """Replace a user: at once, or after a pause that doubles with each failure."""
        pause = 0.0
        if failed:
            pause = self._pauses.get(index, FIRST_BACKOFF_S)
            self._pauses[index] = min(pause * 2, LONGEST_BACKOFF_S)
        self._returning[index] = gevent.spawn_later(pause, self._bring, index)

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
