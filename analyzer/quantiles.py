"""Several quantiles of one histogram in one pass; metrics.csv asks for three a row, over a million rows."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from analyzer.model import Latency
from loadproof.measure.histogram import Histogram, highest_equivalent

P50: Final = Fraction(1, 2)
P90: Final = Fraction(9, 10)
P95: Final = Fraction(95, 100)
P99: Final = Fraction(99, 100)
P99_9: Final = Fraction(999, 1000)


def quantiles(histogram: Histogram, *asked: Fraction) -> tuple[int, ...]:
    """The same as `histogram.quantile` of each, for ascending quantiles of a histogram that is not empty."""
    assert histogram.max is not None
    ranks = [max(1, -(-histogram.count * q.numerator // q.denominator)) for q in asked]
    found: list[int] = []
    seen = 0
    for index in sorted(histogram.counts):
        seen += histogram.counts[index]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(min(highest_equivalent(index), histogram.max))
    return tuple(found)


def latency(histogram: Histogram) -> Latency | None:
    """None for an empty histogram."""
    if histogram.max is None:
        return None
    p50, p90, p95, p99, p99_9 = quantiles(histogram, P50, P90, P95, P99, P99_9)
    return Latency(histogram.total / histogram.count, p50, p90, p95, p99, p99_9, histogram.max)
