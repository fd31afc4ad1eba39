"""Run time: microseconds since the run's start on a clock that no one can set."""

from __future__ import annotations

import time


class RunClock:
    """Run time on CLOCK_MONOTONIC, which all processes of one machine share; `start_ns` is its zero."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns

    def now_us(self) -> int:
        return (time.monotonic_ns() - self.start_ns) // 1_000

    def seconds_until(self, at_us: int) -> float:
        """How long until run time `at_us`; 0 when it is past."""
        return max(0, at_us - self.now_us()) / 1_000_000
