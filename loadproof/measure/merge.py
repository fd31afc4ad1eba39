"""Merge is addition: what workers saw in seconds becomes what a region, a phase or a run saw."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, TypeVar

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Arrivals, CheckCounts, Exchanges, MetricSummary, Series

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

_K = TypeVar("_K", bound="Hashable")
_V = TypeVar("_V", int, Series, CheckCounts, MetricSummary, Exchanges, Arrivals, Histogram)


def add_into(totals: dict[_K, _V], parts: Mapping[_K, _V]) -> None:
    """Add one table of an interval (series, checks, metrics, exchanges, errors, users) to running totals.

    Order and grouping never matter, but for the last bits of a MetricSummary's sum of floats. `parts` stays
    as it is and shares nothing with `totals`.
    """
    for key, part in parts.items():
        if key in totals:
            totals[key] += part
        else:
            totals[key] = copy(part)


def added(histograms: Iterable[Histogram]) -> Histogram:
    """Their sum, of the kind of the first; they stay as they are."""
    parts = list(histograms)
    merged = parts[0].nothing() if parts else Histogram()
    merged.add_all(parts)
    return merged
