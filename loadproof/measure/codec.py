"""The payloads of journal records to bytes and back: a byte for the kind, then MessagePack.

The texts of an interval stand once, in a table, and as bytes: a name may hold lone surrogates (a URL that was
decoded with `surrogateescape`), which the strings of MessagePack cannot carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import DecodeError, msgpack

from loadproof.errors import JournalError
from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    CheckCounts,
    CheckKey,
    DurationKey,
    Ended,
    Endpoint,
    ErrorKey,
    Evidence,
    Exchanges,
    Fin,
    Header,
    Interval,
    MetricKey,
    MetricSummary,
    Series,
    SeriesKey,
)
from loadproof.measure.packing import pack, packed_count, unpack
from loadproof.measure.wire import (
    FAULT,
    FORMAT_VERSION,
    OUTCOMES,
    TIMED,
    WireDuration,
    WireFin,
    WireHeader,
    WireInterval,
    WireSeries,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadproof.measure.histogram import Histogram
    from loadproof.measure.interval import Outcome

HEADER: Final = b"\x01"
INTERVAL: Final = b"\x02"
FIN: Final = b"\x03"
_HEADERS: Final = msgpack.Decoder(WireHeader)
_INTERVALS: Final = msgpack.Decoder(WireInterval)
_FINS: Final = msgpack.Decoder(WireFin)
_ENCODER: Final = msgpack.Encoder()
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class PackedInterval:
    """An interval whose latencies and lags are yet to be unpacked and checked; `interval` has none of them."""

    interval: Interval
    keys: tuple[SeriesKey, ...]
    series: list[WireSeries]
    """In the order of the keys."""
    lags: tuple[bytes, bytes, bytes]
    """Of the pacer, of the receipt, and the waits for users."""
    ended: Ended


def encode(record: Header | Interval | Fin) -> bytes:
    """The payload of one record; JournalError for values that no payload can hold.

    Only what cannot be written at all is refused here: `decode` is the one judge of what makes sense.
    """
    try:
        if isinstance(record, Interval):
            return INTERVAL + _ENCODER.encode(_write_interval(record))
        if isinstance(record, Header):
            return HEADER + _ENCODER.encode(_write_header(record))
        return FIN + _ENCODER.encode(
            WireFin(
                record.intervals, record.started, record.ok, record.failed, record.unfinished, record.sha256
            )
        )
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise JournalError(f"a journal cannot hold this {type(record).__name__}: {error}") from error


def decode(payload: bytes, limits_us: Sequence[int] = ()) -> Header | Interval | Fin:
    """What `encode` took; JournalError, and never another error, for any other bytes.

    `limits_us` are those of the journal's header, against which the series of an interval count.
    """
    return _decode(payload, lambda wire: _read_interval(wire, limits_us))


def decode_packed(payload: bytes, limits_us: Sequence[int] = ()) -> Header | PackedInterval | Fin:
    """As `decode`, but for the latencies and lags of an interval, which stay as they are."""
    return _decode(payload, lambda wire: _read_packed(wire, limits_us))


def _decode(payload: bytes, read: Callable[[WireInterval], _V]) -> Header | _V | Fin:
    kind, body = payload[:1], memoryview(payload)[1:]
    try:
        if kind == INTERVAL:
            return read(_INTERVALS.decode(body))
        if kind == HEADER:
            return _read_header(_HEADERS.decode(body))
        if kind == FIN:
            fin = _FINS.decode(body)
            return Fin(fin.intervals, fin.started, fin.ok, fin.failed, fin.unfinished, fin.sha256)
    except DecodeError as error:
        raise JournalError(f"its content does not fit the format: {error}") from error
    except UnicodeDecodeError as error:
        raise JournalError(f"a text in it is not UTF-8: {error.reason}") from error
    except IndexError as error:
        raise JournalError("it refers to a text that it does not hold") from error
    raise JournalError(f"it is of no known kind: {kind.hex() or 'empty'}")


def _write_header(header: Header) -> WireHeader:
    return WireHeader(
        header.version,
        _bytes(header.run),
        _bytes(header.worker),
        _bytes(header.region),
        header.epoch,
        list(header.limits_us),
    )


def _read_header(wire: WireHeader) -> Header:
    if wire.version != FORMAT_VERSION:
        raise JournalError(f"its format version is {wire.version}, and this loadproof reads {FORMAT_VERSION}")
    if any(lower >= upper for lower, upper in pairwise(wire.limits_us)):
        raise JournalError(f"its limits do not ascend: {wire.limits_us}")
    return Header(
        version=wire.version,
        run=_text(wire.run),
        worker=_text(wire.worker),
        region=_text(wire.region),
        epoch=wire.epoch,
        limits_us=tuple(wire.limits_us),
    )


def _write_interval(interval: Interval) -> WireInterval:
    texts: dict[str, int] = {}

    def at(text: str) -> int:
        return texts.setdefault(text, len(texts))

    # Not typed as the rows of WireInterval: a tuple made of a key of any length has no type of its own.
    def row(key: Iterable[str], *numbers: float) -> Any:
        return (*map(at, key), *numbers)

    return WireInterval(
        second=interval.second,
        start_us=interval.start_us,
        length_us=interval.length_us,
        users=[(at(scenario), n) for scenario, n in interval.users.items()],
        user_us=[(at(scenario), us) for scenario, us in interval.user_us.items()],
        started=interval.started,
        in_flight=interval.in_flight,
        oldest_us=interval.oldest_us,
        first_done_us=interval.first_done_us,
        last_done_us=interval.last_done_us,
        series=[
            WireSeries(
                at(key.scenario),
                at(key.method),
                at(key.name),
                OUTCOMES.index(key.outcome),
                at(_stretch(key.phase, key.faults)),
                pack(one.histogram),
                one.over,
                one.bytes_received,
                one.bytes_sent,
                None if one.first_byte is None else pack(one.first_byte),
            )
            for key, one in interval.series.items()
        ],
        exchanges=[
            row(key, one.answered, one.unanswered, one.unconnected) for key, one in interval.exchanges.items()
        ],
        checks=[row(key, one.passed, one.failed, one.skipped) for key, one in interval.checks.items()],
        metrics=[
            row(key, one.count, float(one.total), float(one.min), float(one.max))
            for key, one in interval.metrics.items()
        ],
        errors=[row(key, n) for key, n in interval.errors.items()],
        task_errors=[(at(text), n) for text, n in interval.task_errors.items()],
        undeclared=[(at(text),) for text in sorted(interval.undeclared)],
        untracked=interval.untracked,
        evidence=[(at(one.scenario), at(one.check), one.at_us, at(one.detail)) for one in interval.evidence],
        pacer_lag=pack(interval.pacer_lag),
        receive_lag=pack(interval.receive_lag),
        user_wait=pack(interval.user_wait),
        arrivals=[
            row((key.scenario, _stretch(key.phase, key.faults)), one.taken, one.no_user, one.late)
            for key, one in interval.arrivals.items()
        ],
        durations=[
            WireDuration(
                at(key.scenario), TIMED.index(key.timed), at(key.name), at(key.phase), pack(histogram)
            )
            for key, histogram in interval.durations.items()
        ],
        stamped=interval.stamped,
        unstamped=interval.unstamped,
        cpu_us=interval.cpu_us,
        throttled_us=interval.throttled_us,
        steal_us=interval.steal_us,
        texts=[_bytes(text) for text in texts],
    )


def _read_interval(wire: WireInterval, limits_us: Sequence[int]) -> Interval:
    texts = [_text(raw) for raw in wire.texts]
    series = _unique([_read_series(one, texts, limits_us) for one in wire.series])
    interval = _read_rest(wire, texts, sum(one.histogram.count for one in series.values()))
    interval.series = series
    interval.pacer_lag = unpack(wire.pacer_lag)
    interval.receive_lag = unpack(wire.receive_lag)
    interval.user_wait = unpack(wire.user_wait)
    return interval


def _read_packed(wire: WireInterval, limits_us: Sequence[int]) -> PackedInterval:
    texts = _texts(tuple(wire.texts))
    keys = _keys(texts, tuple([(o.scenario, o.method, o.name, o.outcome, o.phase) for o in wire.series]))
    for one in wire.series:
        _check_limits(one, limits_us)
    ended = Ended.of(
        (key.outcome, packed_count(one.histogram)) for key, one in zip(keys, wire.series, strict=True)
    )
    lags = (wire.pacer_lag, wire.receive_lag, wire.user_wait)
    return PackedInterval(_read_rest(wire, texts, sum(ended)), keys, wire.series, lags, ended)


@lru_cache(maxsize=1_024)
def _texts(raw: tuple[bytes, ...]) -> tuple[str, ...]:
    """A worker's intervals hold the same texts second after second."""
    return tuple(map(_text, raw))


