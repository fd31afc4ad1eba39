"""Journal replication: a worker's file is the buffer, the master's copy is byte for byte the same.

Both ends are plain state machines without sockets or clocks. A record carries its number; the master writes
the next one, drops repeats, and asks again from its own count when it sees a gap (go-back-N, window 8).
"""

from __future__ import annotations

import contextlib
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from distributed.messages import WINDOW, Received, Record
from loadproof.errors import JournalError
from loadproof.measure.interval import Fin, Header, Interval
from loadproof.measure.journal import JournalCopy, JournalWriter, read_records
from loadproof.measure.record import Chain

if TYPE_CHECKING:
    from pathlib import Path

RECENT: Final = 64


class Sender:
    """A worker's end: what of its journal is to be sent next."""

    def __init__(self, path: Path, epoch: int) -> None:
        self._path = path
        self._epoch = epoch
        self._written = 0
        self._sent = 0
        self._acknowledged = 0
        self._gone_back_to: int | None = None
        # Reading the file from its start for every record would cost more each second of a long run.
        self._recent: deque[bytes] = deque(maxlen=RECENT)

    @classmethod
    def of(cls, path: Path, epoch: int) -> Sender:
        """For a journal that another process has left behind: as much of it as is whole."""
        sender = cls(path, epoch)
        with contextlib.suppress(JournalError):
            for record in read_records(path):
                sender.wrote(record)
        return sender

    def wrote(self, record: bytes) -> None:
        """One more record stands whole in the file."""
        self._written += 1
        self._recent.append(record)

    def received(self, message: Received) -> None:
        """Take the master's word; one about another epoch or about records never written is ignored."""
        if message.epoch != self._epoch or message.expected > self._written:
            return
        self._acknowledged = max(self._acknowledged, message.expected)
        # Each record behind a gap asks again. Going back for every one would send the window for each record of a
        # window, and so on: a storm for as long as the master cannot write the missing one.
        if message.again and message.expected != self._gone_back_to:
            self._gone_back_to = message.expected
            self._sent = message.expected
        else:
            self._sent = max(self._sent, self._acknowledged)

    def retry(self) -> None:
        """Nothing was acknowledged for a while: send again from the first record that may be missing."""
        self._sent = self._acknowledged
        self._gone_back_to = self._acknowledged

    @property
    def acknowledged(self) -> int:
        return self._acknowledged

    @property
    def done(self) -> bool:
        """All that was written stands on the master."""
        return self._acknowledged == self._written

    def next_records(self) -> list[Record]:
        """What may be sent now; what is no longer in memory is read back from the file."""
        until = min(self._written, self._acknowledged + WINDOW)
        count = until - self._sent
        if count <= 0:
            return []
        oldest_recent = self._written - len(self._recent)
        if self._sent >= oldest_recent:
            found = islice(self._recent, self._sent - oldest_recent, until - oldest_recent)
        else:
            found = islice(read_records(self._path, self._sent), count)
        records = [
            Record(self._epoch, number, record) for number, record in enumerate(found, start=self._sent)
        ]
        self._sent += len(records)
        return records


class Receiver:
    """The master's end for one epoch of one worker."""

    def __init__(self, path: Path, worker: str, epoch: int, *, go_on: bool = False) -> None:
        """With `go_on` an earlier copy is taken up where it ends."""
        self.copy = JournalCopy(path, go_on=go_on)
        self.worker = worker
        self.epoch = epoch
        self.expected = self.copy.records
        self.header: Header | None = self.copy.header
        self.fin: Fin | None = self.copy.fin

    def receive(self, message: Record) -> tuple[Header | Interval | Fin | None, Received]:
        """The record if it is the next one, else None; and the answer to send.

        Raises JournalError if the record is damaged or out of place: nothing of it is kept then.
        """
        record: Header | Interval | Fin | None = None
        if message.number == self.expected:
            if self.expected == 0:
                self._check_header(message.record)
            record = self.copy.append_record(message.record)
            self.expected += 1
            if isinstance(record, Header):
                self.header = record
            elif isinstance(record, Fin):
                self.fin = record
        return record, Received(self.epoch, self.expected, again=message.number > self.expected)

    def _check_header(self, record: bytes) -> None:
        header = Chain().check(record)
        assert isinstance(header, Header)
        if (header.worker, header.epoch) != (self.worker, self.epoch):
            raise JournalError(
                f"a journal of {header.worker}, epoch {header.epoch}, by {self.worker}, {self.epoch}"
            )


def sync_failure(journal: JournalCopy | JournalWriter) -> str | None:
    """Bring a journal to disk, for a thread pool: gevent prints the traceback of whatever its threads raise."""
    try:
        journal.sync()
    except JournalError as error:
        return str(error)
    return None
