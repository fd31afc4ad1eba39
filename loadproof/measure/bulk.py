"""The packed histograms of many series at once: checked as one by one, and added up by group.

A histogram of a hundred values takes twenty microseconds to unpack and the same again to add up; a hundred million
requests are a million of them. Here a second of all workers goes through numpy in one piece.

Only what is beyond doubt passes. `DoubtError` says that somebody must read one by one, who then finds what is wrong,
or that nothing is: numbers far above what a run can measure are lawful, and too large for sums of 64 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from loadproof.measure.arrays import ArrayHistogram
from loadproof.measure.histogram import SUB_BUCKET_BITS, bucket_index, highest_equivalent
from loadproof.measure.interval import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loadproof.measure.arrays import Integers
    from loadproof.measure.wire import WireSeries

_EXACT: Final = 2 << SUB_BUCKET_BITS
_LARGEST_US: Final = 2**43
"""A hundred days; up to here sums of a million values fit 64 bits."""
_LARGEST_COUNT: Final = 2**20
_LARGEST_SUM: Final = 2**62
_INDEX_BITS: Final = 17
_PAIRS_OF_HEAD: Final = 2


class DoubtError(Exception):
    """What was read in bulk has to be read one by one."""


@dataclass(frozen=True)
class Unpacked:
    """Histograms that are not empty, one after the other."""

    begins: Integers
    """Where the buckets of each begin, and after them where the last one's end."""
    indexes: Integers
    ns: Integers
    count: Integers
    total: Integers
    low: Integers
    high: Integers

    def sizes(self) -> Integers:
        return np.diff(self.begins)

    def sum_each(self, values: Integers) -> Integers:
        """The sum of a number per bucket, for each histogram."""
        return np.add.reduceat(values, self.begins[:-1])


def unpack_all(packed: Sequence[bytes]) -> list[ArrayHistogram]:
    """What `unpack` makes of each; an empty one is no bytes. DoubtError as above."""
    some = [one for one in packed if one]
    if not some:
        return [ArrayHistogram() for _ in packed]
    made = iter(_histograms(_unpack(some)))
    return [next(made) if one else ArrayHistogram() for one in packed]


def add_up(series: Sequence[WireSeries], groups: Sequence[int], limits_us: Sequence[int]) -> list[Series]:
    """The series of each group, from 0 without a gap, added up as `Series` are. DoubtError as above."""
    if not series:
        return []
    group = np.array(groups, np.int64)
    whole = _unpack([one.histogram for one in series])
    over = np.array([one.over for one in series], np.int64).reshape(len(series), len(limits_us))
    _check_over(whole, over, limits_us)
    number = int(group.max()) + 1
    sums = _by_group(group, number, np.column_stack([over, *_bytes_of(series)]))
    histograms = _histograms(_merged(whole, group, number))
    first_bytes = _first_bytes(series, whole, group)
    return [
        Series(histogram, row[:-2], row[-2], row[-1], first_bytes.get(at))
        for at, (histogram, row) in enumerate(zip(histograms, sums.tolist(), strict=True))
    ]


