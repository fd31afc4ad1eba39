"""Families of samples in the order of the table, filled by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.samples import Sample

from monitoring.metrics import BY_NAME, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric


class Families:
    """One scrape's samples. KeyError for a name that is not in the table, ValueError for labels that it has not."""

    def __init__(self) -> None:
        self._families = {metric.name: metric.family() for metric in TABLE}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """One sample; None is absence, and leaves none."""
        if value is not None:
            told = dict(zip(BY_NAME[name].labels, labels, strict=True))
            self._families[name].samples.append(Sample(name, told, value))

    def add_histogram(
        self, name: str, bounds: Sequence[str], cumulative: Sequence[int], total: float, *labels: str
    ) -> None:
        """`bounds` are the texts of `le`, `+Inf` the last; `total` is the sum of all values."""
        told = dict(zip(BY_NAME[name].labels, labels, strict=True))
        samples = self._families[name].samples
        bucket = f"{name}_bucket"
        for bound, count in zip(bounds, cumulative, strict=True):
            samples.append(Sample(bucket, {**told, "le": bound}, count))
        samples.append(Sample(f"{name}_count", told, cumulative[-1]))
        samples.append(Sample(f"{name}_sum", told, total))

    def __iter__(self) -> Iterator[Metric]:
        """Those that have samples."""
        return (family for family in self._families.values() if family.samples)