@lru_cache(maxsize=1_024)
def _keys(texts: tuple[str, ...], rows: tuple[tuple[int, ...], ...]) -> tuple[SeriesKey, ...]:
    keys = tuple(
        _key(texts[scenario], texts[method], texts[name], OUTCOMES[outcome], texts[phase])
        for scenario, method, name, outcome, phase in rows
    )
    _unique([(key, None) for key in keys])
    return keys


def _read_rest(wire: WireInterval, texts: Sequence[str], ended: int) -> Interval:
    """All but the latencies and lags."""
    first, last = wire.first_done_us, wire.last_done_us
    if (first is None) != (last is None) or (first is not None and last is not None and first > last):
        raise JournalError(f"its first answer at {first} and its last at {last} contradict each other")
    if wire.stamped + wire.unstamped > ended:
        raise JournalError(
            f"it tells the clock of {wire.stamped} and {wire.unstamped} requests, and only {ended} ended"
        )

    def table(
        rows: Sequence[tuple[Any, ...]], width: int, key: Callable[..., _K], value: Callable[..., _V]
    ) -> dict[_K, _V]:
        if not rows:
            return {}
        return _unique([(key(*[texts[at] for at in row[:width]]), value(*row[width:])) for row in rows])

    return Interval(
        second=wire.second,
        start_us=wire.start_us,
        length_us=wire.length_us,
        users=table(wire.users, 1, str, int),
        user_us=table(wire.user_us, 1, str, int),
        started=wire.started,
        in_flight=wire.in_flight,
        oldest_us=wire.oldest_us,
        first_done_us=first,
        last_done_us=last,
        exchanges=table(wire.exchanges, 2, Endpoint, Exchanges),
        checks=table(wire.checks, 3, CheckKey, CheckCounts),
        metrics=table(wire.metrics, 3, MetricKey, _read_summary),
        errors=table(wire.errors, 4, ErrorKey, int),
        task_errors=table(wire.task_errors, 1, str, int),
        undeclared=set(table(wire.undeclared, 1, str, bool)),
        untracked=wire.untracked,
        evidence=[
            Evidence(texts[scenario], texts[check], at_us, texts[detail])
            for scenario, check, at_us, detail in wire.evidence
        ],
        arrivals=table(wire.arrivals, 2, _arrival_key, Arrivals),
        durations=_unique([_read_duration(one, texts) for one in wire.durations]),
        stamped=wire.stamped,
        unstamped=wire.unstamped,
        cpu_us=wire.cpu_us,
        throttled_us=wire.throttled_us,
        steal_us=wire.steal_us,
    )


