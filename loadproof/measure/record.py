"""Records: how a payload is framed, and what makes one record the rightful next of a journal."""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeVar
from zlib import crc32

from loadproof.errors import JournalError
from loadproof.measure.codec import HEADER, PackedInterval, decode, decode_packed
from loadproof.measure.interval import Ended, Fin, Header, Interval
from loadproof.measure.wire import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

_Interval = TypeVar("_Interval", Interval, PackedInterval)

MAGIC: Final = b"\x89LPJ\r\n\x1a" + bytes([FORMAT_VERSION])
"""The first bytes of a journal; as in PNG, a transfer that changed line ends or cut a bit shows in them."""
MAX_RECORD: Final = 4 * 1024 * 1024
"""Bytes of one record with its frame: a thousand times a usual one, and what a reader may have to hold."""
_LENGTH: Final = Struct("<I")
_FRAME: Final = Struct("<II")


def frame(payload: bytes) -> bytes:
    """A whole record: length, CRC-32 of length and payload, payload. JournalError above MAX_RECORD."""
    if _FRAME.size + len(payload) > MAX_RECORD:
        raise JournalError(f"a record of {len(payload):,} bytes is too large: at most {MAX_RECORD:,}")
    length = _LENGTH.pack(len(payload))
    return length + _LENGTH.pack(crc32(payload, crc32(length))) + payload


def unframe(record: bytes) -> bytes:
    """The payload of one whole record; JournalError when length or checksum do not fit."""
    if len(record) < _FRAME.size:
        raise JournalError(f"it is cut short: {len(record)} bytes")
    length, checksum = _FRAME.unpack_from(record)
    if length != len(record) - _FRAME.size:
        raise JournalError(f"its length is {length:,}, and {len(record) - _FRAME.size:,} bytes are there")
    if crc32(record[_FRAME.size :], crc32(record[: _LENGTH.size])) != checksum:
        raise JournalError("its checksum does not fit its content")
    return record[_FRAME.size :]


def magic_damage(head: bytes) -> str | None:
    """What is wrong with the first bytes of a file, in words; None when it begins as a journal does."""
    if head == MAGIC:
        return None
    if head[:-1] == MAGIC[:-1] and len(head) == len(MAGIC):
        return (
            f"damaged at byte 7: its format version is {head[-1]}, and this loadproof reads {FORMAT_VERSION}"
        )
    return "damaged at byte 0: it does not begin as a journal does"


def whole_records(file: BinaryIO) -> Iterator[bytes]:
    """The records from after the magic on, one at a time; JournalError at the first that is not whole."""
    while head := file.read(_FRAME.size):
        length = _FRAME.unpack(head)[0] if len(head) == _FRAME.size else 0
        if _FRAME.size + length > MAX_RECORD:
            raise JournalError(f"its length is {length:,}, and no record is larger than {MAX_RECORD:,} bytes")
        record = head + file.read(length)
        unframe(record)
        yield record


class Chain:
    """What a journal holds so far, and with it what the next record must be.

    First the Header, then Intervals of ascending seconds, then a Fin that agrees with them, then nothing.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        self.fin: Fin | None = None
        self.intervals = 0
        self.started = 0
        self.ok = 0
        self.failed = 0
        self.unfinished = 0
        self.last_second: int | None = None
        self.last_us: int | None = None
        """Run-clock end of the last interval."""
        self.size = len(MAGIC)
        """Bytes of the magic and of all records; the next record's place in the file."""
        self._sha256 = hashlib.sha256(MAGIC)

    @property
    def records(self) -> int:
        """How many there are, which is also the number of the next one: the Header is 0."""
        return self.intervals + (self.header is not None) + (self.fin is not None)

    def fin_of(self, started: int, ok: int, failed: int, unfinished: int) -> Fin:
        """The Fin that would end the journal here, with totals that someone else counted."""
        return Fin(self.intervals, started, ok, failed, unfinished, self._sha256.digest())

    def check(self, record: bytes) -> Header | Interval | Fin:
        """The record decoded, if it is the rightful next; else JournalError. Changes nothing."""
        return self._check(record, decode)

    def check_packed(self, record: bytes) -> Header | PackedInterval | Fin:
        """As `check`, but for the latencies and lags of an interval, which nobody has looked at."""
        return self._check(record, decode_packed)

    def _check(
        self, record: bytes, decode: Callable[[bytes, Sequence[int]], Header | _Interval | Fin]
    ) -> Header | _Interval | Fin:
        payload = unframe(record)
        if self.fin is not None:
            raise JournalError("it follows the FIN, which is the last")
        if payload.startswith(HEADER) != (self.header is None):
            raise JournalError("a journal begins with one header, and it is the only one")
        found = decode(payload, self.header.limits_us if self.header else ())
        if isinstance(found, Interval | PackedInterval):
            second = found.second if isinstance(found, Interval) else found.interval.second
            if self.last_second is not None and second <= self.last_second:
                raise JournalError(f"its second {second} follows second {self.last_second}")
        elif isinstance(found, Fin):
            sums = self.fin_of(self.started, self.ok, self.failed, self.unfinished)
            if found.sha256 != sums.sha256:
                raise JournalError("the FIN's SHA-256 is not that of the bytes before it")
            for total in ("intervals", "started", "ok", "failed", "unfinished"):
                told, summed = getattr(found, total), getattr(sums, total)
                if told != summed:
                    raise JournalError(f"the FIN tells of {told} {total}, and the intervals sum to {summed}")
        return found

    def extend(self, record: bytes, found: Header | Interval | PackedInterval | Fin) -> None:
        """Take a record that `check` or `check_packed` has let pass."""
        if isinstance(found, Header):
            self.header = found
        elif isinstance(found, Fin):
            self.fin = found
        elif isinstance(found, PackedInterval):
            self._add(found.interval, found.ended)
        else:
            self._add(found, found.ended())
        self.size += len(record)
        self._sha256.update(record)

    def _add(self, interval: Interval, ended: Ended) -> None:
        self.intervals += 1
        self.last_second = interval.second
        self.last_us = interval.start_us + interval.length_us
        self.started += interval.started
        self.ok += ended.ok
        self.failed += ended.failed
        self.unfinished += ended.unfinished
