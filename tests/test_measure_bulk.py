"""Reading in bulk makes the same of journals as reading one by one, or says that it cannot."""

from copy import copy
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.errors import JournalError
from loadproof.measure.arrays import ArrayHistogram
from loadproof.measure.bulk import DoubtError, add_up, unpack_all
from loadproof.measure.codec import decode, decode_packed, encode
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Interval, Outcome, Series, SeriesKey
from loadproof.measure.merge import added
from loadproof.measure.packing import pack, unpack

LIMITS_US = (1_500, 40_000, 2_000_000)
values = st.one_of(st.integers(0, 3_000), st.integers(0, 10**7), st.integers(0, 2**42))
samples = st.lists(st.tuples(values, st.integers(1, 4)), min_size=1, max_size=30)
histograms = st.lists(samples, max_size=12).map(lambda many: [histogram_of(one) for one in many])


def histogram_of(recorded):
    histogram = Histogram()
    for us, n in recorded:
        histogram.record(us, n)
    return histogram


def series_of(recorded, shift):
    """Latencies with exact counts over the limits, and first bytes that came earlier if they are shifted."""
    first_byte = histogram_of([(us >> shift, n) for us, n in recorded]) if shift else None
    over = [sum(n for us, n in recorded if us > limit) for limit in LIMITS_US]
    return Series(histogram_of(recorded), over, len(recorded) * 7, len(recorded), first_byte)


def encoded(series):
    """An interval of them as it stands in a journal."""
    names = [SeriesKey("Reader", "GET", f"/{number}", Outcome.OK, "steady") for number in range(len(series))]
    ended = sum(one.histogram.count for one in series)
    return encode(
        Interval(3, 3_000_000, 1_000_000, started=ended, series=dict(zip(names, series, strict=True)))
    )


def wire_of(series):
    return decode_packed(encoded(series), LIMITS_US).series


def mutated(packed, seed):
    """One byte less, more, or another."""
    random = Random(seed)
    at = random.randrange(len(packed))
    other = bytes([random.randrange(256)])
    return packed[:at] + random.choice((b"", other, other + packed[at : at + 1])) + packed[at + 1 :]


@given(histograms)
def test_unpacking_in_bulk_is_unpacking_each(many):
    """Every histogram comes out as from `unpack`, empty ones too."""
    many = [*many, Histogram()]

    assert unpack_all([pack(one) for one in many]) == many


@given(histograms.filter(bool), st.integers(0, 2**32), st.integers(0, 11))
def test_what_passes_in_bulk_is_what_passes_alone(many, seed, which):
    """Of damaged bytes, bulk lets nothing pass that `unpack` refuses, and makes the same of what it lets pass."""
    packed = [pack(one) for one in many]
    packed[which % len(packed)] = mutated(packed[which % len(packed)], seed)
    try:
        found = unpack_all(packed)
    except DoubtError:
        return
    assert found == [unpack(one) for one in packed]


@given(st.lists(st.tuples(samples, st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=12))
def test_adding_up_in_bulk_is_adding_up_series(parts):
    """Each group is the sum of its series: latencies, counts over limits, bytes and first bytes."""
    series = [series_of(recorded, shift) for recorded, shift, _ in parts]
    numbers = {}
    groups = [numbers.setdefault(group, len(numbers)) for _, _, group in parts]
    expected = {}
    for one, group in zip(series, groups, strict=True):
        if group in expected:
            expected[group] += one
        else:
            expected[group] = copy(one)

    assert add_up(wire_of(series), groups, LIMITS_US) == [expected[at] for at in range(len(numbers))]


@given(
    st.lists(st.tuples(samples, st.integers(0, 2)), min_size=1, max_size=4),
    st.integers(0, 2),
    st.integers(-3, 3).filter(bool),
)
def test_wrong_counts_over_a_limit_are_doubted(parts, limit, wrong):
    """Bulk lets counts over limits pass exactly if the codec does."""
    series = [series_of(recorded, shift) for recorded, shift in parts]
    series[0].over[limit] = max(0, series[0].over[limit] + wrong)
    wire = wire_of(series)
    try:
        decode(encoded(series), LIMITS_US)
    except JournalError:
        with pytest.raises(DoubtError):
            add_up(wire, list(range(len(series))), LIMITS_US)
    else:
        assert add_up(wire, list(range(len(series))), LIMITS_US) == series


@given(samples, samples)
def test_first_bytes_after_the_answer_are_doubted(recorded, other):
    """Bulk lets first bytes pass exactly if the codec does."""
    series = [Series(histogram_of(recorded), [0] * 3, first_byte=histogram_of(other))]
    series[0].over = [sum(n for us, n in recorded if us > limit) for limit in LIMITS_US]
    wire = wire_of(series)
    try:
        decode(encoded(series), LIMITS_US)
    except JournalError:
        with pytest.raises(DoubtError):
            add_up(wire, [0], LIMITS_US)
    else:
        assert add_up(wire, [0], LIMITS_US) == series


def test_numbers_too_large_for_64_bits_are_doubted():
    """A lawful histogram whose sums could overflow is left to the reader that takes its time."""
    histogram = Histogram()
    histogram.record(2**50, 3)

    with pytest.raises(DoubtError):
        unpack_all([pack(histogram)])


@given(histograms, st.lists(st.integers(0, 1_000), min_size=1, max_size=5), values)
def test_an_array_histogram_is_a_histogram(many, parts, us):
    """Sums, copies, quantiles and counts up to a value are those of the plain kind, in any mixture."""
    plain, arrays = Histogram(), ArrayHistogram()
    for number, one in enumerate(many):
        plain += one
        arrays += unpack_all([pack(one)])[0] if number % 2 else one
    asked = [Fraction(part, 1_000) for part in sorted(parts)]

    assert arrays == plain
    assert copy(arrays) == plain
    assert arrays.quantiles(*asked) == plain.quantiles(*asked)
    assert arrays.count_at_most(us) == plain.count_at_most(us)
    assert added([arrays, plain]) == added([plain, plain])
    arrays.record(us)
    plain.record(us)
    assert (arrays, arrays.mean) == (plain, plain.mean)


def test_adding_leaves_the_parts_as_they_are():
    """What was added up can be added up again."""
    parts = unpack_all([pack(histogram_of([(us, 2)])) for us in range(1, 20_000, 2)])
    before = [copy(one) for one in parts]
    once, twice = added(parts), added(parts)
    once += parts[0]

    assert parts == before
    assert twice.count == 20_000
