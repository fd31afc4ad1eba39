import contextlib
import itertools
import random
import tracemalloc
from dataclasses import fields, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import (
    LIMITS_US,
    counts,
    header,
    histogram_of,
    histograms,
    intervals,
    series_of,
    small_interval,
    texts,
)

from loadproof.errors import JournalError
from loadproof.measure.codec import FIN, HEADER, INTERVAL, decode, encode
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    DurationKey,
    Fin,
    Header,
    Interval,
    MetricKey,
    MetricSummary,
    Outcome,
    Series,
    SeriesKey,
    Timed,
)
from loadproof.measure.packing import pack, unpack
from loadproof.measure.wire import FORMAT_VERSION, OUTCOMES, TIMED, WireInterval, WireSeries

fins = st.builds(Fin, counts, counts, counts, counts, counts, st.binary(min_size=32, max_size=32))
headers = st.builds(
    Header,
    st.just(FORMAT_VERSION),
    texts,
    texts,
    texts,
    counts,
    st.sets(counts, max_size=5).map(lambda limits: tuple(sorted(limits))),
)

KEY = SeriesKey("Reader", "GET", "/policies/:id", Outcome.OK, "steady")
INTERVAL_ARRAY = b"\xdc\x00" + bytes([len(WireInterval.__struct_fields__)])


@given(interval=intervals())
def test_interval_survives(interval):
    """What was recorded is what is read, names of any characters and absent values included."""
    assert decode(encode(interval), LIMITS_US) == interval


@given(record=headers | fins)
def test_header_and_fin_survive(record):
    """Headers and FINs are read as they were written."""
    assert decode(encode(record)) == record


def test_every_field_of_an_interval_is_written():
    """A field that is added to Interval and forgotten in the format would be lost in silence."""
    written = set(WireInterval.__struct_fields__) - {"texts"}
    assert written == {field.name for field in fields(Interval)}


def test_every_field_of_a_series_is_written():
    """A field that is added to Series and forgotten in the format would be lost in silence."""
    written = set(WireSeries.__struct_fields__) - set(SeriesKey._fields)
    assert written == {field.name for field in fields(Series)}


def test_every_outcome_and_timed_is_written_at_its_place():
    """Their numbers are part of the format: they only ever grow at the end, and none is left out."""
    assert [outcome.value for outcome in OUTCOMES] == ["ok", "failed", "timeout", "unfinished"]
    assert [timed.value for timed in TIMED] == ["resolve", "connect", "tls", "round_trip", "lifetime"]
    assert (set(OUTCOMES), set(TIMED)) == (set(Outcome), set(Timed))


@given(histogram=histograms)
def test_packed_histogram_survives(histogram):
    """A histogram is its bytes, and an empty one is none."""
    assert unpack(pack(histogram)) == histogram
    assert (pack(histogram) == b"") == (histogram == Histogram())


def test_largest_numbers_survive():
    """The format holds every number up to 2**63 - 1."""
    histogram = histogram_of([2**63 - 1])
    assert unpack(pack(histogram)) == histogram


@settings(max_examples=300)
@given(histogram=histograms, data=st.data())
def test_packed_form_is_canonical(histogram, data):
    """Bytes that unpack at all are exactly the bytes that the histogram packs to."""
    packed = bytearray(pack(histogram) or b"\x01\x05\x05\x05\x05\x01")
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = unpack(bytes(packed))
    except JournalError:
        return
    assert pack(found) == packed


