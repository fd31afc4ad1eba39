"""`docs/journal.md` is executed: its example is written, read and compared byte by byte."""

import hashlib
import re
from pathlib import Path

import pytest

from loadproof.measure.codec import FIN, HEADER, INTERVAL
from loadproof.measure.interval import (
    CheckCounts,
    CheckKey,
    DurationKey,
    Fin,
    Header,
    Outcome,
    SeriesKey,
    Timed,
)
from loadproof.measure.journal import Journal
from loadproof.measure.record import MAGIC, MAX_RECORD
from loadproof.measure.wire import OUTCOMES, TIMED, WireFin, WireHeader, WireInterval

PAGE = (Path(__file__).parents[1] / "docs" / "journal.md").read_text(encoding="utf-8")


def block(language):
    """The one code block of a language."""
    (content,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return content


@pytest.fixture
def shown():
    """The bytes that the page shows: pairs of hexadecimal digits up to the first wider gap of a line."""
    lines = (re.match(r"(?:[0-9a-f]{2} ?)*", line)[0] for line in block("hex").splitlines())
    return bytes.fromhex("".join(lines))


def test_program_writes_the_bytes_that_are_shown(tmp_path, shown):
    """The example's program, run as it stands, makes the example's bytes."""
    path = tmp_path / "eu-01-1.journal"
    exec(block("python"), {"path": path})
    assert path.read_bytes() == shown


def test_shown_bytes_read_as_the_comments_say(tmp_path, shown):
    """The example is a complete journal with the content that stands beside its bytes."""
    path = tmp_path / "eu-01-1.journal"
    path.write_bytes(shown)
    assert f"its {len(shown)} bytes" in PAGE
    journal = Journal(path)
    assert journal.header == Header(2, "demo", "eu-01", "eu", 1, (2_000,))
    (interval,) = journal.intervals()
    (series,) = interval.series.values()
    assert list(interval.series) == [SeriesKey("Reader", "GET", "/p/:id", Outcome.OK, "steady")]
    assert series.histogram.counts == {1_500: 1, 2_274: 2}
    assert (series.histogram.total, series.histogram.min, series.histogram.max) == (6_502, 1_500, 2_501)
    assert (series.over, series.bytes_received, series.bytes_sent) == ([2], 300, 120)
    assert series.first_byte is None
    assert interval.checks == {CheckKey("Reader", "fresh", "steady"): CheckCounts(3, 0, 0)}
    assert (interval.users, interval.started, interval.oldest_us) == ({"Reader": 1}, 3, None)
    [(key, connects)] = interval.durations.items()
    assert key == DurationKey("Reader", Timed.CONNECT, "api:443", "steady")
    assert (connects.counts, connects.total) == ({800: 1}, 800)
    assert (interval.stamped, interval.unstamped, interval.arrivals) == (3, 0, {})
    before_fin = shown[: -41 - 8]
    assert journal.state.fin == Fin(1, 3, 3, 0, 0, hashlib.sha256(before_fin).digest())
    assert journal.state.complete


@pytest.mark.parametrize(
    ("heading", "wire"),
    [("01: header", WireHeader), ("02: interval", WireInterval), ("03: FIN", WireFin)],
)
def test_page_lists_every_field_in_order(heading, wire):
    """The tables of the page are the fields of the format, none missing, none moved."""
    section = PAGE.split(f"### Kind {heading}\n")[1].split("\n#")[0]
    names = [row.split("|")[1] for row in section.splitlines() if row.startswith("|")][2:]
    assert [name.strip() for row in names for name in row.split(",")] == list(wire.__struct_fields__)


def test_page_gives_the_constants():
    """Magic, kinds, outcomes, what is timed and the largest record stand on the page as they are in the code."""
    assert MAGIC[:-1].hex(" ") in PAGE
    assert f"then the format version `{MAGIC[-1]:02x}`" in PAGE
    for kind in (HEADER, INTERVAL, FIN):
        assert f"### Kind {kind.hex()}: " in PAGE
    assert ", ".join(f"{number} {outcome.value}" for number, outcome in enumerate(OUTCOMES)) in PAGE
    assert ", ".join(f"{number} {timed.value}" for number, timed in enumerate(TIMED)) in PAGE
    assert f"at most {MAX_RECORD // 2**20} MiB" in PAGE
