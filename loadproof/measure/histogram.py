"""Log-linear histogram over integer microseconds."""

from __future__ import annotations


class Histogram:
    """Counts of microseconds in buckets of 10 sub-bucket bits, with exact count, sum, min and max."""
