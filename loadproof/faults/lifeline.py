"""The pipe at whose end a child of the keeper ends what it does: the other end is the keeper's alone."""

from __future__ import annotations

import select
import sys
from typing import Final

READY: Final = b"ready\n"
"""What a child says when it takes its whole share."""


class Lifeline:
    """As the child sees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say_ready(self) -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()

    def has_ended(self, wait_s: float = 0.0) -> bool:
        """Whether whoever holds the other end has let go, within so many seconds: nothing is ever written to it."""
        return bool(select.select([self._descriptor], [], [], wait_s)[0])

    def wait(self) -> None:
        select.select([self._descriptor], [], [])
