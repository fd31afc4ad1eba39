"""What a run looks like right now, for a panel: the last seconds merged over all workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Interval, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW: Final = 10
"""Seconds that the live figures look back."""


@dataclass(frozen=True)
class View:
    """One look at the run; a figure that cannot be known yet is None."""

    at_us: int
    phase: str | None
    left_us: int
    users: int
    users_planned: int
    rate_per_s: float | None
    p95_us: int | None
    p99_us: int | None
    requests: int
    failures: int
    workers: Mapping[str, tuple[int, int]]
    """Region -> (workers that report, workers planned)."""
    trouble: tuple[str, ...] = ()
    """Rules that would fail if the run ended now, one line each."""
    draining: bool = False


@dataclass
class _Second:
    latencies: Histogram = field(default_factory=Histogram)
    ok: int = 0
    users: int = 0
    workers: int = 0


class LiveTotals:
    """Folds intervals as they arrive, in any order, keeping only the last seconds apart."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}
        self._users: dict[str, int] = {}
        self.requests = 0
        self.failures = 0

    def add(self, worker: str, interval: Interval) -> None:
        second = self._seconds.get(interval.second)
        if second is None:
            second = self._seconds[interval.second] = _Second()
            for old in [known for known in self._seconds if known < interval.second - 3 * WINDOW]:
                del self._seconds[old]
        second.workers += 1
        self._users[worker] = sum(interval.users.values())
        for key, series in interval.series.items():
            count = series.histogram.count
            if key.outcome is Outcome.OK:
                second.latencies += series.histogram
                second.ok += count
                self.requests += count
            elif key.outcome is not Outcome.UNFINISHED:
                self.requests += count
                self.failures += count

    def forget(self, worker: str) -> None:
        """A lost worker has no users any more."""
        self._users.pop(worker, None)

    @property
    def users(self) -> int:
        return sum(self._users.values())

    def figures(self, workers: int) -> tuple[float | None, int | None, int | None]:
        """(ok requests per second, P95, P99) over the last full seconds that all `workers` have reported."""
        full = sorted(number for number, second in self._seconds.items() if second.workers >= workers)
        recent = [self._seconds[number] for number in full[-WINDOW:]]
        if not recent:
            return None, None, None
        merged = Histogram()
        for second in recent:
            merged += second.latencies
        rate = sum(second.ok for second in recent) / len(recent)
        return rate, merged.quantile(Fraction(95, 100)), merged.quantile(Fraction(99, 100))
