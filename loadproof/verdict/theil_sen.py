"""How fast a series of samples grows: the slope of Theil and Sen, with an interval that heeds what noise is like.

The slope is the median of those of all pairs (Theil, Proc. Kon. Ned. Akad. 53, 1950; Sen, JASA 63, 1968), which
one sample in four may miss without effect. Pairs are taken within a segment only, as in the seasonal estimator of
Hirsch, Slack and Smith (Water Resources Research 18, 1982): between two of them lies what is no growth, such as a
restart. What makes the interval honest:

- What a segment begins with, until it has settled, is left out (`settled_from`).
- Samples are taken together in windows, of each the lowest one or the median. Where the series swings, as under a
  collector of garbage, a window is as long as a swing takes, so that its lowest sample is a trough; and windows so long
  are hardly alike for being neighbours.
- What is left of that widens the interval: the variance of Kendall's S grows with the correlation of neighbouring
  windows (Hamed and Rao, Journal of Hydrology 204, 1998), which is freed of the bias that taking off a line brings,
  (2 + 4 rho) / n (Marriott and Pope, Biometrika 41, 1954).
- A series that moves in steps tells no more than a step over its whole length: so much is the least half width.
- Where windows are so alike that no rank bounds the slope, what bounds it is how far the series swung at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor, inf, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MOST_SAMPLES: Final = 1_000
"""Of more, neighbours are taken together: twelve hours of seconds are then groups of 44."""
MOST_WINDOWS: Final = 60
FEWEST_WINDOWS: Final = 10
"""With fewer, even a series that only rises has hardly a bound: of 8 windows, 28 pairs, ranks 5 and 24 are the ends."""
LEAST_SAMPLES: Final = 20
"""As many seconds as any other interval needs."""
_GOES_ON: Final = 0.7
"""Growth that is less than this part of itself in the last half of what was looked at slows down."""
_TILT: Final = 3.0
"""What swings within a range can tilt a line by that range over its length; so often that is believed at most, where ranks
say less."""
_BEYOND: Final = 2.0
"""So many times that much is a growth that is sure without ranks too: six times the range that it leaves when it is taken off."""
_MOST_ALIKE: Final = 0.97
_SWINGING: Final = 0.5
"""From this correlation of neighbouring samples on their swings are looked for; below it they are mere scatter."""
_CLEARLY: Final = 1.25
_LATEST: Final = 0.5
"""The largest part of a segment that may be its warm-up."""


class Segment(NamedTuple):
    """Samples in order, with nothing between them but the run."""

    x: Numbers
    """How far the run was: microseconds, or requests completed. Never falls."""
    y: Numbers


@dataclass(frozen=True)
class Trend:
    """Growth of y for 1 of x."""

    slope: float
    low: float
    high: float
    """The 95 % interval."""
    windows: int
    settled: tuple[int, ...]
    """Of each segment, the first sample that was used."""
    level: float
    """The median of what was used."""
    span: float
    """How much of x was looked at."""
    late: float
    """The slope of the last half alone."""


@dataclass(frozen=True)
class TooFew:
    """There is no telling."""

    have: int
    need: int


def trend(segments: Sequence[Segment], *, lowest: bool, least: float = 0.0) -> Trend | TooFew:
    """The growth over all segments; of each window the `lowest` sample counts, or the median.

    `least` is the smallest step that y can make: a series that made none may have been about to.
    """
    count = sum(len(segment.x) for segment in segments)
    if count < LEAST_SAMPLES:
        return TooFew(count, LEAST_SAMPLES)
    group = ceil(count / MOST_SAMPLES)
    thin = [_windows(segment, group, lowest=lowest) for segment in segments]
    begins = [settled_from(segment) for segment in thin]
    while True:
        used = [Segment(one.x[at:], one.y[at:]) for one, at in zip(thin, begins, strict=True)]
        found = _trend(used, tuple(at * group for at in begins), lowest=lowest, least=least)
        if found is None:
            return TooFew(0, LEAST_SAMPLES)
        if found.low <= 0 or found.late >= _GOES_ON * found.slope:
            return found
        # It slows down: what it is now is said by what came last.
        begins = [at + (len(one.x) - at) // 2 for one, at in zip(thin, begins, strict=True)]
        if group * sum(len(one.x) - at for one, at in zip(thin, begins, strict=True)) < LEAST_SAMPLES:
            return replace(found, slope=found.late, low=min(0.0, found.late))


def _trend(used: Sequence[Segment], settled: tuple[int, ...], *, lowest: bool, least: float) -> Trend | None:
    used = [one for one in used if len(one.x) > 1]
    length = _window_length(used)
    # A segment that is shorter than a window has none.
    windows = [one for one in (_windows(one, length, lowest=lowest) for one in used) if len(one.x)]
    slopes = _slopes(windows)
    if not len(slopes):
        return None
    slope = float(np.median(slopes))
    low, high = ranks = _interval(slopes, slope, windows)
    span = sum(float(one.x[-1] - one.x[0]) for one in used)
    blur = (_step(used) or least) / span
    most = _TILT * _range(windows, slope) / span
    low, high = max(low, slope - most), min(high, slope + most)
    if abs(slope) < _BEYOND * most:
        low, high = min(low, 0.0) if ranks[0] <= 0 else low, max(high, 0.0) if ranks[1] >= 0 else high
    late = _slopes([Segment(one.x[len(one.x) // 2 :], one.y[len(one.x) // 2 :]) for one in windows])
    return Trend(
        slope,
        min(low, slope - blur),
        max(high, slope + blur),
        sum(len(one.x) for one in windows),
        settled,
        float(np.median(np.concatenate([one.y for one in used]))),
        span,
        float(np.median(late)) if len(late) else slope,
    )


def settled_from(segment: Segment) -> int:
    """The first sample after the warm-up: where a line describes what follows best, at most half of a segment.

    The first of all, unless its line has a quarter more scatter: a sawtooth has a best beginning too. As White's
    rule (Simulation 69, 1997; MSER) finds it for a mean, with a line in its place, so that a leak is no warm-up. The
    rule divides the squared residuals by the square of how many there are, which for a line would be the cube; either
    keeps so much of a fading warm-up for the sake of many samples that one run in ten without growth is found to
    grow. Their plain mean does not.
    """
    n = len(segment.x)
    latest = int(n * _LATEST)
    if latest < 1:
        return 0
    x = segment.x - segment.x[-1]
    y = segment.y - segment.y[-1]

    def tails(values: Numbers) -> Numbers:
        return np.cumsum(values[::-1])[::-1][: latest + 1]

    left = n - np.arange(latest + 1)
    sx, sy = tails(x), tails(y)
    sxx = tails(x * x) - sx * sx / left
    syy = tails(y * y) - sy * sy / left
    sxy = tails(x * y) - sx * sy / left
    with np.errstate(divide="ignore", invalid="ignore"):
        residuals = syy - np.where(sxx > 0, sxy * sxy / sxx, 0)
    # Rounding must not make a straight line look better somewhere in its middle.
    residuals = np.maximum(residuals, 1e-9 * max(float(syy[0]), 1e-300))
    scatter = residuals / left
    return int(np.argmin(scatter)) if scatter[0] > _CLEARLY * scatter.min() else 0


def _windows(segment: Segment, length: int, *, lowest: bool) -> Segment:
    """One sample for each `length` of them, counted from the end: what is over lies where the segment begins."""
    if length <= 1:
        return segment
    over = len(segment.x) % length
    x, y = (part[over:].reshape(-1, length) for part in segment)
    if lowest:
        at = np.argmin(y, axis=1)
        rows = np.arange(len(y))
        return Segment(x[rows, at], y[rows, at])
    return Segment(x.mean(axis=1), np.median(y, axis=1))


def _window_length(segments: Sequence[Segment]) -> int:
    count = sum(len(one.x) for one in segments)
    plain = max(1, count // MOST_WINDOWS)
    left = [_residuals(one) for one in segments if len(one.x) > 2]
    if not left or _correlation(left) < _SWINGING:
        return plain
    together = np.concatenate(left)
    low, high = np.quantile(together, (0.05, 0.95))
    swings = sum(_swings(one, float(high - low) / 2) for one in left)
    return max(plain, min(ceil(count / max(swings, 1)), count // FEWEST_WINDOWS))


def _residuals(segment: Segment) -> Numbers:
    """What a line leaves over, by Theil and Sen on at most 100 of the samples."""
    few = slice(None, None, max(1, len(segment.x) // 100))
    slopes = _slopes([Segment(segment.x[few], segment.y[few])])
    line = float(np.median(slopes)) * segment.x if len(slopes) else 0.0
    left: Numbers = segment.y - line
    return left - float(np.median(left))


def _swings(left: Numbers, depth: float) -> int:
    """How often a series comes down by `depth` after it had gone up by as much."""
    if depth <= 0:
        return len(left)
    found, rising, extreme = 0, True, float(left[0])
    for value in left.tolist():
        if rising:
            extreme = max(extreme, value)
            if value <= extreme - depth:
                rising, extreme = False, value
                found += 1
        else:
            extreme = min(extreme, value)
            if value >= extreme + depth:
                rising, extreme = True, value
    return found


def _slopes(segments: Sequence[Segment]) -> Numbers:
    """Of all pairs within each segment, ascending; pairs at one place tell nothing."""
    found = []
    for x, y in segments:
        one, other = np.triu_indices(len(x), 1)
        apart = x[other] - x[one]
        is_apart = apart > 0
        found.append((y[other] - y[one])[is_apart] / apart[is_apart])
    slopes: Numbers = np.sort(np.concatenate(found)) if found else np.empty(0)
    return slopes


def _interval(slopes: Numbers, slope: float, windows: Sequence[Segment]) -> tuple[float, float]:
    left = []
    for one in windows:
        over = one.y - slope * one.x
        left.append(over - float(np.median(over)))
    n = sum(len(one) for one in left)
    rho = _correlation(left)
    rho = min(max(0.0, (n * rho + 2) / max(n - 4, 1)), _MOST_ALIKE)
    variance = sum(len(one) * (len(one) - 1) * (2 * len(one) + 5) / 18 for one in left)
    telling = n * (1 - rho) / (1 + rho)
    if telling < 3:
        return -inf, inf
    width = float(stdtrit(telling - 2, 0.975)) * sqrt(variance * (1 + rho) / (1 - rho))
    below = floor((len(slopes) - width) / 2)
    above = ceil((len(slopes) + width) / 2)
    return (
        float(slopes[below]) if below >= 0 else -inf,
        float(slopes[above]) if above < len(slopes) else inf,
    )


def _range(segments: Sequence[Segment], slope: float) -> float:
    """Between the highest and the lowest that a line of this slope leaves over, in any one segment."""
    return max(float(np.ptp(one.y - slope * one.x)) for one in segments)


def _correlation(left: Sequence[Numbers]) -> float:
    """Of neighbours, over all segments."""
    both = sum(float(np.dot(one[:-1], one[1:])) for one in left)
    alone = sum(float(np.dot(one, one)) for one in left)
    return both / alone if alone > 0 else 0.0


def _step(segments: Sequence[Segment]) -> float:
    """The smallest step that a series was seen to make; 0 where it made none."""
    steps = [np.abs(np.diff(one.y)) for one in segments]
    moved = [one[one > 0] for one in steps]
    return min((float(one.min()) for one in moved if len(one)), default=0.0)