@pytest.mark.parametrize(
    ("packed", "wrong"),
    [
        ("01", "cut short"),
        ("01 05 05 05 05 81", "cut short"),
        ("01 05 05 05", "cut short"),
        ("02 05 05 05 05 01", "counted 2 values and its buckets hold 1"),
        ("01 05 06 05 05 01", "outside its outermost buckets"),
        ("02 0b 06 05 05 01 01 01", "outside its outermost buckets"),
        ("02 0b 05 07 05 01 01 01", "outside its outermost buckets"),
        ("01 06 05 05 05 01", "sum 6 cannot come from its buckets"),
        ("02 0a 05 06 05 01 01 01", "sum 10 cannot come from its buckets"),
        ("00 00 05 05 05 00", "empty, repeated or impossible"),
        ("02 0a 05 05 05 01 00 01", "empty, repeated or impossible"),
        ("01 05 05 05 80 80 04 01", "empty, repeated or impossible"),
        ("01 85 00 05 05 05 01", "needless byte"),
        ("01 ff ff ff ff ff ff ff ff ff 01 05 05 05 01", "above 2\\*\\*63 - 1"),
    ],
)
def test_packed_lies_are_named(packed, wrong):
    """Counts, bounds and sums that contradict each other are refused, and the message says which."""
    with pytest.raises(JournalError, match=wrong):
        unpack(bytes.fromhex(packed))


@pytest.mark.parametrize("values", [[2_048], [2_048, 2_049], [5_000, 5_001, 5_002], [4_094, 4_096, 4_101]])
def test_sum_is_held_against_wide_buckets(values):
    """Exactly those sums pass that some values of the same buckets, minimum and maximum have."""
    histogram = histogram_of(values)
    possible = set()
    for others in itertools.product(range(min(values), max(values) + 1), repeat=len(values)):
        other = histogram_of(others)
        if (other.counts, other.min, other.max) == (histogram.counts, histogram.min, histogram.max):
            possible.add(sum(others))
    accepted = set()
    for total in range(3 * max(values) + 2):
        histogram.total = total
        with contextlib.suppress(JournalError):
            accepted.add(unpack(pack(histogram)).total)
    assert accepted == possible


def tampered(**changes):
    """The payload of a small interval with other values in its fields."""
    wire = msgspec.msgpack.decode(encode(small_interval(7))[1:], type=WireInterval)
    for name, value in changes.items():
        setattr(wire, name, value(getattr(wire, name)) if callable(value) else value)
    return INTERVAL + msgspec.msgpack.encode(wire)


def packed(*values):
    return pack(histogram_of(values))


def first_series(**changes):
    def change(series):
        for name, value in changes.items():
            setattr(series[0], name, value)
        return series

    return tampered(series=change)


