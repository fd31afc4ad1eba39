"""What a run was like before a fault, and how far from it a second may lie and still be as before.

The three numbers of a second are what users feel: ok requests for the load that was there, their mean latency, and
the share of errors. Each has a level, the median of the seconds before, and a margin on its bad side alone: three
standard deviations, as on a control chart (Shewhart, 1931), estimated by the median absolute deviation, which a few
odd seconds do not bend (Rousseeuw and Croux, JASA 88, 1993); but at least `WIDTH` of the level. To be better than
before is no illness.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING, Final

from loadproof.units import format_count, format_duration, format_ratio
from loadproof.verdict.generator import LAG_FLOOR_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.verdict.pulse import Second

LEAST_S: Final = 10
"""Seconds that a band is made of, at least; a spread from fewer is a guess."""
MOST_S: Final = 30
SIGMAS: Final = 3
MAD_TO_SIGMA: Final = 1.4826
"""1 / Φ⁻¹(3/4): makes the median absolute deviation of a normal distribution its standard deviation."""
WIDTH: Final = 0.2
"""Of the level. Smaller differences are what `residue` is for."""
ERRORS: Final = 0.01
"""Errors more than before, as a share of all: as many as the error ratio that latency rules imply."""
LEAST_LATENCY_US: Final = 1_000
"""Less than a millisecond more is the machine's noise, not an illness; nor what we were late ourselves in that time."""
STRANGE: Final = 0.2
"""Largest part of the seconds before that may lie outside of the band they make."""


@dataclass(frozen=True)
class Level:
    """One number of the seconds before: its median, and a standard deviation."""

    value: float
    sigma: float

    def margin(self, length: int, least: float = 0.0) -> float:
        """How far the mean of `length` seconds may lie from it."""
        return max(WIDTH * self.value, SIGMAS * self.sigma / sqrt(length), least)


@dataclass(frozen=True)
class Band:
    seconds: int
    """How many it is made of."""
    load: float
    """Users, or starts a second."""
    started: float
    """Requests begun a second for one of these."""
    ok: Level
    """Ok requests a second for one of these."""
    latency_us: Level
    error_ratio: float

    @property
    def least_ok(self) -> float:
        return max(0.0, self.ok.value - self.ok.margin(1))

    def why_out(self, told: Second, length: int = 1) -> str | None:
        """What is worse in so many seconds than before, in a clause; None if nothing is."""
        if told.load <= 0:
            return "there was no load"
        if not told.ok:
            return "no request was ok"
        ok = told.ok / told.load
        if ok < self.ok.value - self.ok.margin(length):
            return f"{format_ratio(1 - ok / self.ok.value)} fewer requests were ok than before"
        judged = told.timed + told.bad
        if judged:
            spread = sqrt(self.error_ratio * (1 - self.error_ratio) / judged)
            if told.bad / judged > self.error_ratio + max(ERRORS, SIGMAS * spread):
                return (
                    f"{format_ratio(told.bad / judged)} were errors, before {format_ratio(self.error_ratio)}"
                )
        if told.timed:
            mean_us = told.timed_us / told.timed
            if mean_us > self.latency_us.value + self.latency_us.margin(length, noise_us(told, length)):
                before = format_duration(round(self.latency_us.value))
                return f"they took {format_duration(round(mean_us))}, before {before}"
        return None


def noise_us(told: Second, length: int = 1) -> float:
    """Mean latency that so many seconds may have had more for the generator's machine alone.

    Bounded by what a generator may lag and still be fit: else a starved one would hide an illness.
    """
    return max(LEAST_LATENCY_US, min(told.late_us / length, LAG_FLOOR_US))


def band_of(seconds: Sequence[Second], *, is_random: bool = False) -> Band | str:
    """The band of these seconds, or in a clause why there is none.

    Starts at random times (`is_random`, Poisson) spread by the root of their number, also where few seconds by chance
    show less.
    """
    loaded = [second for second in seconds if second.load > 0]
    if len(loaded) < LEAST_S:
        return f"only {format_count(len(loaded))} s before it can tell how the target is, and {LEAST_S} are needed"
    timed = [second.timed_us / second.timed for second in loaded if second.timed]
    ok = _level([second.ok / second.load for second in loaded])
    if ok.value <= 0 or not timed:
        return f"in most of the {len(loaded)} s before it no request was ok"
    if is_random:
        per_load = sqrt(sum(second.ok for second in loaded) / len(loaded)) / median(
            second.load for second in loaded
        )
        ok = Level(ok.value, max(ok.sigma, per_load))
    bad, judged = (
        sum(second.bad for second in loaded),
        sum(second.timed + second.bad for second in loaded),
    )
    band = Band(
        len(loaded),
        median(second.load for second in loaded),
        median(second.started / second.load for second in loaded),
        ok,
        _level(timed),
        bad / judged,
    )
    strange = sum(band.why_out(second) is not None for second in loaded)
    if strange > STRANGE * len(loaded):
        return (
            f"{strange} of the {len(loaded)} s before it are unlike the others, so that nothing is as before"
        )
    return band


def _level(values: Sequence[float]) -> Level:
    middle = median(values)
    return Level(middle, MAD_TO_SIGMA * median(abs(value - middle) for value in values))
