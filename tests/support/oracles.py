"""What numpy and scipy say of a run's effect, quantiles and shares: the formulas of the verdict, written a second time."""

from __future__ import annotations

from math import ceil, floor, log, sqrt

import numpy as np
from scipy import stats


def effect_of(hits: np.ndarray, counts: np.ndarray) -> float:
    """The design effect of a share from its counts per second."""
    total, n = hits.sum(), counts.sum()
    share = total / max(n, 1)
    left = hits - share * counts
    if total in {0, n} or not left.any():
        return 1
    return effect_of_left(left, n * share * (1 - share))


def effect_of_left(left: np.ndarray, independent: float) -> float:
    """Of sums per second less their expectation, over the variance that independent values would have."""
    seconds = len(left)
    rho = left[1:] @ left[:-1] / (left @ left)
    # The grid of 1/1,024 is the verdict's own; on a short series it shows.
    rho = round(1_024 * min(max(rho + (1 + 3 * rho) / seconds, 0), 993 / 1_024)) / 1_024
    white = np.concatenate([[sqrt(1 - rho**2) * left[0]], left[1:] - rho * left[:-1]])
    width = min(ceil(1.3 * sqrt(seconds)), seconds)
    variance = white @ white
    for lag in range(1, width):
        variance += 2 * (1 - lag / width) * (white[lag:] @ white[:-lag])
    tails = seconds * (white**4).sum() / (white @ white) ** 2 - 3
    scatter = (max(0, tails) + (4 * (1 + rho) / (1 - rho) if rho else 0)) / seconds
    b = width / seconds
    critical = (1.96 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3) / 1.96
    critical *= stats.t.ppf(0.975, max(2 / scatter, 4)) / 1.96 if scatter else 1
    return max(1.0, variance / (1 - rho) ** 2 / independent * critical**2)


def quantile_verdict(us: np.ndarray, second: np.ndarray, seconds: int, quantile: float, limit: float) -> str:
    """Of `pQ <= limit` over all values, with the second that each lies in."""
    value = np.quantile(us, quantile, method="inverted_cdf")
    if value > limit:
        return "FAIL"
    hits = np.bincount(second, us > limit, seconds)
    effect = effect_of(hits, np.bincount(second, minlength=seconds))
    n = len(us)
    if n < ceil(ceil(log(0.025) / log(quantile)) * effect):
        return "NO_DATA"
    effective = floor(n / effect)
    rank = stats.binom.ppf(0.975, effective, quantile) + 1
    upper = np.sort(us)[ceil(rank * n / effective) - 1]
    return "WARN" if upper > limit else "PASS"


def share_verdict(hits: np.ndarray, counts: np.ndarray, limit: float, *, caps: bool) -> str:
    """Of a share that is to be at most, or at least, a limit."""
    total, n = hits.sum(), counts.sum()
    if n == 0:
        return "NO_DATA"
    if (total / n > limit) if caps else (total / n < limit):
        return "FAIL"
    effect = effect_of(hits, counts)
    x, size = total / effect, n / effect
    if caps:
        return "WARN" if stats.beta.ppf(0.975, x + 1, size - x) > limit else "PASS"
    return "WARN" if stats.beta.ppf(0.025, x, size - x + 1) < limit else "PASS"


def mean_verdict(us: np.ndarray, second: np.ndarray, seconds: int, limit: float) -> str:
    """Of `mean <= limit`: the variance of the mean of clusters, as of a share's."""
    if us.mean() > limit:
        return "FAIL"
    counts = np.bincount(second, minlength=seconds)
    left = np.bincount(second, us, seconds) - us.mean() * counts
    spread = np.std(us)
    scaled = effect_of_left(left, len(us) * spread**2)
    return "WARN" if us.mean() + 1.96 * spread * sqrt(scaled / len(us)) > limit else "PASS"