@pytest.mark.parametrize(
    ("payload", "wrong"),
    [
        (b"", "no known kind"),
        (b"\x04\x90", "no known kind: 04"),
        (INTERVAL, "does not fit the format"),
        (INTERVAL + b"\x90", "does not fit the format"),
        (encode(small_interval(1)) + b"\xc0", "does not fit the format"),
        (tampered(second=-1), "does not fit the format"),
        (tampered(started=2**63), "does not fit the format"),
        (tampered(cpu_us=1.5), "does not fit the format"),
        (tampered(users=[(0, -1)]), "does not fit the format"),
        (tampered(users=[(99, 1)]), "text that it does not hold"),
        (tampered(users=[(0, 1), (0, 1)]), "same thing twice"),
        (tampered(undeclared=[(0,), (0,)]), "same thing twice"),
        (tampered(texts=lambda texts: [*texts[:-1], texts[0]], users=[(0, 1), (4, 1)]), "same thing twice"),
        (tampered(series=lambda series: [series[0], series[0]]), "same thing twice"),
        (tampered(texts=lambda texts: [b"\xff", *texts[1:]]), "not UTF-8"),
        (tampered(first_done_us=5), "contradict each other"),
        (tampered(first_done_us=5, last_done_us=4), "contradict each other"),
        (tampered(metrics=[(0, 0, 0, 0, 1.0, 1.0, 1.0)]), "does not fit the format"),
        (tampered(metrics=[(0, 0, 0, 1, 1.0, 2.0, 1.0)]), "no numbers in order"),
        (tampered(metrics=[(0, 0, 0, 1, float("nan"), 1.0, 1.0)]), "no numbers in order"),
        (tampered(metrics=[(0, 0, 0, 1, 1.0, float("-inf"), 1.0)]), "no numbers in order"),
        (first_series(outcome=4), "does not fit the format"),
        (first_series(over=[2, 1]), "over 2 limits, and the header has 3"),
        (first_series(over=[2, 1, 1]), "counts 1 values over 5000000"),
        (first_series(over=[2, 0, 0]), "counts 0 values over 2000000"),
        (first_series(over=[4, 1, 0]), "counts 4 values over 1000"),
        (first_series(histogram=b"\x00"), "cut short"),
        (first_series(first_byte=b"\x00"), "cut short"),
        (first_series(first_byte=b""), "has 3 latencies, and the first byte of 0 answers"),
        (first_series(first_byte=packed(900, 1_500)), "has 3 latencies, and the first byte of 2 answers"),
        (first_series(first_byte=packed(900, 900, 1_500, 1_500)), "the first byte of 4 answers"),
        (first_series(first_byte=packed(901, 1_400, 2_000_000)), "after the whole answer"),
        (first_series(first_byte=packed(900, 1_501, 2_000_000)), "after the whole answer"),
        (first_series(first_byte=packed(900, 1_500, 2_500_001)), "after the whole answer"),
        (first_series(bytes_sent=-1), "does not fit the format"),
        (tampered(stamped=2, unstamped=3), "clock of 2 and 3 requests, and only 4 ended"),
        (tampered(stamped=2**63 - 1), "and only 4 ended"),
        (tampered(user_wait=b"\x00"), "cut short"),
        (tampered(exchanges=[(0, 1, 1, 1)]), "does not fit the format"),
        (tampered(arrivals=[(0, 0, -1, 0, 0)]), "does not fit the format"),
        (tampered(arrivals=[(0, 0, 1, 0)]), "does not fit the format"),
        (tampered(arrivals=[(0, 99, 1, 0, 0)]), "text that it does not hold"),
        (tampered(arrivals=[(0, 0, 1, 0, 0), (0, 0, 2, 0, 0)]), "same thing twice"),
        (tampered(durations=[(0, 5, 0, 0, packed(1))]), "does not fit the format"),
        (tampered(durations=[(0, -1, 0, 0, packed(1))]), "does not fit the format"),
        (tampered(durations=[(0, 0, 0, 0, b"")]), "does not fit the format"),
        (tampered(durations=[(0, 0, 0, 0, b"\x01")]), "cut short"),
        (tampered(durations=[(0, 0, 99, 0, packed(1))]), "text that it does not hold"),
        (tampered(durations=[(0, 0, 0, 0, packed(1)), (0, 0, 0, 0, packed(2))]), "same thing twice"),
        (HEADER + msgspec.msgpack.encode([1, b"", b"", b"", 1, []]), "format version is 1"),
        (HEADER + msgspec.msgpack.encode([2, b"", b"", b"", 1, [5, 5]]), "limits do not ascend"),
        (HEADER + msgspec.msgpack.encode([2, b"\xff", b"", b"", 1, [5]]), "not UTF-8"),
        (FIN + msgspec.msgpack.encode([1, 1, 1, 1, 1, bytes(31)]), "does not fit the format"),
    ],
)
def test_lies_are_named(payload, wrong):
    """Content that contradicts itself or the header is refused, with what is wrong in the message."""
    with pytest.raises(JournalError, match=wrong):
        decode(payload, LIMITS_US)


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ([1_000_001, 1_000_100], [1_000_000, 1_000_200]),
        ([1_000_000, 1_000_201], [1_000_002, 1_000_200]),
        ([1_000_000, 1_000_101, 1_000_200], [1_000_000, 1_000_100, 1_000_200]),
        ([900, 1_000_000, 2_500], [1_000, 1_000_100, 2_000]),
    ],
)
def test_first_bytes_after_the_end_are_refused(begins, ends):
    """Buckets tell it for each value, and within one bucket minimum, maximum and sum do."""
    interval = replace(small_interval(1), series={KEY: series_of(ends, first_bytes=begins)})
    with pytest.raises(JournalError, match="after the whole answer"):
        decode(encode(interval), LIMITS_US)
    interval.series = {KEY: series_of(ends, first_bytes=ends)}
    assert decode(encode(interval), LIMITS_US) == interval


