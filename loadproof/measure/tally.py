"""A tally: what the requests of one endpoint came to since the interval began; the one hot spot of recording."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Exchanges, Outcome, Series

if TYPE_CHECKING:
    from loadproof.measure.recorder import Recorder


class Tally:
    """Counts of one scenario, method and name in one phase, and in the windows of the same faults.

    Ok answers that came whole in one read go into `whole`, by `record_whole`; all others into `series`.
    """

    __slots__ = (
        "_over",
        "exchanges",
        "faults",
        "method",
        "name",
        "phase",
        "received",
        "recorder",
        "scenario",
        "sent",
        "series",
        "since_ns",
        "until_ns",
        "whole",
    )

    def __init__(
        self,
        recorder: Recorder,
        scenario: str,
        method: str,
        name: str,
        phase: str,
        faults: tuple[str, ...],
    ) -> None:
        self.recorder = recorder
        self.scenario = scenario
        self.method = method
        self.name = name
        self.phase = phase
        self.faults = faults
        self.since_ns: float = inf
        self.until_ns: float = -inf
        """What starts and ends in [since_ns, until_ns) of CLOCK_MONOTONIC belongs here; of all else the recorder knows."""
        self.begin()

    def begin(self) -> None:
        """Start anew, for the next interval."""
        self.whole = Histogram()
        self._over = [0] * len(self.recorder.limits)
        self.received = 0
        self.sent = 0
        self.series: dict[Outcome, Series] = {}
        self.exchanges = Exchanges()

    def record_whole(self, us: int, received: int, sent: int, now_ns: int, lag_us: int) -> None:
        """An ok answer in one read, seen at `now_ns`: its latency, the bytes of both bodies, our own lag.

        `Histogram.record` without its call: every request of a fast generator passes here.
        """
        recorder = self.recorder
        recorder.last_done_ns = now_ns
        recorder.stamped += 1
        lags = recorder.lags
        lags[lag_us] = lags.get(lag_us, 0) + 1
        histogram = self.whole
        if not histogram.count:
            recorder.touched[self] = None
            # By when it came: a generator that stood still is no stall of the target.
            recorder.done(now_ns - 1_000 * lag_us)
            histogram.min = histogram.max = us
        elif us > histogram.max:  # type: ignore[operator]  # not None once there is a count
            histogram.max = us
        elif us < histogram.min:  # type: ignore[operator]
            histogram.min = us
        if us < 2048:
            index = us
        else:
            shift = us.bit_length() - 11
            index = (shift << 10) + (us >> shift)
        counts = histogram.counts
        counts[index] = counts.get(index, 0) + 1
        histogram.count += 1
        histogram.total += us
        self.received += received
        self.sent += sent
        if us > recorder.lowest_limit:
            self._count_over(us)

    def record(
        self,
        outcome: Outcome,
        us: int,
        *,
        first_byte_us: int | None = None,
        received: int = 0,
        sent: int = 0,
        answered: int = 1,
        unanswered: int = 0,
        unconnected: int = 0,
    ) -> None:
        """Any other end of a request; `first_byte_us` None where it came with the rest or not at all."""
        self.recorder.touched[self] = None
        one = Histogram()
        one.record(us)
        limits = self.recorder.limits
        first_byte = None
        if first_byte_us is not None:
            first_byte = Histogram()
            first_byte.record(min(first_byte_us, us))
        part = Series(one, [int(us > limit) for limit in limits], received, sent, first_byte)
        if outcome in self.series:
            self.series[outcome] += part
        else:
            self.series[outcome] = part
        self.exchanges += Exchanges(answered, unanswered, unconnected)

    def take(self) -> tuple[dict[Outcome, Series], Exchanges]:
        """What was recorded since `begin`, and begin again."""
        series, exchanges = self.series, self.exchanges
        if self.whole.count:
            exchanges.answered += self.whole.count
            whole = Series(self.whole, self._over, self.received, self.sent)
            if Outcome.OK in series:
                whole += series[Outcome.OK]
            series[Outcome.OK] = whole
        self.begin()
        return series, exchanges

    def _count_over(self, us: int) -> None:
        for index, limit in enumerate(self.recorder.limits):
            if us <= limit:
                break
            self._over[index] += 1
