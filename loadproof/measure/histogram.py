"""Log-linear histogram over integer microseconds.

The buckets are those of HdrHistogram (https://hdrhistogram.org) with 3 significant digits and unit 1: below
2,048 a bucket holds one value, above it the values that share their 11 leading bits. A value and the highest
of its bucket differ by less than 1/1024 of the value, so by under 0.1 %.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

SUB_BUCKET_BITS: Final = 10
_EXACT: Final = 2 << SUB_BUCKET_BITS


def bucket_index(us: int) -> int:
    """The bucket of a value of at least 0."""
    if us < _EXACT:
        return us
    shift = us.bit_length() - (SUB_BUCKET_BITS + 1)
    return (shift << SUB_BUCKET_BITS) + (us >> shift)


def lowest_equivalent(index: int) -> int:
    """The smallest value that falls into a bucket."""
    if index < _EXACT:
        return index
    shift = (index >> SUB_BUCKET_BITS) - 1
    return (index - (shift << SUB_BUCKET_BITS)) << shift


def highest_equivalent(index: int) -> int:
    """The largest value that falls into a bucket."""
    return lowest_equivalent(index + 1) - 1


class Histogram:
    """Counts of microseconds by bucket, with exact count, sum, smallest and largest value.

    Whoever fills the public fields by another way than `record` and `+=` keeps these true:
    `count == sum(counts.values())`, no count below 1, `min` and `max` None exactly when `count` is 0.
    """

    __slots__ = ("count", "counts", "max", "min", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        """Bucket index -> how many values fell into it."""
        self.count = 0
        self.total = 0
        self.min: int | None = None
        self.max: int | None = None

    def nothing(self) -> Self:
        """An empty one of the same kind, to add others of it to."""
        return type(self)()

    def record(self, us: int, n: int = 1) -> None:
        """Add `n` values of `us` microseconds; ValueError for a negative value or less than one of it."""
        if us < 0 or n < 1:
            raise ValueError(f"a histogram takes values of at least 0, at least once: not {us} µs {n} times")
        # `bucket_index`, without its call: this is the one line of the project that every request runs.
        if us < 2048:
            index = us
        else:
            shift = us.bit_length() - 11
            index = (shift << 10) + (us >> shift)
        counts = self.counts
        counts[index] = counts.get(index, 0) + n
        self.count += n
        self.total += us * n
        if self.max is None or self.min is None:
            self.min = self.max = us
        elif us > self.max:
            self.max = us
        elif us < self.min:
            self.min = us

    def __iadd__(self, other: Histogram) -> Self:
        """Merge is addition: the same as if every value of `other` had been recorded here."""
        if other.min is None or other.max is None:
            return self
        counts = self.counts
        if counts:
            get = counts.get
            for index, n in list(other.counts.items()) if other is self else other.counts.items():
                counts[index] = get(index, 0) + n
        else:
            counts.update(other.counts)
        self.count += other.count
        self.total += other.total
        self.min = other.min if self.min is None else min(self.min, other.min)
        self.max = other.max if self.max is None else max(self.max, other.max)
        return self

    def add_all(self, others: Sequence[Histogram]) -> None:
        """Add every one of them; they stay as they are."""
        for other in others:
            self += other

    def __copy__(self) -> Self:
        twin = type(self)()
        twin.counts = self.counts.copy()
        twin.count, twin.total, twin.min, twin.max = self.count, self.total, self.min, self.max
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self.counts == other.counts
            and (self.count, self.total) == (other.count, other.total)
            and (self.min, self.max) == (other.min, other.max)
        )

    __hash__ = None  # type: ignore[assignment]  # it changes with every value

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} total={self.total} min={self.min} max={self.max}>"

    @property
    def mean(self) -> float | None:
        """In microseconds, exact but for the last rounding; None when empty."""
        return self.total / self.count if self.count else None

    def quantile(self, q: Fraction | float) -> int | None:
        """The smallest value whose cumulative count reaches ceil(q * count); None when empty.

        That is `inverted_cdf` of numpy (definition 1 of Hyndman and Fan, 1996) with the value given as the
        highest of its bucket, never above the exact maximum. A float counts as the decimal number that it
        prints as: 0.55 of 100 values is the 55th, though the float is a little more than 0.55.
        ValueError when q is outside 0 to 1.
        """
        exact = Fraction(repr(q)) if isinstance(q, float) else Fraction(q)
        if not 0 <= exact <= 1:
            raise ValueError(f"a quantile lies between 0 and 1: not {q}")
        return next(iter(self.quantiles(exact)), None)

    def quantiles(self, *asked: Fraction) -> tuple[int, ...]:
        """`quantile` of each of ascending ones in one pass; nothing when empty."""
        if self.max is None:
            return ()
        ranks = [max(1, -(-self.count * q.numerator // q.denominator)) for q in asked]
        found: list[int] = []
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            while len(found) < len(ranks) and seen >= ranks[len(found)]:
                found.append(min(highest_equivalent(index), self.max))
            if len(found) == len(ranks):
                break
        return tuple(found)

    def count_at_most(self, us: int) -> tuple[int, int]:
        """A lower and an upper bound of how many values are at most `us`.

        They are equal when a bucket ends at `us` or the exact minimum and maximum decide.
        """
        if self.min is None or self.max is None or us < self.min:
            return 0, 0
        if us >= self.max:
            return self.count, self.count
        last = bucket_index(us)
        below, inside = self._below(last)
        if us == highest_equivalent(last):
            return below + inside, below + inside
        surely = int(self.min >= lowest_equivalent(last))
        surely_not = int(self.max <= highest_equivalent(last))
        return below + surely, below + inside - surely_not

    def _below(self, bucket: int) -> tuple[int, int]:
        """How many values lie in buckets before this one, and how many in it."""
        return sum(n for index, n in self.counts.items() if index < bucket), self.counts.get(bucket, 0)
