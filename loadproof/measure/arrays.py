"""Histograms whose buckets lie in arrays: what a reader of whole runs adds up, a hundred million values at a time.

Only readers import this: numpy has no place in a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import numpy as np

from loadproof.measure.histogram import Histogram, highest_equivalent

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

_MANY: Final = 8_192
"""So many buckets may wait to be added up; adding them one histogram at a time costs a hundred times as much."""
_NONE: Final[Integers] = np.empty(0, np.int64)


class ArrayHistogram(Histogram):
    """The same as a `Histogram`, made to take in many others; `counts` is a copy, not to be written to."""

    __slots__ = ("_indexes", "_ns", "_waiting", "_waiting_buckets")

    def __init__(self) -> None:
        self._indexes, self._ns = _NONE, _NONE
        """Bucket indexes, ascending, and how many values each holds."""
        self._waiting: list[tuple[Integers, Integers]] = []
        self._waiting_buckets = 0
        self.count = 0
        self.total = 0
        self.min = None
        self.max = None

    @classmethod
    def of(cls, indexes: Integers, ns: Integers, exact: tuple[int, int, int, int]) -> Self:
        """From ascending buckets and the exact count, sum, minimum and maximum; the arrays stay as they are."""
        made = cls()
        made._indexes, made._ns = indexes, ns
        made.count, made.total, made.min, made.max = exact
        return made

    @property
    def counts(self) -> dict[int, int]:
        self._settle()
        return dict(zip(self._indexes.tolist(), self._ns.tolist(), strict=True))

    @counts.setter
    def counts(self, counts: dict[int, int]) -> None:
        order = sorted(counts)
        self._indexes = np.array(order, np.int64)
        self._ns = np.array([counts[index] for index in order], np.int64)
        self._waiting, self._waiting_buckets = [], 0

    def record(self, us: int, n: int = 1) -> None:
        one = Histogram()
        one.record(us, n)
        self += one

    def __iadd__(self, other: Histogram) -> Self:
        if other.min is None or other.max is None:
            return self
        if isinstance(other, ArrayHistogram):
            other._settle()
            # Copies: the arrays of one second are slices of all that was read with it.
            self._wait(other._indexes.copy(), other._ns.copy())
        else:
            self._wait(
                np.fromiter(other.counts.keys(), np.int64), np.fromiter(other.counts.values(), np.int64)
            )
        self.count += other.count
        self.total += other.total
        self.min = other.min if self.min is None else min(self.min, other.min)
        self.max = other.max if self.max is None else max(self.max, other.max)
        return self

    def __copy__(self) -> Self:
        twin = type(self)()
        twin += self
        return twin

    def quantiles(self, *asked: Fraction) -> tuple[int, ...]:
        if self.max is None:
            return ()
        self._settle()
        ranks = [max(1, -(-self.count * q.numerator // q.denominator)) for q in asked]
        places = np.searchsorted(np.cumsum(self._ns), ranks)
        return tuple(min(highest_equivalent(index), self.max) for index in self._indexes[places].tolist())

    def _below(self, index: int) -> tuple[int, int]:
        self._settle()
        place = int(np.searchsorted(self._indexes, index))
        inside = place < len(self._indexes) and self._indexes[place] == index
        return int(self._ns[:place].sum()), int(self._ns[place]) if inside else 0

    def _wait(self, indexes: Integers, ns: Integers) -> None:
        self._waiting.append((indexes, ns))
        self._waiting_buckets += len(indexes)
        if self._waiting_buckets > _MANY:
            self._settle()

    def _settle(self) -> None:
        if self._waiting:
            parts = [(self._indexes, self._ns), *self._waiting]
            self._indexes, self._ns = added_up(
                np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts])
            )
            self._waiting, self._waiting_buckets = [], 0


def added_up(indexes: Integers, ns: Integers) -> tuple[Integers, Integers]:
    """Each index once, ascending, with the sum of its numbers, of which none is 0."""
    lowest = int(indexes.min())
    dense = np.zeros(int(indexes.max()) - lowest + 1, np.int64)
    np.add.at(dense, indexes - lowest, ns)
    found = np.flatnonzero(dense)
    return found + lowest, dense[found]
