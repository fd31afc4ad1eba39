"""Single keys of who watches a run at a terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Keyboard:
    """Gives keys without Enter while it is entered, and leaves the terminal as it was; silent where there is none."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._descriptor = sys.stdin.fileno()
            if self._is_ours():
                self._before = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor)
        except (OSError, ValueError, termios.error):  # no standard input at all
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None and self._is_ours():
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def pressed(self) -> str:
        """What was typed since the last time; does not wait."""
        if self._before is None or not self._is_ours():
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], 0)
        return os.read(self._descriptor, 100).decode(errors="replace") if ready else ""

    def _is_ours(self) -> bool:
        """In the background, reading a terminal would suspend us."""
        return os.isatty(self._descriptor) and os.tcgetpgrp(self._descriptor) == os.getpgrp()
