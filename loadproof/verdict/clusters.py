"""How little many requests tell when those of one second are alike, and those of neighbouring seconds too.

The variance of a share or mean is that of a ratio estimator over seconds (Cochran, Sampling Techniques, 1977,
section 6.3) that are correlated in time (Newey and West, Econometrica 55, 1987). A few minutes are a short series
for that, and three corrections stand in for its length:

- Prewhitening (Andrews and Monahan, Econometrica 60, 1992): the kernel sees what a first-order autoregression
  leaves over, and the variance is put back by 1 / (1 - rho)^2. Without it the kernel's weights cut a correlation of
  0.8 to less than half. `rho` is freed of its bias, (1 + 3 rho) / T, first (Kendall, Biometrika 41, 1954).
- Fixed-b critical values (Kiefer and Vogelsang, Econometric Theory 21, 2005) for the kernel's own scatter.
- Student's t for what else is uncertain in the variance, with the degrees of freedom of its estimated scatter
  (Satterthwaite, Biometrics 2, 1946): that of rho, and that of seconds with heavy tails.

Everything is exact: a verdict must not hang on a rounding error, nor on the machine that reads the journals.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil, isqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NORMAL: Final = Fraction("1.96")
"""97.5 % point of the normal distribution, for two-sided intervals of 95 %."""
_FIXED_B: Final = (NORMAL, Fraction("2.9694"), Fraction("0.4160"), Fraction("-0.5324"))
"""97.5 % critical values for the Bartlett kernel as a cubic in b = bandwidth / seconds (table 1 of the source)."""
_STUDENT: Final = (
    NORMAL,
    (NORMAL**3 + NORMAL) / 4,
    (5 * NORMAL**5 + 16 * NORMAL**3 + 3 * NORMAL) / 96,
    (3 * NORMAL**7 + 19 * NORMAL**5 + 17 * NORMAL**3 - 15 * NORMAL) / 384,
    (79 * NORMAL**9 + 776 * NORMAL**7 + 1482 * NORMAL**5 - 1920 * NORMAL**3 - 945 * NORMAL) / 92160,
)
"""97.5 % point of Student's t as a polynomial in 1 / degrees of freedom (Abramowitz and Stegun, 1964, 26.7.5)."""
_FEWEST_DEGREES: Final = 4
"""Down to here the polynomial is good to 0.1 %. Where fewer seem right the slow requests came in so few events that
the binomial ranks, wide for few samples, are the wider bound already."""
_GRID: Final = 1_024
"""Rho in so many parts, which makes what it leaves over whole numbers; of no account beside its scatter."""
_MOST_ALIKE: Final = _GRID * 97 // 100
"""Largest rho, that of the source; nearer to 1 the variance put back is anybody's guess."""


def bandwidth(seconds: int) -> int:
    """ceil(1.3 * sqrt(seconds)): the rule of Lazarus, Lewis, Stock and Watson (JBES 36, 2018) for Newey-West.

    It is to be read with fixed-b critical values.
    """
    return isqrt(max(0, 169 * seconds - 1) // 100) + 1


def design_effect(sums: Sequence[int], counts: Sequence[int], squares: int) -> Fraction:
    """How many times fewer independent samples would tell as much (Kish, Survey Sampling, 1965); at least 1.

    `sums[t]` is the sum of the values of second t, or how many of them are in question, `counts[t]` how many
    values there are; `squares` is the sum of all squared values, so sum(sums) for a count. Seconds without
    values are listed as zeros. The excess of the critical value over 1.96 is part of the effect, since n / effect
    goes into exact intervals that know nothing of it.
    """
    total, n = sum(sums), sum(counts)
    within = n * squares - total * total
    left = [value * n - total * count for value, count in zip(sums, counts, strict=True)]
    if within <= 0 or not any(left):
        return Fraction(1)
    seconds = len(left)
    rho = _correlation(left)
    # The first second has none before it, and is brought to the others' variance.
    plain = [isqrt(_GRID**2 - rho**2) * left[0]]
    plain += [_GRID * this - rho * before for before, this in pairwise(left)]
    width = min(bandwidth(seconds), seconds)
    variance = Fraction(_bartlett(plain, width), (_GRID - rho) ** 2)
    b = Fraction(width, seconds)
    critical = sum(factor * b**power for power, factor in enumerate(_FIXED_B))
    critical *= _student(_scatter(plain, rho)) / NORMAL
    return max(Fraction(1), variance / (n * within) * (critical / NORMAL) ** 2)


def _correlation(left: Sequence[int]) -> int:
    """Of neighbouring seconds, freed of its bias, in parts of `_GRID`; none below 0 is believed."""
    found = Fraction(sum(map(int.__mul__, left, left[1:])), sum(value * value for value in left))
    return min(max(0, round(_GRID * (found + (1 + 3 * found) / len(left)))), _MOST_ALIKE)


def _bartlett(left: Sequence[int], width: int) -> Fraction:
    """Sum of the autocovariances with Bartlett's weights, times the seconds.

    It is the mean square of all windows of the bandwidth's length, ends padded by zeros.
    """
    ends = [0]
    for value in left:
        ends.append(ends[-1] + value)
    seconds = len(left)
    windows = sum(
        (ends[min(last, seconds)] - ends[max(last - width, 0)]) ** 2 for last in range(1, seconds + width)
    )
    return Fraction(windows, width)


def _scatter(left: Sequence[int], rho: int) -> Fraction:
    """Squared relative error of the variance beside the kernel's own, which is part of the fixed-b values.

    A variance of T values scatters by (kurtosis - 1) / T, where 2 / T is that of normal ones. 1 / (1 - rho)^2
    scatters by four times the variance of rho, (1 - rho^2) / T, over (1 - rho)^2.
    """
    seconds = len(left)
    squares = [value * value for value in left]
    tails = Fraction(seconds * sum(square * square for square in squares), sum(squares) ** 2) - 3
    alike = Fraction(4 * (_GRID + rho), _GRID - rho) if rho else 0
    return (max(Fraction(0), tails) + alike) / seconds


def _student(scatter: Fraction) -> Fraction:
    """97.5 % point of Student's t with 2 / scatter degrees of freedom."""
    # Rounded up, or the exact fraction would drag a thousand digits along.
    parts = min(ceil(scatter / 2 * _GRID), _GRID // _FEWEST_DEGREES)
    inverse = Fraction(parts, _GRID)
    return sum((factor * inverse**power for power, factor in enumerate(_STUDENT)), Fraction(0))
