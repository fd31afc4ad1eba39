"""Intervals as a busy worker would close them: so many series, each with latencies of its own."""

from __future__ import annotations

import math
import random
from copy import copy
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Endpoint, Exchanges, Interval, Outcome, Series, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND_US: Final = 1_000_000
SERIES: Final = 20
SCENARIO: Final = "IdleLoadUser"
USERS: Final = 100
MEDIAN_US: Final = 20_000
SIGMA: Final = 0.5
"""Of the latencies' logarithm: nearly every one of a hundred falls into a bucket of its own, the dearest case."""
VARIETY: Final = 200
"""Different histograms that are taken in turn: making one takes longer than sending it."""


def latencies_us(chance: random.Random, count: int) -> list[int]:
    return [int(chance.lognormvariate(math.log(MEDIAN_US), SIGMA)) for _ in range(count)]


class MadeIntervals:
    """Of a worker with `requests` in each series and second, all of the phase."""

    def __init__(self, requests: int, seed: int, limits_us: Sequence[int], phase: str) -> None:
        self._requests = requests
        self._chance = random.Random(seed)
        self._series = [self._one(limits_us) for _ in range(VARIETY)]
        self._keys = [
            SeriesKey(SCENARIO, "GET", f"/endpoints/{number}/:id", Outcome.OK, phase)
            for number in range(SERIES)
        ]
        self._pacer_lag, self._receive_lag = Histogram(), Histogram()
        for _ in range(requests):
            self._pacer_lag.record(self._chance.randint(20, 200))
        for _ in range(SERIES * requests):
            self._receive_lag.record(self._chance.randint(5, 100))

    def at(self, second: int) -> Interval:
        """That second of a worker whose users were all at work; every request of it was answered."""
        start_us = second * SECOND_US
        made = SERIES * self._requests
        chosen = self._chance.sample(self._series, SERIES)
        return Interval(
            second,
            start_us,
            SECOND_US,
            users={SCENARIO: USERS},
            user_us={SCENARIO: USERS * SECOND_US},
            started=made,
            first_done_us=start_us,
            last_done_us=start_us + SECOND_US - 1,
            series={key: copy(series) for key, series in zip(self._keys, chosen, strict=True)},
            exchanges={
                Endpoint(key.method, key.name): Exchanges(answered=self._requests) for key in self._keys
            },
            pacer_lag=copy(self._pacer_lag),
            receive_lag=copy(self._receive_lag),
            stamped=made,
            cpu_us=300_000,
        )

    def _one(self, limits_us: Sequence[int]) -> Series:
        latencies = latencies_us(self._chance, self._requests)
        histogram = Histogram()
        for latency in latencies:
            histogram.record(latency)
        over = [sum(latency > limit for latency in latencies) for limit in limits_us]
        return Series(histogram, over, bytes_received=self._requests * 400, bytes_sent=self._requests * 200)
