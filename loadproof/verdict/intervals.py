"""95 % confidence intervals of what a run measured.

Requests of one second share the target's mood, so they are no independent sample: n of them tell as much as
n / effect independent ones, with the design effect of `loadproof.verdict.clusters`.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, log, sqrt
from typing import Final

from scipy.special import bdtr, bdtrik, betaincinv

from loadproof.verdict.clusters import NORMAL

MIN_SECONDS: Final = 20
"""Fewer seconds with samples say too little about how seconds differ."""
_TAIL: Final = 0.025


def least_samples(quantile: Fraction) -> int:
    """The fewest independent samples whose largest bounds a quantile from above: q^n <= 0.025.

    72 for P95, 368 for P99, 3,688 for P99.9. The lower bound needs no more, as q is at least 1/2.
    """
    return floor(log(_TAIL) / log(quantile)) + 1


def quantile_ranks(quantile: Fraction, n: int, effect: Fraction) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics that bound a quantile; None if n / effect is too few.

    Exact binomial ranks (Hahn and Meeker, Statistical Intervals, 1991, section 5.2) at the effective number of
    samples, carried over to all n as shares (Woodruff, JASA 47, 1952). A lower rank of 0 means no bound.
    """
    effective = floor(n / effect)
    if effective < least_samples(quantile):
        return None
    low = _binomial_quantile(_TAIL, effective, float(quantile))
    high = _binomial_quantile(1 - _TAIL, effective, float(quantile)) + 1
    return low * n // effective, -(-high * n // effective)


def share_interval(hits: int, n: int, effect: Fraction) -> tuple[float, float]:
    """Clopper and Pearson (Biometrika 26, 1934) at n / effect, as for survey data by Korn and Graubard (1998)."""
    effective = float(n / effect)
    in_question = float(hits / effect)
    low = 0.0 if hits == 0 else float(betaincinv(in_question, effective - in_question + 1, _TAIL))
    high = 1.0 if hits == n else float(betaincinv(in_question + 1, effective - in_question, 1 - _TAIL))
    return low, high


def mean_interval(total: int, squares: int, n: int, effect: Fraction) -> tuple[float, float]:
    """Mean plus and minus 1.96 standard errors at n / effect."""
    mean = Fraction(total, n)
    variance = max(Fraction(0), Fraction(squares, n) - mean * mean) * effect / n
    half = float(NORMAL) * sqrt(variance)
    return float(mean) - half, float(mean) + half


def _binomial_quantile(probability: float, n: int, share: float) -> int:
    """The fewest hits of n that are not exceeded with this probability.

    As in `scipy.stats.binom.ppf`, without the half second that importing it takes.
    """
    hits = ceil(bdtrik(probability, n, share))
    return hits - 1 if hits and bdtr(hits - 1, n, share) >= probability else hits
