"""Targets of known capacity in simulated time: requests come at random at a rate, and each has its fate."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass
class Seen:
    """A stretch of time: latencies of the requests that came in it, in seconds; None for a refused one."""

    latencies: list[float | None]

    @property
    def p95(self) -> float:
        known = sorted(latency for latency in self.latencies if latency is not None)
        return known[int(0.95 * (len(known) - 1))] if known else 0.0

    @property
    def errors(self) -> float:
        return sum(latency is None for latency in self.latencies) / max(1, len(self.latencies))


class Queue:
    """One server with exponential service times at `rate` a second: M/M/1.

    `room` is how many may wait before more are refused; `leak` is the share of its rate that it loses in a second.
    """

    def __init__(self, rate: float, seed: int, *, room: int | None = None, leak: float = 0.0) -> None:
        self.now = 0.0
        self._rate = rate
        self._room = room
        self._leak = leak
        self._random = Random(seed)
        self._ends: list[float] = []
        """When those that were let in end, ascending, from `_first` on."""
        self._first = 0

    @property
    def rate(self) -> float:
        return self._rate * (1 - self._leak * self.now)

    def load(self, arrivals: float, seconds: float) -> Seen:
        until = self.now + seconds
        seen = []
        while (at := self.now + self._random.expovariate(arrivals)) < until:
            self.now = at
            while self._first < len(self._ends) and self._ends[self._first] <= at:
                self._first += 1
            if self._room is not None and len(self._ends) - self._first > self._room:
                seen.append(None)
                continue
            begins = max(at, self._ends[-1]) if self._ends else at
            ends = begins + self._random.expovariate(self.rate)
            self._ends.append(ends)
            seen.append(ends - at)
        self.now = until
        return Seen(seen)
