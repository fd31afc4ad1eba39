"""`command`: a command of the user's breaks something, another makes it whole again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from loadproof.faults.fault import FaultError
from loadproof.units import format_duration

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo

TIMEOUT_US: Final = 30_000_000


class Command:
    def __init__(self, command: str, revert: str, timeout_us: int = TIMEOUT_US) -> None:
        self._command = command
        self._revert = revert
        self._timeout_us = timeout_us
        self._running: subprocess.Popen[bytes] | None = None

    def prepare(self) -> Undo:
        return {}

    def inject(self, undo: Undo) -> None:  # noqa: ARG002 the shape of every kind
        self._run(self._command, can_wait=False)

    def revert(self, undo: Undo) -> str:  # noqa: ARG002 the shape of every kind
        self._run(self._revert)
        return "its revert ended with status 0"

    def interrupt(self) -> None:
        """Kill what breaks things: the run ends, and must not wait for it."""
        running = self._running
        if running is not None and running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)

    def _run(self, text: str, *, can_wait: bool = True) -> None:
        sys.stderr.flush()
        # Its output goes where ours does, into the run's log.
        process = subprocess.Popen(
            ["/bin/sh", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )
        self._running = None if can_wait else process
        try:
            status = process.wait(self._timeout_us / 1e6)
        except subprocess.TimeoutExpired:
            # Its children too: they could go on breaking things.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            took = format_duration(self._timeout_us)
            raise FaultError(f"`{text}` had not ended after {took} and was killed") from None
        finally:
            self._running = None
        if status:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise FaultError(f"`{text}` {how}; run.log has what it said")
