import contextlib
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import LIMITS_US, header, intervals, small_interval, write_journal

from loadproof.errors import JournalError
from loadproof.measure.codec import decode, encode
from loadproof.measure.interval import Evidence, Fin
from loadproof.measure.journal import FORMAT_VERSION, Journal, JournalCopy, JournalWriter, read_records
from loadproof.measure.record import MAGIC, MAX_RECORD, Chain, frame, unframe
from loadproof.measure.recorder import Recorder

SECONDS = (0, 1, 2, 4, 5, 6)


@pytest.fixture
def whole():
    """Some seconds of one worker, about 4 KB as a journal; one second was swallowed by a late close."""
    evidence = Evidence("Reader", "compliance", 1, "the answer names no policy, and it must " * 10)
    return [replace(small_interval(second), evidence=[evidence]) for second in SECONDS]


@pytest.fixture
def records(tmp_path, whole):
    """The records of a complete journal of `whole`, at `tmp_path / "whole.journal"`."""
    return write_journal(tmp_path / "whole.journal", whole)


def starts_of(records):
    """Byte offset of each record in the file, and the file's end."""
    offsets = [len(MAGIC)]
    for record in records:
        offsets.append(offsets[-1] + len(record))
    return offsets


@settings(max_examples=25)
@given(drawn=st.lists(intervals(), max_size=4))
def test_what_was_written_is_read(tmp_path_factory, drawn):
    """A journal gives back its header and every interval, and is complete by its FIN."""
    path = tmp_path_factory.mktemp("journal") / "a.journal"
    given_seconds = [replace(interval, second=3 * n) for n, interval in enumerate(drawn)]
    head = header()
    written = write_journal(path, given_seconds, head)
    journal = Journal(path)
    assert journal.header == head
    assert list(journal.intervals()) == given_seconds
    assert journal.state.complete
    assert journal.state.damage is None
    assert journal.state.intervals == len(drawn)
    assert path.read_bytes() == MAGIC + b"".join(written)


def test_state_needs_no_iteration(tmp_path, records, whole):
    """The findings are there before, without and after reading the intervals, and the same each time."""
    without = Journal(tmp_path / "whole.journal").state
    journal = Journal(tmp_path / "whole.journal")
    half_read = journal.intervals()
    next(half_read)
    assert journal.state == without
    assert list(half_read) == whole[1:]
    assert journal.state == without
    assert without.last_us == whole[-1].start_us + whole[-1].length_us
    assert (without.fin.intervals, without.fin.failed) == (len(whole), len(whole))


def test_journal_without_fin_is_torn_but_not_damaged(tmp_path, whole):
    """What a killed worker leaves is readable to its end and not complete."""
    path = tmp_path / "torn.journal"
    writer = JournalWriter(path, header())
    for interval in whole:
        writer.append(interval)
    journal = Journal(path)
    assert list(journal.intervals()) == whole
    assert (journal.state.fin, journal.state.damage, journal.state.complete) == (None, None, False)
    writer.close()


def test_every_cut_is_survived(tmp_path, records, whole):
    """Wherever a file ends, the whole intervals before are kept and a cut record is named with its byte."""
    data = (tmp_path / "whole.journal").read_bytes()
    starts = starts_of(records)
    assert 3_600 < len(data) < 4_400
    cut = tmp_path / "cut.journal"
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        journal = Journal(cut)
        kept = sum(end <= size for end in starts[2:-1])
        assert list(journal.intervals()) == whole[:kept]
        assert not journal.state.complete
        assert (journal.header is None) == (size < starts[1])
        if size in starts:
            assert journal.state.damage is None
        else:
            last_whole = max((start for start in starts if start <= size), default=0)
            assert f"damaged at byte {last_whole:,}" in journal.state.damage


@pytest.mark.parametrize("part", range(4))
def test_every_flipped_bit_is_found(tmp_path, records, whole, part):
    """Whichever bit is wrong, the intervals before it are kept, none after it is, and its record is named."""
    path = tmp_path / "whole.journal"
    data = path.read_bytes()
    starts = starts_of(records)
    quarter = len(data) // 4 + 1
    for at in range(part * quarter, min(len(data), (part + 1) * quarter)):
        number = max((n for n, start in enumerate(starts) if start <= at), default=-1)
        place = "damaged at byte " + (f"{starts[number]:,}, in record {number}: " if number >= 0 else "")
        for bit in range(8):
            with path.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), bytes([data[at] ^ 1 << bit]), at)
            journal = Journal(path)
            assert list(journal.intervals()) == whole[: max(0, number - 1)]
            assert journal.state.damage.startswith(place)
            assert not journal.state.complete
        with path.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert list(Journal(path).intervals()) == whole


