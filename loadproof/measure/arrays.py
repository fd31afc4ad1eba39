"""Histograms whose buckets lie in arrays: what a reader of whole runs adds up, a hundred million values at a time.

Only readers import this: numpy has no place in a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import numpy as np

from loadproof.measure.histogram import Histogram, highest_equivalent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_MANY: Final = 8_192
"""So many buckets may wait to be added up; adding them one histogram at a time costs a hundred times as much."""
_NONE: Final[Integers] = np.empty((2, 0), np.int64)


class ArrayHistogram(Histogram):
    """The same as a `Histogram`, made to take in many others; `counts` is a copy, not to be written to."""

    __slots__ = ("_buckets", "_waiting", "_waiting_buckets")

    def __init__(self) -> None:
        self._buckets = _NONE
        """Two rows: the buckets' indexes, ascending, and how many values each holds."""
        self._waiting: list[Integers] = []
        self._waiting_buckets = 0
        self.count = 0
        self.total = 0
        self.min = None
        self.max = None

    @classmethod
    def of(cls, buckets: Integers, exact: tuple[int, int, int, int]) -> Self:
        """From two rows of ascending indexes and counts, and the exact count, sum, minimum and maximum."""
        made = cls()
        made._buckets = buckets
        made.count, made.total, made.min, made.max = exact
        return made

    @property
    def buckets(self) -> Integers:
        """Two rows: the buckets' indexes, ascending, and how many values each holds; not to be written to."""
        if self._waiting:
            self._buckets = added_up(np.concatenate([self._buckets, *self._waiting], axis=1))
            self._waiting, self._waiting_buckets = [], 0
        return self._buckets

    @property
    def counts(self) -> dict[int, int]:
        indexes, ns = self.buckets.tolist()
        return dict(zip(indexes, ns, strict=True))

    @counts.setter
    def counts(self, counts: dict[int, int]) -> None:
        self._buckets = _columns(dict(sorted(counts.items())))
        self._waiting, self._waiting_buckets = [], 0

    def record(self, us: int, n: int = 1) -> None:
        one = Histogram()
        one.record(us, n)
        self += one

    def __iadd__(self, other: Histogram) -> Self:
        if other.min is None or other.max is None:
            return self
        # A copy: those of one second are slices of all that was read with them.
        more = other.buckets.copy() if isinstance(other, ArrayHistogram) else _columns(other.counts)
        self._waiting.append(more)
        self._waiting_buckets += more.shape[1]
        self.count += other.count
        self.total += other.total
        self.min = other.min if self.min is None or other.min < self.min else self.min
        self.max = other.max if self.max is None or other.max > self.max else self.max
        if self._waiting_buckets > _MANY:
            _ = self.buckets
        return self

    def add_all(self, others: Sequence[Histogram]) -> None:
        arrays = [one for one in others if isinstance(one, ArrayHistogram) and one.count]
        if len(arrays) < len(others):
            super().add_all(others)
        elif arrays:
            # No copies as above: all is added up at once.
            self._waiting += [one.buckets for one in arrays]
            self.count += sum(one.count for one in arrays)
            self.total += sum(one.total for one in arrays)
            known = [self, *arrays] if self.min is not None else arrays
            self.min = min(one.min for one in known if one.min is not None)
            self.max = max(one.max for one in known if one.max is not None)
            _ = self.buckets

    def __copy__(self) -> Self:
        twin = type(self)()
        twin.add_all([self])
        return twin

    def quantiles(self, *asked: Fraction) -> tuple[int, ...]:
        if self.max is None:
            return ()
        indexes, ns = self.buckets
        upto = ns.cumsum()
        ranks = [max(1, -(-self.count * q.numerator // q.denominator)) for q in asked]
        places = [int(upto.searchsorted(rank)) for rank in ranks]
        return tuple(min(highest_equivalent(int(indexes[place])), self.max) for place in places)

    def _below(self, bucket: int) -> tuple[int, int]:
        indexes, ns = self.buckets
        place = int(np.searchsorted(indexes, bucket))
        inside = place < len(indexes) and indexes[place] == bucket
        return int(ns[:place].sum()), int(ns[place]) if inside else 0


def _columns(counts: dict[int, int]) -> Integers:
    return np.array([[*counts.keys()], [*counts.values()]], np.int64)


def added_up(buckets: Integers) -> Integers:
    """Two rows with each index once, ascending, and the sum of its counts, of which none is 0."""
    indexes, ns = buckets
    lowest = int(indexes.min())
    dense = np.zeros(int(indexes.max()) - lowest + 1, np.int64)
    np.add.at(dense, indexes - lowest, ns)
    found = np.flatnonzero(dense)
    return np.stack([found + lowest, dense[found]])


def quantiles_each(histograms: Sequence[Histogram], *asked: Fraction) -> list[tuple[int, ...]]:
    """`quantiles` of each; none may be empty."""
    arrays = [one.buckets for one in histograms if isinstance(one, ArrayHistogram)]
    if len(arrays) < len(histograms) or not arrays:
        return [one.quantiles(*asked) for one in histograms]
    indexes, ns = np.concatenate(arrays, axis=1) if len(arrays) > 1 else arrays[0]
    counts = np.array([one.count for one in histograms], np.int64)
    highest = [one.max for one in histograms]
    upto = ns.cumsum()
    before = counts.cumsum() - counts
    found = []
    for q in asked:
        ranks = np.maximum(-(-counts * q.numerator // q.denominator), 1)
        places = upto.searchsorted(before + ranks)
        found.append(
            [
                min(highest_equivalent(index), most or 0)
                for index, most in zip(indexes[places].tolist(), highest, strict=True)
            ]
        )
    return list(zip(*found, strict=True))
