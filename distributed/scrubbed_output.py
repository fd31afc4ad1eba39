"""Standard output and error of a process, without its secrets: a run's log is made of them."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from loadproof.measure.scrub import Scrubber


class _Scrubbed:
    """A stream that writes whole lines, so that no secret is torn between two writes."""

    def __init__(self, stream: TextIO, scrub: Scrubber) -> None:
        self._stream = stream
        self._scrub = scrub
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._stream.write(self._scrub(line) + "\n")
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._line:
            self._stream.write(self._scrub(self._line))
            self._line = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def scrub_output(scrub: Scrubber) -> None:
    """From now on whatever is printed or logged here goes through `scrub`: tracebacks and locustfiles' prints too."""
    scrubbed = {stream: _Scrubbed(stream, scrub) for stream in (sys.stdout, sys.stderr)}
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in scrubbed:
            handler.setStream(scrubbed[handler.stream])
    sys.stdout = cast("TextIO", scrubbed[sys.stdout])
    sys.stderr = cast("TextIO", scrubbed[sys.stderr])