def refile(path, records):
    path.write_bytes(MAGIC + b"".join(records))
    return Journal(path)


@pytest.mark.parametrize("total", ["intervals", "started", "ok", "failed", "unfinished"])
def test_totals_of_fin_are_held_against_the_intervals(tmp_path, records, whole, total):
    """A FIN that counted otherwise is damage; the intervals are kept."""
    fin = decode(unframe(records[-1]))
    lie = replace(fin, **{total: getattr(fin, total) + 1})
    journal = refile(tmp_path / "lie.journal", [*records[:-1], frame(encode(lie))])
    assert list(journal.intervals()) == whole
    assert f" {total}, and the intervals sum to " in journal.state.damage
    assert journal.state.fin is None
    assert not journal.state.complete


@pytest.mark.parametrize(
    ("change", "kept", "wrong"),
    [
        (lambda records: [*records[:3], *records[4:]], 5, "SHA-256"),
        (
            lambda records: [*records[:3], records[3], records[3], *records[4:]],
            3,
            "second 2 follows second 2",
        ),
        (lambda records: [records[0], records[2], records[1], *records[3:]], 1, "second 0 follows second 1"),
        (lambda records: records[1:], 0, "begins with one header"),
        (lambda records: [records[0], *records], 0, "begins with one header"),
        (lambda records: [*records, records[-1]], 6, "follows the FIN"),
        (lambda records: [*records, b"\0"], 6, "cut short"),
        (lambda records: [*records[:4], bytes(64)], 3, "checksum"),
        (lambda records: [*records[:4], b"\xff" * 64], 3, "no record is larger"),
        (lambda records: [frame(encode(replace(header(), epoch=9))), *records[1:]], 6, "SHA-256"),
    ],
)
def test_whole_records_in_the_wrong_place_are_found(tmp_path, records, change, kept, wrong):
    """Records that are missing, repeated, swapped, replaced or after the end are damage, each named."""
    journal = refile(tmp_path / "changed.journal", change(records))
    assert len(list(journal.intervals())) == kept
    assert wrong in journal.state.damage
    assert not journal.state.complete


@pytest.mark.parametrize("content", [b"", b"{}\n", MAGIC[:-1], MAGIC.replace(b"\r\n", b"\n") + bytes(99)])
def test_what_is_no_journal_is_damage_at_its_begin(tmp_path, content):
    """A foreign, empty or line-end converted file has no header and says so."""
    path = tmp_path / "foreign.journal"
    path.write_bytes(content)
    journal = Journal(path)
    assert journal.header is None
    assert list(journal.intervals()) == []
    assert journal.state.damage == "damaged at byte 0: it does not begin as a journal does"


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, FORMAT_VERSION + 1])
def test_other_format_version_is_named(tmp_path, records, version):
    """A journal of an earlier or later loadproof is told as such, not as rubbish."""
    path = tmp_path / "other.journal"
    path.write_bytes(MAGIC[:-1] + bytes([version]) + b"".join(records))
    state = Journal(path).state
    assert f"format version is {version}, and this loadproof reads {FORMAT_VERSION}" in state.damage
    assert not state.complete


def test_unreadable_file_is_a_journal_error(tmp_path):
    """A missing file and a folder are errors with their path, not empty journals."""
    for path in (tmp_path / "missing.journal", tmp_path):
        with pytest.raises(JournalError, match="cannot be read: "):
            Journal(path)
        with pytest.raises(JournalError, match="cannot be read: "):
            list(read_records(path))


@pytest.mark.parametrize("make", [lambda path: JournalWriter(path, header()), JournalCopy])
def test_existing_file_is_never_touched(tmp_path, make):
    """A journal is created, never overwritten or continued."""
    path = tmp_path / "a.journal"
    path.write_bytes(b"precious")
    with pytest.raises(JournalError, match=r"a\.journal: cannot be created: File exists"):
        make(path)
    assert path.read_bytes() == b"precious"


def test_header_that_cannot_be_written_leaves_no_file(tmp_path):
    """A refused header does not block the name for the next try."""
    path = tmp_path / "a.journal"
    with pytest.raises(JournalError, match=r"a\.journal: record 0 is refused: its limits do not ascend"):
        JournalWriter(path, replace(header(), limits_us=(2, 1)))
    JournalWriter(path, header()).close()


