"""`pause`: the target's processes stand still, as on a machine that is starved or swaps."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from loadproof.faults.fault import FaultError
from loadproof.faults.processes import Process, await_state, tree

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo

_GONE = {None, "Z", "X"}


class Pause:
    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids

    def prepare(self) -> Undo:
        return {"processes": [list(process) for process in tree(self._pids)]}

    def inject(self, undo: Undo) -> None:
        processes = _processes(undo)
        for process in processes:
            process.send(signal.SIGSTOP)
        running = await_state(processes, {"T", "t", *_GONE})
        if running:
            raise FaultError(f"process {running[0].pid} did not stand still")

    def revert(self, undo: Undo) -> str:
        processes = _processes(undo)
        refused = []
        for process in processes:
            try:
                process.send(signal.SIGCONT)
            except FaultError as error:
                refused.append(str(error))
        stopped = await_state(processes, {"R", "S", "D", "I", *_GONE})
        refused += [f"process {process.pid} stands still" for process in stopped]
        if refused:
            raise FaultError("; ".join(refused))
        return ""


def _processes(undo: Undo) -> list[Process]:
    return [Process(*pair) for pair in undo["processes"]]