def test_over_counts_must_not_grow_with_the_limit():
    """More values over a higher limit than over a lower one is a contradiction, even inside one bucket."""
    limits = (1_000_001, 1_000_002)
    interval = small_interval(1)
    for series in interval.series.values():
        series.over = [0, 0]
    key = next(iter(interval.series))
    interval.series = {key: interval.series[key]}
    interval.series[key].histogram = histogram_of([999_950, 1_000_003, 1_000_003, 1_000_400])
    interval.series[key].over = [3, 3]
    assert decode(encode(interval), limits) == interval
    interval.series[key].over = [2, 3]
    with pytest.raises(JournalError, match="counts 3 values over 1000002"):
        decode(encode(interval), limits)


@pytest.mark.parametrize(
    "record",
    [
        replace(small_interval(1), cpu_us=2**64),
        replace(small_interval(1), users={None: 1}),
        replace(small_interval(1), pacer_lag=histogram_of([2**63])),
        replace(small_interval(1), metrics={MetricKey("a", "b", "c"): MetricSummary(1, "x", 1.0, 1.0)}),
        replace(header(), run=None),
        replace(header(), epoch=2**64),
    ],
)
def test_what_cannot_be_written_is_a_journal_error(record):
    """A value outside the format is told as such, not by whatever library met it."""
    with pytest.raises(JournalError, match="a journal cannot hold this"):
        encode(record)


def mutate(rng, payload):
    """A payload with a few bytes changed, cut out, repeated or put in."""
    damaged = bytearray(payload)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(damaged))
        match rng.randrange(5):
            case 0:
                damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                damaged[at] = rng.choice((0x00, 0x7F, 0x80, 0xC0, 0xC6, 0xCB, 0xCF, 0xDC, 0xDD, 0xFF))
            case 2:
                del damaged[at : at + rng.randint(1, 9)]
            case 3:
                damaged[at:at] = damaged[at : at + rng.randint(1, 9)]
            case _:
                damaged[at:at] = rng.randbytes(rng.randint(1, 9))
        if not damaged:
            break
    return bytes(damaged)


def test_hostile_bytes_raise_only_journal_error():
    """10,000 mutated payloads are read as something whole or refused by JournalError, nothing else."""
    rng = random.Random(7)
    full = replace(
        small_interval(3),
        metrics={MetricKey("a", "b", "c"): MetricSummary(1, 1.0, 1.0, 1.0)},
        user_wait=histogram_of([7, 90_000]),
        arrivals={ArrivalKey("Reader", "steady"): Arrivals(3, 2, 1)},
        durations={DurationKey("Reader", Timed.CONNECT, "api:443", "steady"): histogram_of([800, 2_500])},
        stamped=2,
        unstamped=1,
    )
    next(iter(full.series.values())).first_byte = histogram_of([700, 1_500, 2_000_000])
    fin = Fin(1, 2, 3, 4, 5, bytes(32))
    originals = [encode(record) for record in (full, full, full, header(), fin)]
    refused = 0
    for _ in range(10_000):
        try:
            found = decode(mutate(rng, rng.choice(originals)), LIMITS_US)
        except JournalError:
            refused += 1
        else:
            assert decode(encode(found), LIMITS_US) == found
    assert refused > 5_000


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",
        INTERVAL_ARRAY + b"\x00" * 3 + b"\xdd\xff\xff\xff\xff",
        INTERVAL_ARRAY + b"\x00" * 3 + b"\x91" * 5_000,
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("kind", [HEADER, INTERVAL, FIN])
def test_absurd_lengths_take_no_memory(kind, bomb):
    """A length that the bytes cannot back is refused before anything of that size is allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(JournalError):
            decode(kind + bomb, LIMITS_US)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
