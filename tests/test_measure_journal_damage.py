"""A journal of 64 KB, cut at every byte and with every bit flipped: nothing false is read, the damage is named."""

import functools
import os
import random
from dataclasses import replace

import pytest
from commands import loadproof, run_folder
from measuring import small_interval, write_journal

from loadproof.measure import record
from loadproof.measure.interval import Evidence
from loadproof.measure.journal import Journal, read_records
from loadproof.measure.record import MAGIC

SIZE = 64 * 1024


@pytest.fixture(autouse=True)
def quick_decoding(monkeypatch):
    """A payload is decoded once: the same bytes are read half a million times, each time with their checksum."""
    monkeypatch.setattr(record, "decode", functools.cache(record.decode))


class Damaged:
    """A whole journal, what it holds, and a file to damage."""

    def __init__(self, path, folder):
        self.data = path.read_bytes()
        self.intervals = list(Journal(path).intervals())
        assert Journal(path).state.complete
        self.starts = [len(MAGIC)]
        for one in read_records(path):
            self.starts.append(self.starts[-1] + len(one))
        assert self.starts[-1] == len(self.data)
        self.path = folder / "damaged.journal"

    def check_cut(self, size):
        """Whole intervals before the cut are kept, and a cut record is named with its byte."""
        self.path.write_bytes(self.data[:size])
        journal = Journal(self.path)
        kept = sum(end <= size for end in self.starts[2:-1])
        assert list(journal.intervals()) == self.intervals[:kept]
        assert not journal.state.complete
        if size in self.starts:
            assert journal.state.damage is None
        else:
            last_whole = max((start for start in self.starts if start <= size), default=0)
            assert f"damaged at byte {last_whole:,}" in journal.state.damage

    def check_flip(self, file, at, bit):
        """Intervals before the bit are kept, none after it is, and its record is named."""
        number = max((n for n, start in enumerate(self.starts) if start <= at), default=-1)
        place = "damaged at byte " + (f"{self.starts[number]:,}, in record {number}: " if number >= 0 else "")
        os.pwrite(file, bytes([self.data[at] ^ 1 << bit]), at)
        journal = Journal(self.path)
        assert list(journal.intervals()) == self.intervals[: max(0, number - 1)]
        assert journal.state.damage.startswith(place)
        assert not journal.state.complete
        os.pwrite(file, self.data[at : at + 1], at)

    def check_flips(self, places):
        self.path.write_bytes(self.data)
        file = os.open(self.path, os.O_WRONLY)
        try:
            for at, bit in places:
                self.check_flip(file, at, bit)
        finally:
            os.close(file)
        assert list(Journal(self.path).intervals()) == self.intervals


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A journal of 64 KB whose seconds are as large as those of a suite of five scenarios."""
    folder = tmp_path_factory.mktemp("made")
    evidence = Evidence("Reader", "compliance", 1, "the answer names no policy, and it must " * 45)
    seconds = [
        replace(small_interval(second, range(100, 9_000, 100)), evidence=[evidence]) for second in range(33)
    ]
    write_journal(folder / "made.journal", seconds)
    assert SIZE <= (folder / "made.journal").stat().st_size < SIZE * 1.1
    return folder / "made.journal"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The journal of a real run of the governance suite, at least 64 KB long."""
    folder = tmp_path_factory.mktemp("real")
    words = ("enterprise", "--users", 40, "--duration", "45s", "--workers", 1, "--region", "us-east-1")
    done = loadproof("run", *words, "--no-analysis", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = (run_folder(folder) / "journals").iterdir()
    assert path.stat().st_size >= SIZE
    return path


def test_cuts_of_a_large_journal(tmp_path, made):
    """Cut at every 61st byte and around every record's ends."""
    damaged = Damaged(made, tmp_path)
    around = {start + shift for start in damaged.starts for shift in (-1, 0, 1, 4, 8)}
    for size in sorted({*range(0, len(damaged.data), 61), *around}):
        if size < len(damaged.data):
            damaged.check_cut(size)


def test_flipped_bits_of_a_large_journal(tmp_path, made):
    """With one bit wrong in 3,000 places, and in every bit of each frame."""
    damaged = Damaged(made, tmp_path)
    chance = random.Random(64)
    places = {(chance.randrange(len(damaged.data)), chance.randrange(8)) for _ in range(3_000)}
    frames = {(start + at, bit) for start in damaged.starts[:-1] for at in range(8) for bit in range(8)}
    damaged.check_flips(sorted(places | frames))


@pytest.mark.long
def test_every_cut_of_a_real_journal(tmp_path, real):
    """Cut at every byte of 64 KB."""
    damaged = Damaged(real, tmp_path)
    for size in range(len(damaged.data)):
        damaged.check_cut(size)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(8))
def test_every_flipped_bit_of_a_real_journal(tmp_path, real, part):
    """With every bit of 64 KB wrong, one at a time."""
    damaged = Damaged(real, tmp_path)
    eighth = len(damaged.data) // 8 + 1
    span = range(part * eighth, min(len(damaged.data), (part + 1) * eighth))
    damaged.check_flips((at, bit) for at in span for bit in range(8))
