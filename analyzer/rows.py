"""The rows of metrics.csv, kept packed: a long run has millions, and a frozen report must hold them all."""

from __future__ import annotations

import marshal
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROWS_A_CHUNK: Final = 4096


class MetricRow(msgspec.Struct, frozen=True, array_like=True):
    """What one region saw of one series in one second; latencies in microseconds."""

    second: int
    region: str
    scenario: str
    method: str
    name: str
    outcome: str
    phase: str
    requests: int
    mean_us: float
    p50_us: int
    p95_us: int
    p99_us: int
    max_us: int
    bytes_received: int
    faults: str = ""
    """In whose windows the requests lay, with a blank between the names."""


@dataclass(frozen=True)
class MetricRows:
    """An immutable sequence of rows; iterating unpacks one chunk at a time. A row takes some twenty bytes."""

    chunks: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[MetricRow]) -> MetricRows:
        packer = RowPacker()
        for row in rows:
            packer.add(row)
        return packer.finish()

    def __iter__(self) -> Iterator[MetricRow]:
        for chunk in self.chunks:
            for row in marshal.loads(zlib.decompress(chunk)):  # noqa: S302 packed by this process
                yield MetricRow(*row)


class RowPacker:
    """Takes rows one by one and packs them."""

    def __init__(self) -> None:
        self._open: list[MetricRow] = []
        self._chunks: list[bytes] = []

    def add(self, row: MetricRow) -> None:
        self._open.append(row)
        if len(self._open) == _ROWS_A_CHUNK:
            self._pack()

    def finish(self) -> MetricRows:
        if self._open:
            self._pack()
        return MetricRows(tuple(self._chunks))

    def _pack(self) -> None:
        # MessagePack cannot carry the lone surrogates that a name may hold.
        packed = marshal.dumps([msgspec.structs.astuple(row) for row in self._open])
        # Level 1: neighbouring rows repeat their names, which the fastest level already removes.
        self._chunks.append(zlib.compress(packed, 1))
        self._open = []
