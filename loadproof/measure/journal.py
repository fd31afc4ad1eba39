"""Journals: a worker's intervals on disk, written once, copied byte by byte, read as far as they are whole.

    JournalWriter   the worker's own file
    JournalCopy     the master's copy of it, from the records that arrive
    read_records    what a worker sends again
    Journal         what a reader finds

`docs/journal.md` is the layout.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from loadproof.errors import JournalError
from loadproof.measure.codec import PackedInterval, encode
from loadproof.measure.interval import Fin, Header, Interval
from loadproof.measure.record import MAGIC, Chain, frame, magic_damage, whole_records
from loadproof.measure.wire import FORMAT_VERSION

__all__ = [
    "FORMAT_VERSION",
    "Journal",
    "JournalCopy",
    "JournalState",
    "JournalWriter",
    "journal_name",
    "read_records",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_Found = TypeVar("_Found", bound=Header | Interval | PackedInterval | Fin)


def journal_name(worker: str, epoch: int) -> str:
    """Of the file of one process life of a worker."""
    return f"{worker}-{epoch}.journal"


class JournalCopy:
    """A journal made of whole records; a file that exists is refused, unless it is to be gone on with.

    JournalError, with the path and the system's words, when the file cannot be created or written. What
    `append_record` has returned for is in the file, what it raised for is not.
    """

    def __init__(self, path: Path, *, go_on: bool = False) -> None:
        """With `go_on` an existing file is kept up to its first damage, and written on from there."""
        self.path = path
        self._chain = Chain()
        self._broken: str | None = None
        kept = self._read() if go_on and path.is_file() else 0
        how = 0 if kept else os.O_CREAT | os.O_TRUNC if go_on else os.O_CREAT | os.O_EXCL
        try:
            self._file = os.open(path, os.O_WRONLY | how | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if kept:
                os.ftruncate(self._file, kept)
                return
        except OSError as error:
            raise JournalError(f"{path}: cannot be created: {error.strerror}") from error
        try:
            self._write(MAGIC, start=0)
        except JournalError:
            self.discard()
            raise

    @property
    def header(self) -> Header | None:
        return self._chain.header

    @property
    def fin(self) -> Fin | None:
        """The last record, once it is there: the journal is complete."""
        return self._chain.fin

    @property
    def records(self) -> int:
        """How many the file holds, which is also the number of the next one: the header is 0."""
        return self._chain.records

    def append_record(self, record: bytes) -> Header | Interval | Fin:
        """Write the next record as it came, and return what it says.

        JournalError, and the file stays as it was, when it is damaged or not the rightful next.
        """
        try:
            found = self._chain.check(record)
        except JournalError as error:
            raise JournalError(f"{self.path}: record {self.records} is refused: {error}") from error
        self._write(record, start=self._chain.size)
        self._chain.extend(record, found)
        return found

    def next_fin(self, *, started: int, ok: int, failed: int, unfinished: int) -> Fin:
        """The Fin that would end the journal here, with totals that someone else counted."""
        return self._chain.fin_of(started, ok, failed, unfinished)

    def sync(self) -> None:
        """Return when the disk has everything that was appended before; may run in a thread."""
        if self._broken is not None:
            raise JournalError(self._broken)
        try:
            os.fsync(self._file)
        except OSError as error:
            # Linux reports a failed write-back once and forgets the pages (https://lwn.net/Articles/752063/):
            # a second fsync would succeed without them, so nothing more may be promised of this file.
            self._broken = f"{self.path}: could not be brought to disk: {error.strerror}"
            raise JournalError(self._broken) from error

    def close(self) -> None:
        """Close the file; later calls do nothing, later writes raise JournalError."""
        if self._file >= 0:
            file, self._file = self._file, -1
            self._broken = self._broken or f"{self.path}: is closed"
            try:
                os.close(file)
            except OSError as error:
                raise JournalError(f"{self.path}: could not be closed: {error.strerror}") from error

    def discard(self) -> None:
        """Close and delete a file in which nothing worth keeping was written."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _read(self) -> int:
        """Take what is whole for written; its bytes, 0 if not even the beginning is."""
        try:
            with self.path.open("rb") as file:
                if magic_damage(file.read(len(MAGIC))) is not None:
                    return 0
                with contextlib.suppress(JournalError):
                    for record in whole_records(file):
                        self._chain.extend(record, self._chain.check(record))
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error.strerror}") from error
        return self._chain.size

    def _write(self, data: bytes, start: int) -> None:
        if self._broken is not None:
            raise JournalError(self._broken)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            try:
                os.ftruncate(self._file, start)
            except OSError as second:
                self._broken = f"{self.path}: half a record could not be cut off: {second.strerror}"
            raise JournalError(f"{self.path}: cannot be written: {error.strerror}") from error


