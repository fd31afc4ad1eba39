"""`kill`: the target that the run has started is killed, and started again at the same address."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadproof.faults.fault import FaultError
from loadproof.faults.processes import Process, await_state, tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.faults.fault import Undo

START_S: Final = 20.0
LISTEN_S: Final = 1.0


class Kill:
    """`found` is told the process that has taken the target's place."""

    def __init__(
        self,
        pids: tuple[int, ...],
        url: str,
        restart: tuple[str, ...],
        lifeline: int,
        found: Callable[[int], None],
    ) -> None:
        self._pids = pids
        self._url = url
        self._restart = restart
        self._lifeline = lifeline
        self._found = found

    def prepare(self) -> Undo:
        if not self._restart:
            raise FaultError("the run has not started the target, and could not start it again")
        return {"processes": [list(process) for process in tree(self._pids)]}

    def inject(self, undo: Undo) -> None:
        processes = [Process(*pair) for pair in undo["processes"]]
        for process in processes:
            process.send(signal.SIGKILL)
        alive = await_state(processes, {None, "Z", "X"})
        if alive:
            raise FaultError(f"process {alive[0].pid} did not end")

    def revert(self, undo: Undo) -> str:
        if all(Process(*pair).is_alive for pair in undo["processes"]):
            return "it was never killed"
        if _listens(self._url):
            return "it is back already"
        if _ended(self._lifeline):
            # It would end with the run, as the one did that it stood for.
            return "the run is gone, and its target with it"
        process = subprocess.Popen(
            [*self._restart, "--lifeline-fd", str(self._lifeline)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(self._lifeline,),
            start_new_session=True,
        )
        if not _says_something(process):
            process.kill()
            process.wait()
            raise FaultError(f"the target did not start again within {START_S:.0f} s")
        self._found(process.pid)
        return f"started again as process {process.pid}"


def _says_something(process: subprocess.Popen[bytes]) -> bool:
    """It writes a line when it answers."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_S
    told = b""
    while not told.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not more:
            return False
        told += more
    return True


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), LISTEN_S).close()
    except OSError:
        return False
    return True


def _ended(lifeline: int) -> bool:
    """Whether whoever holds the other end is gone: nothing is ever written to it."""
    return bool(select.select([lifeline], [], [], 0)[0])
