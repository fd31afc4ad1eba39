"""Units: read exactly, written for people, absence never a 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.errors import UnitError
from loadproof.units import (
    ABSENT,
    duration_text,
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    format_ratio,
    parse_bytes,
    parse_duration,
)


@given(st.integers(0, 10**15))
def test_a_duration_survives_being_written(microseconds):
    """`parse_duration` reads back exactly what `duration_text` wrote."""
    assert parse_duration(duration_text(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        ("2m", 120_000_000),
        ("1h30m", 5_400_000_000),
        ("0.1s", 100_000),
        ("7us", 7),
        ("7µs", 7),
        (" 2 s ", 2_000_000),
    ],
)
def test_durations_are_read(text, microseconds):
    """A number and a unit, or several in a row, are microseconds."""
    assert parse_duration(text) == microseconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 parsecs", "-5s", "1e3s", "5s5", "inf s", "999999999999999d"]
)
def test_what_is_no_duration_is_refused(text):
    """Without a unit, negative, absurd or misspelt: an error that quotes the text or says what is missing."""
    with pytest.raises(UnitError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("512MiB", 512 * 2**20), ("0.5kB", 500), ("7B", 7)]
)
def test_sizes_are_read(text, size):
    """Decimal and binary units are told apart."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (format_duration(999), "999 µs"),
        (format_duration(1_234), "1.23 ms"),
        (format_duration(249_600), "250 ms"),
        (format_duration(2_000_000), "2 s"),
        (format_duration(999_900), "1 s"),
        (format_duration(999.9), "1 ms"),
        (format_duration(119_000_000), "119 s"),
        (format_duration(1_800_000_000), "30 min"),
        (format_duration(0), "0 µs"),
        (format_bytes(1_500), "1.5 kB"),
        (format_bytes(999), "999 B"),
        (format_ratio(0.0123), "1.23 %"),
        (format_ratio(1), "100 %"),
        (format_ratio(0), "0 %"),
        (format_rate(1_234.5), "1,234.5/s"),
        (format_count(1_000_000), "1,000,000"),
    ],
)
def test_numbers_are_written_for_people(written, expected):
    """Three significant digits and the largest unit that keeps the number at least 1."""
    assert written == expected


def test_a_ratio_that_is_not_all_never_reads_as_all():
    """One failure in a million is neither 0 % nor, the other way round, 100 %."""
    assert format_ratio(0.999999) == "> 99.99 %"
    assert format_ratio(0.000001) == "< 0.01 %"


@pytest.mark.parametrize("write", [format_duration, format_bytes, format_ratio, format_rate, format_count])
def test_absence_is_a_dash(write):
    """What is not known is never written as 0."""
    assert write(None) == ABSENT
