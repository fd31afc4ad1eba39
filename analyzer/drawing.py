"""PNG charts drawn in a process of their own, while the first one reads journals and writes the other reports.

Drawing takes as long as all the rest of a short run's report, and the renderer holds the interpreter's lock.
"""

from __future__ import annotations

import subprocess
import sys
from struct import Struct
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, Self

import msgspec

from analyzer.layers import Spec
from analyzer.vega import to_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import BinaryIO

_LENGTH: Final = Struct("<Q")
_EMPTY: Final[Spec] = {"data": {"values": []}, "mark": "point"}


class Drawing:
    """A process that draws; begun early, it has its renderer ready when the charts are known."""

    def __init__(self) -> None:
        self._pictures = TemporaryFile()  # noqa: SIM115 closed on leaving; a pipe would fill up and stop the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", "analyzer.drawing"],
            stdin=subprocess.PIPE,
            stdout=self._pictures,
            stderr=subprocess.DEVNULL,
        )
        self._specs: Sequence[Spec] = ()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._pictures.close()

    def begin(self, specs: Sequence[Spec]) -> None:
        """Have these drawn; call it once."""
        self._specs = specs
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(specs))
            self._process.stdin.close()
        except BrokenPipeError:
            # It is gone, which `pictures` makes good.
            return

    def pictures(self) -> list[bytes]:
        """The charts in their order, once all are drawn; those of a process that died are drawn here."""
        self._process.wait()
        self._pictures.seek(0)
        found = []
        while head := self._pictures.read(_LENGTH.size):
            found.append(self._pictures.read(*_LENGTH.unpack(head)))
        if self._process.returncode or len(found) != len(self._specs):
            return [to_png(spec) for spec in self._specs]
        return found


def draw(specs: BinaryIO, pictures: BinaryIO) -> None:
    """The part of the other process: specs as JSON in, lengths and PNGs out."""
    # The first chart takes half a second longer than the others, and the specs are not there yet.
    to_png(_EMPTY)
    for spec in msgspec.json.decode(specs.read(), type=list[Spec]):
        picture = to_png(spec)
        pictures.write(_LENGTH.pack(len(picture)) + picture)


if __name__ == "__main__":
    draw(sys.stdin.buffer, sys.stdout.buffer)
