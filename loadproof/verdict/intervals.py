"""95 % confidence intervals of what a run measured, from its counts per second.

Requests of one second share the target's mood, so they are no independent sample: seconds are clusters, and
neighbouring seconds are alike too. The variance of a share or mean is therefore that of a ratio estimator
over seconds (Cochran, Sampling Techniques, 1977, section 6.3) with the autocovariances of Newey and West
(Econometrica 55, 1987). Divided by what independent requests would give it is the design effect (Kish,
Survey Sampling, 1965), and n requests tell as much as n / effect independent ones.

Everything up to the number of effective samples is exact: a verdict must not hang on a rounding error.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor, isqrt, log, sqrt
from typing import TYPE_CHECKING, Final

from scipy.stats import beta, binom

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_SECONDS: Final = 20
"""Fewer seconds with samples say too little about how seconds differ."""
_TAIL: Final = 0.025
_NORMAL: Final = Fraction("1.96")
_FIXED_B: Final = (_NORMAL, Fraction("2.9694"), Fraction("0.4160"), Fraction("-0.5324"))
"""97.5 % critical values for the Bartlett kernel as a cubic in b = bandwidth / seconds (Kiefer and
Vogelsang, Econometric Theory 21, 2005, table 1)."""


def bandwidth(seconds: int) -> int:
    """ceil(1.3 * sqrt(seconds)): the rule of Lazarus, Lewis, Stock and Watson (JBES 36, 2018) for Newey-West.

    It is to be read with fixed-b critical values. The shorter textbook bandwidth 4 (T/100)^(2/9) covers only
    91 % instead of 95 % where neighbouring seconds correlate by one half.
    """
    return isqrt(max(0, 169 * seconds - 1) // 100) + 1


def design_effect(sums: Sequence[int], counts: Sequence[int], squares: int) -> Fraction:
    """How many times fewer independent samples would tell as much; at least 1.

    `sums[t]` is the sum of the values of second t, or how many of them are in question, `counts[t]` how many
    values there are; `squares` is the sum of all squared values, so sum(sums) for a count. Seconds without
    values are listed as zeros. The excess of the fixed-b critical value over 1.96 is part of the effect,
    since n / effect goes into exact intervals that know nothing of it.
    """
    total, n = sum(sums), sum(counts)
    within = n * squares - total * total
    if within <= 0:
        return Fraction(1)
    seconds = len(counts)
    width = min(bandwidth(seconds), seconds)
    # Bartlett's weights sum to the mean square of all windows of the bandwidth's length, ends padded by zeros.
    ends = [0]
    for value, count in zip(sums, counts, strict=True):
        ends.append(ends[-1] + value * n - total * count)
    windows = sum(
        (ends[min(last, seconds)] - ends[max(last - width, 0)]) ** 2 for last in range(1, seconds + width)
    )
    b = Fraction(width, seconds)
    critical = sum(factor * b**power for power, factor in enumerate(_FIXED_B))
    return max(Fraction(1), Fraction(windows, width * n * within) * (critical / _NORMAL) ** 2)


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
    low = int(binom.ppf(_TAIL, effective, float(quantile)))
    high = int(binom.ppf(1 - _TAIL, effective, float(quantile))) + 1
    return low * n // effective, -(-high * n // effective)


def share_interval(hits: int, n: int, effect: Fraction) -> tuple[float, float]:
    """Clopper and Pearson (Biometrika 26, 1934) at n / effect, as for survey data by Korn and Graubard (1998)."""
    effective = float(n / effect)
    in_question = float(hits / effect)
    low = 0.0 if hits == 0 else float(beta.ppf(_TAIL, in_question, effective - in_question + 1))
    high = 1.0 if hits == n else float(beta.ppf(1 - _TAIL, in_question + 1, effective - in_question))
    return low, high


def mean_interval(total: int, squares: int, n: int, effect: Fraction) -> tuple[float, float]:
    """Mean plus and minus 1.96 standard errors at n / effect."""
    mean = Fraction(total, n)
    variance = max(Fraction(0), Fraction(squares, n) - mean * mean) * effect / n
    half = float(_NORMAL) * sqrt(variance)
    return float(mean) - half, float(mean) + half
