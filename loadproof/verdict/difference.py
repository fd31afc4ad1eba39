"""Whether a run differs from its baselines by more than chance and the noise between runs.

Two things make two runs of one build differ. *Within* a run requests are a sample, clustered in seconds: each
statistic comes with the 95 % interval of `loadproof.verdict.intervals`, and the interval of a difference is put
together from those of its two sides (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), which keeps them as
lopsided as they are. *Between* runs caches, placement and neighbours differ: no number of requests shows that,
repeated runs do. A difference counts if it is beyond the noise between runs by more than chance within them.

Latencies and rates are compared by their logarithms, so that a change is relative; shares as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import exp, inf, isfinite, log, sqrt
from typing import TYPE_CHECKING, Final

from scipy.special import stdtr, stdtrit

from loadproof.verdict.clusters import bandwidth
from loadproof.verdict.compared import Word
from loadproof.verdict.rule import quantile_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA: Final = 0.05
"""The chance that any `worse` or `better` of a whole comparison is false."""
SAME_WITHIN: Final = 2
"""`same` excludes a change of so many times the noise."""
_TAIL: Final = 0.975
_PRIOR: Final = 4
"""How many degrees of freedom the stated noise is worth against that of repeated baselines."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of one run and its 95 % interval, on the scale on which differences are taken."""

    value: float
    low: float
    high: float
    freedom: float
    """Degrees of freedom of the variance that the interval was made of."""


@dataclass(frozen=True)
class Difference:
    """Run minus baseline, on the same scale."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, of a difference so far beyond the noise."""


def estimate(value: float, low: float, high: float, seconds: int, *, relative: bool) -> Estimate:
    """On the logarithmic scale if `relative`; `seconds` are those that the interval was made of.

    A Bartlett kernel of bandwidth m over T seconds leaves 1.5 T / m degrees of freedom (Priestley, Spectral
    Analysis and Time Series, 1981, table 6.2, at frequency 0).
    """
    freedom = max(1.0, 1.5 * seconds / bandwidth(seconds))
    if not relative:
        return Estimate(value, low, high, freedom)
    return Estimate(_log(value), _log(low), _log(high), freedom)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Of several runs: their mean, with the spread that independent intervals leave it."""
    k = len(estimates)
    value = sum(one.value for one in estimates) / k
    low = sqrt(sum((one.value - one.low) ** 2 for one in estimates)) / k
    high = sqrt(sum((one.high - one.value) ** 2 for one in estimates)) / k
    return Estimate(value, value - low, value + high, sum(one.freedom for one in estimates))


def stated_noise(statistic: str) -> float:
    """The noise between two runs of one build before any was repeated: relative, of shares absolute.

    Percentiles move the more the further out they lie. Why these numbers: `docs/decisions/comparison.md`.
    """
    if statistic in {"error_ratio", "check"}:
        return 0.005
    quantile = quantile_of(statistic)
    if quantile is None:
        return 0.05 if statistic == "rate" else 0.1
    return 0.05 if quantile <= Fraction(75, 100) else 0.1 if quantile <= Fraction(95, 100) else 0.2


def noise(stated: float, values: Sequence[float]) -> float:
    """How far a new run of the baselines' build lies from their mean, in 95 of 100 cases.

    The prediction interval of one more of k values, with their variance moderated by the stated one, which is
    worth `_PRIOR` degrees of freedom (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004):
    exactly the stated noise for one baseline, and ruled by the baselines themselves from about five on.
    """
    prior = (stated / (_student(_PRIOR) * sqrt(2))) ** 2
    k = len(values)
    mean = sum(values) / k
    freedom = _PRIOR + k - 1
    variance = (_PRIOR * prior + sum((value - mean) ** 2 for value in values)) / freedom
    return _student(freedom) * sqrt(variance * (1 + 1 / k))


def difference(run: Estimate, baseline: Estimate, beyond: float) -> Difference:
    """The difference with its 95 % interval, and how likely one so far beyond the noise is by chance.

    Tails are those of Student's t at the degrees of freedom of Welch and Satterthwaite.
    """
    value = run.value - baseline.value
    below = (run.value - run.low, baseline.high - baseline.value)
    above = (run.high - run.value, baseline.value - baseline.low)
    low, high = value - _length(below), value + _length(above)
    toward_zero = below if value > 0 else above
    half = _length(toward_zero)
    if not isfinite(half):
        return Difference(value, low, high, 1.0)
    distance = abs(value) - beyond
    if distance <= 0:
        return Difference(value, low, high, 1.0)
    if half == 0:
        return Difference(value, low, high, 0.0)
    freedoms = (run.freedom, baseline.freedom)
    weights = sum(part**4 / freedom for part, freedom in zip(toward_zero, freedoms, strict=True))
    freedom = half**4 / weights
    p = 2 * float(stdtr(freedom, -distance / half * _student(freedom)))
    return Difference(value, low, high, min(1.0, p))


def holm(chances: Sequence[float]) -> list[float]:
    """Adjusted so that any of those up to `ALPHA` is false with no more than that chance, whatever hangs together with what.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure (Scandinavian Journal of Statistics 6, 1979).
    The false discovery rate of Benjamini and Hochberg would let one in twenty of the alarms be false; an alarm
    that stops a release may not.
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    adjusted = [1.0] * len(chances)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[index]))
        adjusted[index] = highest
    return adjusted


def conclude(found: Difference, beyond: float, adjusted: float, *, more_is_worse: bool) -> Word:
    """Worse or better beyond noise and chance, the same where twice the noise is excluded, else cannot tell."""
    if adjusted <= ALPHA:
        return Word.WORSE if (found.value > 0) is more_is_worse else Word.BETTER
    shows = found.low > beyond or found.high < -beyond
    within = -SAME_WITHIN * beyond <= found.low and found.high <= SAME_WITHIN * beyond
    return Word.SAME if within and not shows else Word.CANNOT_TELL


def as_change(value: float, *, relative: bool) -> float:
    """A difference as a relative change, +0.1 for ten percent more; of shares as it is."""
    if not relative:
        return value
    return exp(value) - 1 if value < 700 else inf


def as_difference(change: float, *, relative: bool) -> float:
    """The inverse of `as_change`."""
    return log(1 + change) if relative else change


def _student(freedom: float) -> float:
    """The 97.5 % point of Student's t."""
    return float(stdtrit(freedom, _TAIL))


def _log(value: float) -> float:
    return log(value) if value > 0 else -inf


def _length(parts: tuple[float, float]) -> float:
    return sqrt(parts[0] ** 2 + parts[1] ** 2)
