"""What a run looks like right now, for a panel: the last seconds merged over all workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Interval, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

P99: Final = Fraction(99, 100)
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
    pacer_lag_us: int | None
    """P99 of how late our own timers were; not part of any latency, as `receive_lag_us` is not."""
    receive_lag_us: int | None
    requests: int
    failures: int
    dropped: int
    """Starts of an open plan that nobody began."""
    workers: Mapping[str, tuple[int, int]]
    """Region -> (workers that report, workers planned)."""
    trouble: tuple[str, ...] = ()
    """Rules that would fail if the run ended now, one line each."""
    faults: tuple[str, ...] = ()
    """What is broken on purpose now, one line each."""
    draining: bool = False
    search: str | None = None
    """What a search tries now, in a line."""


class Figures(NamedTuple):
    """Of the last seconds; None where nothing was recorded."""

    rate_per_s: float | None = None
    p95_us: int | None = None
    p99_us: int | None = None
    pacer_lag_us: int | None = None
    receive_lag_us: int | None = None


@dataclass
class _Second:
    latencies: Histogram = field(default_factory=Histogram)
    pacer_lag: Histogram = field(default_factory=Histogram)
    receive_lag: Histogram = field(default_factory=Histogram)
    ok: int = 0
    users: int = 0
    workers: int = 0


class LiveTotals:
    """Folds intervals as they arrive, in any order, keeping only the last seconds apart."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}
        self._users: dict[str, int] = {}
        self._looked: tuple[list[tuple[int, int]], Figures] = [], Figures()
        """The seconds that were looked at last, each with its number of reports, and what they gave."""
        self.requests = 0
        self.failures = 0
        self.dropped = 0

    def add(self, worker: str, interval: Interval) -> None:
        second = self._seconds.get(interval.second)
        if second is None:
            second = self._seconds[interval.second] = _Second()
            for old in [known for known in self._seconds if known < interval.second - 3 * WINDOW]:
                del self._seconds[old]
        second.workers += 1
        second.pacer_lag += interval.pacer_lag
        second.receive_lag += interval.receive_lag
        self.dropped += sum(arrivals.no_user + arrivals.late for arrivals in interval.arrivals.values())
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

    def figures(self, workers: int) -> Figures:
        """Over the last full seconds that all `workers` have reported."""
        reports = sorted((number, second.workers) for number, second in self._seconds.items())
        full = [(number, reported) for number, reported in reports if reported >= workers][-WINDOW:]
        if full != self._looked[0]:
            # A panel looks many times a second, and they change once.
            self._looked = full, _figures([self._seconds[number] for number, _ in full])
        return self._looked[1]


def _figures(recent: Sequence[_Second]) -> Figures:
    if not recent:
        return Figures()
    latencies, pacer_lag, receive_lag = Histogram(), Histogram(), Histogram()
    for second in recent:
        latencies += second.latencies
        pacer_lag += second.pacer_lag
        receive_lag += second.receive_lag
    return Figures(
        sum(second.ok for second in recent) / len(recent),
        latencies.quantile(Fraction(95, 100)),
        latencies.quantile(P99),
        pacer_lag.quantile(P99),
        receive_lag.quantile(P99),
    )