class JournalWriter:
    """The journal of this process; a file that exists is refused.

    Every record passes the check that its reader will make, so what cannot be read is never written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._file = JournalCopy(path)
        try:
            self.header_record = self._append(header)
        except JournalError:
            self._file.discard()
            raise

    @property
    def records(self) -> int:
        """How many the file holds, which is also the number of the next one: the header is 0."""
        return self._file.records

    def append(self, interval: Interval) -> bytes:
        """Write an interval and return its record; after a JournalError the same may be tried again."""
        return self._append(interval)

    def finish(self, *, started: int, ok: int, failed: int, unfinished: int) -> bytes:
        """Write the FIN and return its record.

        The totals are those that the caller counted beside the intervals; JournalError when they disagree.
        """
        return self._append(self._file.next_fin(started=started, ok=ok, failed=failed, unfinished=unfinished))

    def sync(self) -> None:
        """Return when the disk has everything that was appended before; may run in a thread."""
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def _append(self, what: Header | Interval | Fin) -> bytes:
        try:
            record = frame(encode(what))
        except JournalError as error:
            raise JournalError(f"{self._file.path}: {error}") from error
        self._file.append_record(record)
        return record


@dataclass(frozen=True)
class JournalState:
    """What one pass over a journal found."""

    header: Header | None
    intervals: int
    """Whole intervals before the end or the first damage."""
    last_us: int | None
    """Run-clock end of the last of them."""
    fin: Fin | None
    damage: str | None
    """Where and what, in words; None also for a journal that merely lacks its FIN."""
    size: int
    """Bytes before the end or the first damage."""

    @property
    def complete(self) -> bool:
        """FIN is there, agrees with all before it, and nothing follows. Otherwise the journal is torn."""
        return self.fin is not None and self.damage is None


class Journal:
    """A journal to read. JournalError only when the file itself cannot be read; damage is a finding."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: JournalState | None = None
        first = next(self._walk(Chain.check), None)
        self.header = first if isinstance(first, Header) else None

    @property
    def state(self) -> JournalState:
        """The findings of the last full pass over `intervals`; makes that pass if there was none."""
        if self._state is None:
            for _ in self._walk(Chain.check):
                pass
        assert self._state is not None
        return self._state

    def intervals(self) -> Iterator[Interval]:
        """All intervals before the first damage, one at a time from the file."""
        return (found for found in self._walk(Chain.check) if isinstance(found, Interval))

    def packed(self) -> Iterator[PackedInterval]:
        """The same, but for the latencies and lags, which nobody has looked at: no damage in them is found."""
        return (found for found in self._walk(Chain.check_packed) if isinstance(found, PackedInterval))

    def _walk(self, check: Callable[[Chain, bytes], _Found]) -> Iterator[_Found]:
        chain = Chain()
        damage = None
        try:
            with self.path.open("rb") as file:
                damage = magic_damage(file.read(len(MAGIC)))
                try:
                    for record in whole_records(file) if damage is None else ():
                        found = check(chain, record)
                        chain.extend(record, found)
                        yield found
                except JournalError as error:
                    damage = f"damaged at byte {chain.size:,}, in record {chain.records}: {error}"
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error.strerror}") from error
        size = 0 if chain.header is None else chain.size
        self._state = JournalState(chain.header, chain.intervals, chain.last_us, chain.fin, damage, size)


def read_records(path: Path, from_record: int = 0) -> Iterator[bytes]:
    """The raw records of a journal from one number on (0 is the header), to be sent again.

    JournalError at the first record that is not whole, after all before it.
    """
    number = 0
    try:
        with path.open("rb") as file:
            damage = magic_damage(file.read(len(MAGIC)))
            if damage is not None:
                raise JournalError(f"{path}: {damage}")
            try:
                for record in whole_records(file):
                    if number >= from_record:
                        yield record
                    number += 1
            except JournalError as error:
                raise JournalError(f"{path}: damaged in record {number}: {error}") from error
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