def test_copy_is_byte_for_byte_the_journal(tmp_path, records, whole):
    """The master's copy, made of the worker's records, is the worker's file."""
    copy = JournalCopy(tmp_path / "copy.journal")
    found = [copy.append_record(record) for record in records]
    assert found[0] == copy.header == header()
    assert found[1:-1] == whole
    assert found[-1] == copy.fin
    assert copy.records == len(records)
    copy.close()
    assert (tmp_path / "copy.journal").read_bytes() == (tmp_path / "whole.journal").read_bytes()


def test_copy_refuses_damage_and_goes_on(tmp_path, records):
    """A damaged, repeated or early record raises, changes nothing, and the right one is taken after it."""
    rng = random.Random(3)
    path = tmp_path / "copy.journal"
    copy = JournalCopy(path)
    for number, record in enumerate(records):
        flipped = bytearray(record)
        flipped[rng.randrange(len(record))] ^= 1 << rng.randrange(8)
        wrong = [b"", record[:-1], record + b"\0", bytes(flipped), *records[:number], *records[number + 2 :]]
        before = path.read_bytes()
        for bad in wrong:
            if bad in records[number + 1 : -1] and number > 0:
                continue  # a gap in time alone is lawful: the FIN tells that a record is missing
            with pytest.raises(JournalError, match=rf"copy\.journal: record {number} is refused: "):
                copy.append_record(bad)
        assert path.read_bytes() == before
        copy.append_record(record)
    with pytest.raises(JournalError, match="follows the FIN"):
        copy.append_record(records[-1])
    copy.close()
    assert Journal(path).state.complete


@pytest.mark.parametrize("start", [0, 1, 5, 7, 8, 99])
def test_records_are_read_from_a_number_on(tmp_path, records, start):
    """What is sent again is the very bytes, from the wanted record to the last."""
    assert list(read_records(tmp_path / "whole.journal", start)) == records[start:]


def test_reading_records_stops_loudly_at_damage(tmp_path, records):
    """All whole records before the damage come, then its place."""
    path = tmp_path / "whole.journal"
    data = bytearray(path.read_bytes())
    data[starts_of(records)[4] + 20] ^= 1
    path.write_bytes(data)
    found = []
    with pytest.raises(JournalError, match=r"whole\.journal: damaged in record 4: its checksum"):
        found.extend(read_records(path))
    found = []
    with contextlib.suppress(JournalError):
        for record in read_records(path, 2):
            found.append(record)
    assert found == records[2:4]
    path.write_bytes(b"rubbish")
    with pytest.raises(JournalError, match="does not begin as a journal"):
        list(read_records(path))


def test_writer_refuses_what_no_reader_would_take(tmp_path):
    """A second that does not ascend, wrong totals or an absurd size raise, and the file stays whole."""
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, header())
    writer.append(small_interval(3))
    size = path.stat().st_size
    with pytest.raises(JournalError, match=r"a\.journal: record 2 is refused: its second 3 follows second 3"):
        writer.append(small_interval(3))
    with pytest.raises(JournalError, match="the FIN tells of 5 started, and the intervals sum to 4"):
        writer.finish(started=5, ok=3, failed=1, unfinished=0)
    with pytest.raises(JournalError, match=r"a\.journal: a journal cannot hold this Interval"):
        writer.append(replace(small_interval(4), cpu_us=2**64))
    with pytest.raises(JournalError, match=r"a\.journal: a record of .* bytes is too large"):
        writer.append(replace(small_interval(4), task_errors={"x" * MAX_RECORD: 1}))
    assert path.stat().st_size == size
    writer.append(small_interval(4))
    writer.finish(started=8, ok=6, failed=2, unfinished=0)
    assert writer.records == 4
    writer.sync()
    writer.close()
    writer.close()
    assert Journal(path).state.complete
    for late in (writer.sync, lambda: writer.append(small_interval(5))):
        with pytest.raises(JournalError, match=r"a\.journal: "):
            late()


def test_journal_of_nothing_is_complete(tmp_path):
    """A worker that was admitted and never closed an interval still ends in order."""
    write_journal(tmp_path / "empty.journal", [])
    state = Journal(tmp_path / "empty.journal").state
    assert state.complete
    assert (state.intervals, state.last_us) == (0, None)


