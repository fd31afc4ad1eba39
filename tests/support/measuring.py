"""Hypothesis strategies and helpers for what `loadproof.measure` records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    CheckCounts,
    CheckKey,
    DurationKey,
    Endpoint,
    ErrorKey,
    Evidence,
    Exchanges,
    Header,
    Interval,
    MetricKey,
    MetricSummary,
    Outcome,
    Series,
    SeriesKey,
    Timed,
)
from loadproof.measure.journal import FORMAT_VERSION, JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

LIMITS_US = (1_000, 2_000_000, 5_000_000)

counts = st.integers(0, 2**40)
maybe_counts = st.none() | counts
microseconds = st.integers(0, 5_000) | st.integers(0, 60_000_000) | st.integers(0, 2**40)
samples = st.lists(microseconds, max_size=40)
texts = st.text(st.characters(), max_size=8)
"""Texts of any characters at all, lone surrogates included."""
whole_floats = st.integers(-(2**40), 2**40).map(float)
"""Floats whose sums are exact, so that their addition is associative."""


def histogram_of(values: Iterable[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def series_of(
    values: Sequence[int],
    limits_us: Sequence[int] = LIMITS_US,
    bytes_received: int = 0,
    bytes_sent: int = 0,
    first_bytes: Sequence[int] | None = None,
) -> Series:
    over = [sum(value > limit for value in values) for limit in limits_us]
    first_byte = None if first_bytes is None else histogram_of(first_bytes)
    return Series(histogram_of(values), over, bytes_received, bytes_sent, first_byte)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[int], list[int] | None]:
    """Latencies, and for each the time to its first byte; None when every answer came whole in one read."""
    values = draw(samples)
    if draw(st.booleans()):
        return values, None
    return values, [draw(st.just(value) | st.integers(0, value)) for value in values]


@st.composite
def any_series(draw: st.DrawFn, limits_us: Sequence[int] = LIMITS_US) -> Series:
    values, first_bytes = draw(answers())
    return series_of(values, limits_us, draw(counts), draw(counts), first_bytes)


histograms = samples.map(histogram_of)
filled_histograms = st.lists(microseconds, min_size=1, max_size=40).map(histogram_of)
series = any_series()
check_counts = st.builds(CheckCounts, counts, counts, counts)
exchanges = st.builds(Exchanges, counts, counts, counts)
arrivals = st.builds(Arrivals, counts, counts, counts)


@st.composite
def metric_summaries(draw: st.DrawFn, numbers: st.SearchStrategy[float] = whole_floats) -> MetricSummary:
    values = draw(st.lists(numbers, min_size=1, max_size=5))
    return MetricSummary(len(values), sum(values), min(values), max(values))


names = texts.map(lambda text: text.replace("+", "-"))
"""Of phases and faults."""
faults = st.just(()) | st.lists(names, max_size=2).map(tuple)


@st.composite
def intervals(draw: st.DrawFn, limits_us: Sequence[int] = LIMITS_US) -> Interval:
    """Any interval that a recorder could close, with every field filled now and then."""

    def table(keys, values):
        return draw(st.dictionaries(keys, values, max_size=3))

    ended = table(
        st.builds(SeriesKey, texts, texts, texts, st.sampled_from(Outcome), names, faults),
        any_series(limits_us),
    )
    stamped = draw(st.integers(0, sum(one.histogram.count for one in ended.values())))
    unstamped = draw(st.integers(0, sum(one.histogram.count for one in ended.values()) - stamped))
    done = sorted(draw(st.lists(counts, min_size=2, max_size=2))) if draw(st.booleans()) else [None, None]
    return Interval(
        second=draw(counts),
        start_us=draw(counts),
        length_us=draw(counts),
        users=table(texts, counts),
        user_us=table(texts, counts),
        started=draw(counts),
        in_flight=draw(counts),
        oldest_us=draw(maybe_counts),
        first_done_us=done[0],
        last_done_us=done[1],
        series=ended,
        exchanges=table(st.builds(Endpoint, texts, texts), exchanges),
        checks=table(st.builds(CheckKey, texts, texts, texts), check_counts),
        metrics=table(
            st.builds(MetricKey, texts, texts, texts),
            metric_summaries(st.floats(-1e300, 1e300, allow_nan=False)),
        ),
        errors=table(st.builds(ErrorKey, texts, texts, texts, texts), counts),
        task_errors=table(texts, counts),
        undeclared=draw(st.sets(texts, max_size=3)),
        untracked=draw(counts),
        evidence=draw(st.lists(st.builds(Evidence, texts, texts, counts, texts), max_size=3)),
        pacer_lag=draw(histograms),
        receive_lag=draw(histograms),
        user_wait=draw(histograms),
        arrivals=table(st.builds(ArrivalKey, texts, names, faults), arrivals),
        durations=table(
            st.builds(DurationKey, texts, st.sampled_from(Timed), texts, texts), filled_histograms
        ),
        stamped=stamped,
        unstamped=unstamped,
        cpu_us=draw(counts),
        throttled_us=draw(maybe_counts),
        steal_us=draw(maybe_counts),
    )


def header(worker: str = "eu-west-1-01", epoch: int = 1) -> Header:
    return Header(FORMAT_VERSION, "enterprise-1", worker, "eu-west-1", epoch, LIMITS_US)


def small_interval(second: int, latencies: Sequence[int] = (900, 1_500, 2_500_000)) -> Interval:
    """A second in which some requests went well and one timed out."""
    key = SeriesKey("Reader", "GET", "/policies/:id", Outcome.OK, "steady")
    slow = key._replace(outcome=Outcome.TIMEOUT)
    return Interval(
        second,
        second * 1_000_000,
        1_000_000,
        users={"Reader": 3},
        user_us={"Reader": 3_000_000},
        started=len(latencies) + 1,
        series={key: series_of(latencies), slow: series_of([5_000_001])},
        checks={CheckKey("Reader", "compliance", "steady"): CheckCounts(second, 1, 0)},
        pacer_lag=histogram_of([40, 41, 300]),
        cpu_us=120_000,
    )


def write_journal(path: Path, whole: Sequence[Interval], head: Header | None = None) -> list[bytes]:
    """A complete journal, its totals counted from the intervals; returns its records."""
    writer = JournalWriter(path, head or header())
    records = [writer.header_record]
    ended = dict.fromkeys(Outcome, 0)
    for interval in whole:
        records.append(writer.append(interval))
        for key, one in interval.series.items():
            ended[key.outcome] += one.histogram.count
    records.append(
        writer.finish(
            started=sum(interval.started for interval in whole),
            ok=ended[Outcome.OK],
            failed=ended[Outcome.FAILED] + ended[Outcome.TIMEOUT],
            unfinished=ended[Outcome.UNFINISHED],
        )
    )
    writer.close()
    return records
