"""The wish that a run ends before its plan does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from gevent.event import Event

GUARD: Final = "guard"
HAND: Final = "hand"
"""`by` of who ends a run on purpose but for a signal: `loadproof stop`, a key, a button."""


@dataclass
class Stop:
    """Who wants it, and why; the first wish is the one that counts."""

    by: str | None = None
    why: str = ""
    signal: int | None = None
    at_ns: int = 0
    times: int = 0
    """How often it was wished: the second time ends what is in flight too."""
    rule: str | None = None
    """The abort rule that fired."""
    asked: Event = field(default_factory=Event)

    @property
    def is_emergency(self) -> bool:
        """Somebody or a guard ended the run, which has an exit code of its own."""
        return self.by in {GUARD, HAND}

    def ask(
        self,
        by: str,
        why: str,
        *,
        rule: str | None = None,
        signal: int | None = None,
        at_ns: int | None = None,
    ) -> bool:
        """Wish for the end, now or on the monotonic clock at `at_ns`; False if somebody has before."""
        if self.by is not None:
            return False
        self.by, self.why, self.rule, self.signal = by, why, rule, signal
        self.at_ns = time.monotonic_ns() if at_ns is None else at_ns
        self.asked.set()
        return True

    def document(self, start_ns: int) -> dict[str, Any] | None:
        """For the manifest of the run whose clock began at `start_ns`; None if nobody wished for its end."""
        if self.by is None:
            return None
        at_us = max(0, (self.at_ns - start_ns) // 1_000)
        return {"by": self.by, "why": self.why, "at_us": at_us, "rule": self.rule}