def test_failed_sync_ends_all_promises(tmp_path):
    """After an fsync that failed nothing more is written: a later one might succeed without the pages."""
    writer = JournalWriter(tmp_path / "a.journal", header())
    reading, writing = os.pipe()
    os.dup2(writing, writer._file._file)  # a pipe cannot be synced
    with pytest.raises(JournalError, match=r"a\.journal: could not be brought to disk: "):
        writer.sync()
    for broken in (writer.sync, lambda: writer.append(small_interval(1))):
        with pytest.raises(JournalError, match=r"a\.journal: could not be brought to disk: "):
            broken()
    writer.close()
    os.close(reading)
    os.close(writing)


def test_half_record_that_stays_ends_all_writing(tmp_path):
    """When what was half written cannot be cut off, no later record may follow it."""
    writer = JournalWriter(tmp_path / "a.journal", header())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._file._file)  # a device that is always full and cannot be cut
    with pytest.raises(JournalError, match=r"a\.journal: cannot be written: No space left on device"):
        writer.append(small_interval(1))
    with pytest.raises(JournalError, match=r"a\.journal: half a record could not be cut off: "):
        writer.append(small_interval(1))
    assert writer.records == 1
    writer.close()
    os.close(full)


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from measuring import header, small_interval
from loadproof.errors import JournalError
from loadproof.measure.journal import JournalWriter

path, limit = Path(sys.argv[1]), int(sys.argv[2])
acknowledged, errors = [], []
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    writer = JournalWriter(path, header())
    for second in range(40):
        try:
            writer.append(small_interval(second))
        except JournalError as error:
            errors.append(str(error))
            if len(errors) == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            acknowledged.append(second)
except JournalError as error:
    errors.append(str(error))
print(json.dumps([acknowledged, errors]))
"""


@pytest.mark.parametrize("limit", [4, 30, 1_000, 1_001, 1_500, 2_777])
def test_full_disk_keeps_whole_records(tmp_path, limit):
    """When a file cannot grow, an append raises with the reason, leaves nothing, and works later."""
    path = tmp_path / "full.journal"
    support = str(Path(__file__).parent / "support")
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([support, *filter(None, sys.path)])},
    )
    acknowledged, errors = json.loads(ran.stdout)
    assert errors
    assert all(error == f"{path}: cannot be written: File too large" for error in errors)
    if limit < 100:
        assert not path.exists()
        return
    journal = Journal(path)
    assert [interval.second for interval in journal.intervals()] == acknowledged
    assert journal.state.damage is None
    missed = set(range(40)) - set(acknowledged)
    assert len(missed) == len(errors) == 3
    assert max(acknowledged) == 39


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.7e308])
def test_metric_that_is_no_number_costs_no_interval(tmp_path, value):
    """A scenario that records NaN, infinity or a sum beyond floats fails there; its second is still written."""
    recorder = Recorder(LIMITS_US, lambda: 900_000, [("steady", 0)])
    recorder.metric("Reader", "depth", 1e308)
    with pytest.raises(ValueError, match="metric 'depth' of Reader cannot take"):
        recorder.metric("Reader", "depth", value)
    recorder.metric("Reader", "depth", 3)
    write_journal(tmp_path / "a.journal", [recorder.close_interval()])
    (interval,) = Journal(tmp_path / "a.journal").intervals()
    (summary,) = interval.metrics.values()
    assert (summary.count, summary.min, summary.max) == (2, 3.0, 1e308)


def test_sums_of_chain_are_by_outcome():
    """Timeouts are failures in the first book; only what we ended ourselves is unfinished."""
    chain = Chain()
    for what in (header(), small_interval(1)):
        record = frame(encode(what))
        chain.extend(record, chain.check(record))
    assert chain.fin_of(4, 3, 1, 0) == Fin(1, 4, 3, 1, 0, chain.fin_of(0, 0, 0, 0).sha256)
    assert (chain.started, chain.ok, chain.failed, chain.unfinished) == (4, 3, 1, 0)
    assert chain.header.limits_us == LIMITS_US


@pytest.mark.parametrize("part", range(4))
def test_a_copy_is_gone_on_with_from_wherever_it_was_cut(tmp_path, records, part):
    """A master that was killed has left any number of bytes: the copy ends as if nothing had happened."""
    whole_bytes = MAGIC + b"".join(records)
    path = tmp_path / "copy.journal"
    for size in range(part, len(whole_bytes) + 1, 4):
        path.write_bytes(whole_bytes[:size])
        copy = JournalCopy(path, go_on=True)
        assert copy.records == sum(end <= size for end in starts_of(records)[1:])
        for record in records[copy.records :]:
            copy.append_record(record)
        copy.close()
        assert path.read_bytes() == whole_bytes