def _bytes_of(series: Sequence[WireSeries]) -> tuple[Integers, Integers]:
    received = np.array([one.bytes_received for one in series], np.int64)
    sent = np.array([one.bytes_sent for one in series], np.int64)
    _sure((received < _LARGEST_SUM // len(series)).all() and (sent < _LARGEST_SUM // len(series)).all())
    return received, sent


def _first_bytes(series: Sequence[WireSeries], whole: Unpacked, group: Integers) -> dict[int, ArrayHistogram]:
    """Those of the groups that have any; where a series has none of its own, its latencies are it."""
    own = [at for at, one in enumerate(series) if one.first_byte is not None]
    if not own:
        return {}
    parts = [series[at].first_byte or b"" for at in own]
    _sure(all(parts))
    begun = _unpack(parts)
    ended = _selected(whole, np.array(own, np.int64))
    _check_first_bytes(begun, ended)
    has_any = np.zeros(int(group.max()) + 1, bool)
    has_any[group[own]] = True
    others = np.setdiff1d(np.flatnonzero(has_any[group]), own)
    rows = np.concatenate([group[own], group[others]])
    places = np.cumsum(has_any) - 1
    both = _joined(begun, _selected(whole, others)) if len(others) else begun
    merged = _histograms(_merged(both, places[rows], int(has_any.sum())))
    return dict(zip(np.flatnonzero(has_any).tolist(), merged, strict=True))


def _unpack(packed: Sequence[bytes]) -> Unpacked:
    data = np.frombuffer(b"".join(packed), np.uint8)
    lengths = np.fromiter(map(len, packed), np.int64, len(packed))
    _sure((lengths > 0).all())
    stops = np.cumsum(lengths)
    numbers, after = _varints(data)
    # How many numbers each holds: those that end before its own end, and none may reach across.
    until = np.searchsorted(after, stops, side="right")
    begin = np.concatenate([[0], until[:-1]])
    sizes = until - begin
    _sure((after[until - 1] == stops).all() and (sizes >= 6).all() and not (sizes % 2).any())
    pairs = numbers.reshape(-1, 2)
    heads = begin // 2
    count, total = pairs[heads, 0], pairs[heads, 1]
    low, high = pairs[heads + 1, 0], pairs[heads + 1, 1]
    is_bucket = np.ones(len(pairs), bool)
    is_bucket[heads] = is_bucket[heads + 1] = False
    steps, ns = pairs[is_bucket, 0], pairs[is_bucket, 1]
    begins = np.concatenate([[0], np.cumsum(sizes // 2 - _PAIRS_OF_HEAD)])
    firsts = begins[:-1]
    _sure((ns > 0).all() and (ns < _LARGEST_COUNT).all() and (count < _LARGEST_COUNT).all())
    _sure((low <= high).all() and (high < _LARGEST_US).all() and (total < _LARGEST_SUM).all())
    _sure((steps <= bucket_index(_LARGEST_US)).all())
    later = np.ones(len(steps), bool)
    later[firsts] = False
    _sure((steps[later] > 0).all())
    run = np.cumsum(steps)
    indexes = run - np.repeat(run[firsts] - steps[firsts], np.diff(begins))
    found = Unpacked(begins, indexes, ns, count, total, low, high)
    _sure((found.sum_each(ns) == count).all())
    lasts = begins[1:] - 1
    _sure((_bucket_index(low) == indexes[firsts]).all() and (_bucket_index(high) == indexes[lasts]).all())
    _check_totals(found)
    return found


def _varints(data: NDArray[np.uint8]) -> tuple[Integers, Integers]:
    """The LEB128 numbers, and the place after the last byte of each."""
    lasts = np.flatnonzero(data < 0x80)
    _sure(len(lasts) > 0 and lasts[-1] == len(data) - 1)
    widths = np.empty_like(lasts)
    widths[0] = lasts[0] + 1
    np.subtract(lasts[1:], lasts[:-1], out=widths[1:])
    values = data[lasts].astype(np.int64)
    # The needless byte, and more bits than 63.
    _sure(not (values[widths > 1] == 0).any() and int(widths.max()) <= 9)
    wide = np.flatnonzero(widths > 1)
    back = 1
    while len(wide):
        values[wide] = values[wide] << 7 | (data[lasts[wide] - back] & 0x7F)
        back += 1
        wide = wide[widths[wide] > back]
    return values, lasts + 1


def _bucket_index(us: Integers) -> Integers:
    """`bucket_index` of each; exact below 2**53."""
    shift = np.maximum(np.frexp(us.astype(np.float64))[1] - (SUB_BUCKET_BITS + 1), 0).astype(np.int64)
    indexes: Integers = (shift << SUB_BUCKET_BITS) + (us >> shift)
    return indexes


def _check_totals(found: Unpacked) -> None:
    """As in `unpack`: a sum lies between those of the lowest and of the highest values that the buckets can hold."""
    shift = np.maximum((found.indexes >> SUB_BUCKET_BITS) - 1, 0)
    lowest = (found.indexes - (shift << SUB_BUCKET_BITS)) << shift
    spare = (np.int64(1) << shift) - 1
    _sure(float(found.count.max()) * float(found.high.max()) < _LARGEST_SUM)
    firsts, lasts = found.begins[:-1], found.begins[1:] - 1
    least = found.sum_each(lowest * found.ns)
    most = least + found.sum_each(spare * found.ns)
    first_low, last_low = lowest[firsts], lowest[lasts]
    first_high, last_high = first_low + spare[firsts], last_low + spare[lasts]
    least += (found.low - first_low) * found.ns[firsts]
    most += (found.high - last_high) * found.ns[lasts]
    alone = found.sizes() == 1
    least += np.where(alone, found.high - found.low, found.high - last_low)
    most += np.where(alone, found.low - found.high, found.low - first_high)
    _sure((least <= found.total).all() and (found.total <= most).all())


def _check_over(whole: Unpacked, over: Integers, limits_us: Sequence[int]) -> None:
    """As in the codec: each histogram bears out how many are over each limit, and never more over a higher one."""
    ceiling = whole.count
    for column, limit in enumerate(limits_us):
        _sure(limit < _LARGEST_US)
        last = bucket_index(limit)
        below = whole.sum_each(np.where(whole.indexes < last, whole.ns, 0))
        inside = whole.sum_each(np.where(whole.indexes == last, whole.ns, 0))
        if limit == highest_equivalent(last):
            fewest = most = below + inside
        else:
            lowest = highest_equivalent(last - 1) + 1
            fewest = below + (whole.low >= lowest)
            most = below + inside - (whole.high <= highest_equivalent(last))
        fewest = np.where(limit < whole.low, 0, np.where(limit >= whole.high, whole.count, fewest))
        most = np.where(limit < whole.low, 0, np.where(limit >= whole.high, whole.count, most))
        _sure((whole.count - most <= over[:, column]).all())
        _sure((over[:, column] <= np.minimum(whole.count - fewest, ceiling)).all())
        ceiling = over[:, column]


def _check_first_bytes(begun: Unpacked, ended: Unpacked) -> None:
    """As in the codec: for every k the k-th first byte lies in no later bucket than the k-th end."""
    _sure((begun.count == ended.count).all())
    exact = ((begun.total, ended.total), (begun.low, ended.low), (begun.high, ended.high))
    _sure(all((one <= other).all() for one, other in exact))
    keys = np.concatenate([_keys(begun, None), _keys(ended, None)])
    changes = np.concatenate([begun.ns, -ended.ns])
    # Stable, so that in one bucket the beginnings come first.
    _sure((np.cumsum(changes[np.argsort(keys, kind="stable")]) >= 0).all())


def _keys(found: Unpacked, groups: Integers | None) -> Integers:
    """A number per bucket that tells its histogram's group and its index; each its own group without any."""
    numbers = np.arange(len(found.count), dtype=np.int64) if groups is None else groups
    return (np.repeat(numbers, found.sizes()) << _INDEX_BITS) + found.indexes


def _merged(found: Unpacked, groups: Integers, number: int) -> Unpacked:
    keys = _keys(found, groups)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = np.flatnonzero(np.diff(keys, prepend=-1))
    merged = keys[firsts]
    begins = np.searchsorted(merged, np.arange(number + 1, dtype=np.int64) << _INDEX_BITS)
    low = np.full(number, np.iinfo(np.int64).max)
    high = np.zeros(number, np.int64)
    np.minimum.at(low, groups, found.low)
    np.maximum.at(high, groups, found.high)
    _sure(float(found.total.max()) * len(groups) < _LARGEST_SUM)
    sums = _by_group(groups, number, np.column_stack([found.count, found.total]))
    return Unpacked(
        begins,
        merged & ((1 << _INDEX_BITS) - 1),
        np.add.reduceat(found.ns[order], firsts),
        sums[:, 0],
        sums[:, 1],
        low,
        high,
    )


def _by_group(groups: Integers, number: int, rows: Integers) -> Integers:
    sums = np.zeros((number, rows.shape[1]), np.int64)
    np.add.at(sums, groups, rows)
    return sums


def _selected(found: Unpacked, places: Integers) -> Unpacked:
    sizes = found.sizes()[places]
    begins = np.concatenate([[0], np.cumsum(sizes)])
    at = np.repeat(found.begins[places] - begins[:-1], sizes) + np.arange(begins[-1])
    heads = (one[places] for one in (found.count, found.total, found.low, found.high))
    return Unpacked(begins, found.indexes[at], found.ns[at], *heads)


def _joined(one: Unpacked, other: Unpacked) -> Unpacked:
    begins = np.concatenate([one.begins, other.begins[1:] + one.begins[-1]])
    return Unpacked(
        begins,
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("indexes", "ns", "count", "total", "low", "high")
        ),
    )


def _histograms(found: Unpacked) -> list[ArrayHistogram]:
    begins = found.begins.tolist()
    buckets = np.stack([found.indexes, found.ns])
    heads = np.column_stack([found.count, found.total, found.low, found.high]).tolist()
    return [
        ArrayHistogram.of(buckets[:, begin:end], head)
        for begin, end, head in zip(begins, begins[1:], heads, strict=False)
    ]


def _sure(is_so: bool | np.bool) -> None:
    if not is_so:
        raise DoubtError
