"""`cpu_load`: so many processors are kept busy beside the run, each by a process."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.machine import cores_of
from loadproof.units import format_duration

if TYPE_CHECKING:
    from loadproof.faults.lifeline import Lifeline

PERIOD_S: Final = 0.02


class CpuLoad:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._cores: str = settings["cores"]

    def shares(self) -> list[dict[str, Any]]:
        wanted = cores_of(self._cores)
        whole = math.floor(wanted)
        rest = wanted - whole
        return [{"cores": "1"}] * whole + ([{"cores": repr(rest)}] if rest else [])

    def carry(self, lifeline: Lifeline) -> str:
        busy_s = PERIOD_S * float(self._cores)
        lifeline.say_ready()
        begin = time.perf_counter()
        while not lifeline.has_ended(max(0.0, begin - time.perf_counter())):
            until_s = time.process_time() + busy_s
            while time.process_time() < until_s and time.perf_counter() < begin + PERIOD_S:
                pass
            # A period that came late is not made up for: it would take more than its share then.
            begin = max(begin + PERIOD_S, time.perf_counter())
        return f"used {format_duration(time.process_time() * 1e6)} of a core"
