"""A circuit breaker: after too many failures it refuses at once, and tries again later.

    closed      everything is let through; the last OUTCOMES are remembered
    open        as soon as at least FAILED of them failed: nothing is let through for OPEN_S
    half_open   then up to TRIALS at a time are; one that fails opens it again, TRIALS in a row that do not close it

M. Nygard, Release It!, 2nd ed., chapter 5 "Circuit Breaker".
"""

from __future__ import annotations

import time
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

OUTCOMES: Final = 20
FAILED: Final = 0.5
OPEN_S: Final = 3.0
TRIALS: Final = 3


class CircuitState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitOpenError(Exception):
    """Nothing is let through now."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        """Until the next trial, seconds."""
        super().__init__(f"the circuit is open for another {wait_s:.1f} s")


class Circuit:
    """Of one process and one event loop; `changed` hears of every new state after the one before."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[CircuitState, CircuitState], None] = lambda _before, _now: None,
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._outcomes: deque[bool] = deque(maxlen=OUTCOMES)
        self._until = 0.0
        self._trials = 0
        self._passed = 0
        self._turn = 0
        self.state = CircuitState.CLOSED

    def admit(self) -> int:
        """Let one through; a ticket for `ended`. CircuitOpenError if none is let through now."""
        now = self._clock()
        if self.state is CircuitState.OPEN and now >= self._until:
            self._to(CircuitState.HALF_OPEN)
        if self.state is CircuitState.OPEN:
            raise CircuitOpenError(self._until - now)
        if self.state is CircuitState.HALF_OPEN:
            if self._trials >= TRIALS:
                raise CircuitOpenError(1.0)
            self._trials += 1
        return self._turn

    def ended(self, ticket: int, ok: bool | None) -> None:
        """How one ended; None where that says nothing of what the circuit guards.

        What was let through before the state changed is no trial, and tells nothing any more.
        """
        if ticket != self._turn:
            return
        if self.state is CircuitState.HALF_OPEN:
            self._trials -= 1
            if ok is False:
                self._open()
            elif ok:
                self._passed += 1
                if self._passed >= TRIALS:
                    self._to(CircuitState.CLOSED)
        elif ok is not None:
            self._outcomes.append(ok)
            failed = self._outcomes.count(False)
            if len(self._outcomes) == OUTCOMES and failed >= FAILED * OUTCOMES:
                self._open()

    def _open(self) -> None:
        self._until = self._clock() + OPEN_S
        self._to(CircuitState.OPEN)

    def _to(self, state: CircuitState) -> None:
        before, self.state = self.state, state
        self._turn += 1
        self._trials = self._passed = 0
        self._outcomes.clear()
        self._changed(before, state)