def _read_series(wire: WireSeries, texts: list[str], limits_us: Sequence[int]) -> tuple[SeriesKey, Series]:
    histogram = unpack(wire.histogram)
    _check_limits(wire, limits_us)
    ceiling = histogram.count
    for limit, over in zip(limits_us, wire.over, strict=True):
        fewest_within, most_within = histogram.count_at_most(limit)
        if not histogram.count - most_within <= over <= min(histogram.count - fewest_within, ceiling):
            raise JournalError(f"a series counts {over} values over {limit} µs, and its histogram denies it")
        ceiling = over
    scenario, method, name, phase = (texts[at] for at in (wire.scenario, wire.method, wire.name, wire.phase))
    key = _key(scenario, method, name, OUTCOMES[wire.outcome], phase)
    first_byte = None if wire.first_byte is None else _read_first_byte(unpack(wire.first_byte), histogram)
    return key, Series(histogram, wire.over, wire.bytes_received, wire.bytes_sent, first_byte)


def _key(scenario: str, method: str, name: str, outcome: Outcome, stretch: str) -> SeriesKey:
    phase, *faults = stretch.split(FAULT)
    return SeriesKey(scenario, method, name, outcome, phase, tuple(faults))


def _arrival_key(scenario: str, stretch: str) -> ArrivalKey:
    phase, *faults = stretch.split(FAULT)
    return ArrivalKey(scenario, phase, tuple(faults))


def _stretch(phase: str, faults: tuple[str, ...]) -> str:
    return FAULT.join((phase, *faults))


def _check_limits(wire: WireSeries, limits_us: Sequence[int]) -> None:
    if len(wire.over) != len(limits_us):
        raise JournalError(
            f"a series counts over {len(wire.over)} limits, and the header has {len(limits_us)}"
        )


def _read_first_byte(first_byte: Histogram, whole: Histogram) -> Histogram:
    """No answer begins after its end, so for every k the k-th value lies in no later bucket than `whole`'s."""
    if first_byte.count != whole.count:
        raise JournalError(
            f"a series has {whole.count} latencies, and the first byte of {first_byte.count} answers"
        )
    ahead = 0
    for index in sorted(first_byte.counts.keys() | whole.counts.keys()):
        ahead += first_byte.counts.get(index, 0) - whole.counts.get(index, 0)
        if ahead < 0:
            break
    exact = zip(_exact(first_byte), _exact(whole), strict=True)
    if ahead < 0 or any(begin > end for begin, end in exact):
        raise JournalError("a series has first bytes that came after the whole answer")
    return first_byte


def _exact(histogram: Histogram) -> tuple[int, int, int]:
    return histogram.total, histogram.min or 0, histogram.max or 0


def _read_duration(wire: WireDuration, texts: Sequence[str]) -> tuple[DurationKey, Histogram]:
    scenario, name, phase = (texts[at] for at in (wire.scenario, wire.name, wire.phase))
    return DurationKey(scenario, TIMED[wire.timed], name, phase), unpack(wire.histogram)


def _read_summary(count: int, total: float, low: float, high: float) -> MetricSummary:
    if not (isfinite(total) and isfinite(low) and isfinite(high) and low <= high):
        raise JournalError(
            f"a metric's sum {total}, minimum {low} and maximum {high} are no numbers in order"
        )
    return MetricSummary(count, total, low, high)


def _unique(pairs: list[tuple[_K, _V]]) -> dict[_K, _V]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JournalError("it tells of the same thing twice")
    return unique


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")
