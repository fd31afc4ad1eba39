"""Pace of a closed phase: each user starts a task every `pace`, and the users' turns are spread over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gevent import sleep
from gevent.hub import get_hub
from greenlet import getcurrent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.client.pacer import Pacer
    from loadproof.client.user import LoadUser
    from loadproof.measure.recorder import Recorder
    from loadproof.plan.profile import PhaseSpan

GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio. Its multiples, modulo 2^64, are spread evenly however many there are: each new one
falls into one of the largest gaps (Knuth, The Art of Computer Programming 3, 6.4, theorem S)."""


def next_start_us(slot: int, pace_us: int, from_us: int) -> int:
    """The first turn of the user in `slot` at or after `from_us`: slot / golden ratio · pace, modulo pace, + k · pace."""
    first_us = (slot * GOLDEN % 2**64) * pace_us >> 64
    return from_us + (first_us - from_us) % pace_us


class Turns:
    """When one user's next task is due, over the phases of a closed plan; pure arithmetic on run time.

    A user that comes late for its turn starts at once, as with Locust's `constant_pacing`. The turns that it
    missed are not made up for: its next one is the first after now, so it stays where it was among the others.
    """

    __slots__ = ("_from_us", "_slot", "_spans")

    def __init__(self, slot: int, spans: Sequence[PhaseSpan]) -> None:
        self._slot = slot
        self._spans = spans
        self._from_us: int | None = None
        """Turns before this are over; None before the first task."""

    def next_us(self, now_us: int) -> int | None:
        """When the next task is due, `now_us` if that is past; None in a phase without a pace.

        A turn beyond the end of its phase goes by the pace of the next one, if that has one.
        """
        position = next(
            (place for place, span in enumerate(self._spans) if now_us < span.end_us), len(self._spans) - 1
        )
        span = self._spans[position]
        pace_us = span.phase.pace_us
        if pace_us is None:
            self._from_us = None
            return None
        from_us = now_us if self._from_us is None else max(self._from_us, span.start_us)
        due_us = next_start_us(self._slot, pace_us, from_us)
        if due_us <= now_us:
            # In place of the last turn that has come.
            self._from_us = next_start_us(self._slot, pace_us, now_us + 1 - pace_us) + 1
            return now_us
        for later in self._spans[position + 1 :]:
            if due_us < later.start_us or later.phase.pace_us is None:
                break
            due_us = next_start_us(self._slot, later.phase.pace_us, later.start_us)
        self._from_us = due_us + 1
        return due_us


class PacedStarts:
    """`Starts` of one user of a closed plan with a pace in some phase."""

    __slots__ = ("_begun", "_pacer", "_recorder", "_turns", "_user")

    def __init__(self, user: LoadUser, spans: Sequence[PhaseSpan], pacer: Pacer, recorder: Recorder) -> None:
        assert user.slot is not None
        self._user = user
        self._pacer = pacer
        self._recorder = recorder
        self._turns = Turns(user.slot, spans)
        self._begun = False

    def take(self) -> None:
        """Wait for the user's turn, or in a phase without a pace for its `wait_time`.

        None: no start is intended in the closed model, and latencies count from the call.
        """
        now_us = self._recorder.clock()
        due_us = self._turns.next_us(now_us)
        if due_us is None:
            if self._begun:
                sleep(self._user.wait_time())
        elif due_us > now_us:
            self._sleep_until(self._recorder.zero_ns + due_us * 1_000)
        self._begun = True

    def _sleep_until(self, due_ns: int) -> None:
        switch = getcurrent().switch
        recorder = self._recorder

        def awake(due_ns: int, noticed_ns: int) -> None:
            recorder.pacer_lag.record((noticed_ns - due_ns) // 1_000)
            switch(self)

        call = self._pacer.at(due_ns, awake)
        try:
            while get_hub().switch() is not self:
                pass
        finally:
            call.cancel()
