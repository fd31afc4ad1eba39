"""Several quantiles of one histogram in one pass; metrics.csv asks for three a row, over a million rows."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from analyzer.model import Latency

if TYPE_CHECKING:
    from loadproof.measure.histogram import Histogram

P50: Final = Fraction(1, 2)
P90: Final = Fraction(9, 10)
P95: Final = Fraction(95, 100)
P99: Final = Fraction(99, 100)
P99_9: Final = Fraction(999, 1000)


def quantiles(histogram: Histogram, *asked: Fraction) -> tuple[int, ...]:
    """Those of a histogram that is not empty, for ascending quantiles."""
    assert histogram.max is not None
    return histogram.quantiles(*asked)


def latency(histogram: Histogram) -> Latency | None:
    """None for an empty histogram."""
    if histogram.max is None:
        return None
    p50, p90, p95, p99, p99_9 = quantiles(histogram, P50, P90, P95, P99, P99_9)
    return Latency(histogram.total / histogram.count, p50, p90, p95, p99, p99_9, histogram.max)
