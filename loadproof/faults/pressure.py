"""`memory_load` to `network_load`: child processes take what the target would have, and end with who started them.

`python -m loadproof.faults.pressure KIND SHARE` is such a child. It says when it takes its whole share, and at the end
of its lifeline, which the keeper alone holds, what it has done.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from loadproof.faults.cpu_load import CpuLoad
from loadproof.faults.fault import EndedEarlyError, FaultError
from loadproof.faults.file_load import FileLoad
from loadproof.faults.lifeline import READY, Lifeline
from loadproof.faults.memory_load import MemoryLoad
from loadproof.faults.network_load import NetworkLoad
from loadproof.faults.processes import await_state, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadproof.faults.fault import Undo

READY_S: Final = 60.0
"""Memory is filled with some GB a second, a disk may have to find room first."""
END_S: Final = 10.0
_ENDED: Final[set[str | None]] = {None, "Z", "X"}


class Load(Protocol):
    """One kind of pressure, made of the fault's settings, and in a child of its share."""

    def shares(self) -> list[dict[str, Any]]:
        """The settings of each child; FaultError where this machine cannot bear it."""

    def carry(self, lifeline: Lifeline) -> str:
        """In the child: take the share until the lifeline ends; what was done."""


LOADS: Final[dict[str, Callable[[dict[str, Any]], Load]]] = {
    "memory_load": MemoryLoad,
    "cpu_load": CpuLoad,
    "file_load": FileLoad,
    "network_load": NetworkLoad,
}


class Pressure:
    def __init__(self, kind: str, settings: dict[str, Any]) -> None:
        self._kind = kind
        self._load = LOADS[kind](settings)
        self._children: list[tuple[subprocess.Popen[bytes], int]] = []

    def prepare(self) -> Undo:
        return {"shares": self._load.shares(), "mark": f"pressure-{secrets.token_hex(16)}"}

    def inject(self, undo: Undo) -> None:
        for share in undo["shares"]:
            self._start(share, undo["mark"])
        deadline = time.monotonic() + READY_S
        for process, _ in self._children:
            assert process.stdout is not None
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([process.stdout], [], [], left_s)[0]:
                raise FaultError(f"it was not there within {READY_S:.0f} s")
            if process.stdout.readline() != READY:
                raise FaultError(f"its process {_how(process.wait())}; run.log has what it said")

    def revert(self, undo: Undo) -> str:
        early = [process for process, _ in self._children if process.poll() is not None]
        for _, lifeline in self._children:
            os.close(lifeline)
        told = [_last_words(process) for process, _ in self._children]
        self._children.clear()
        # Those of a keeper that was killed end with it; what hangs in a system call is waited for.
        left = marked(undo["mark"])
        for process in left:
            process.send(signal.SIGKILL)
        if alive := await_state(left, _ENDED):
            raise FaultError(f"process {alive[0].pid} did not end")
        if early:
            raise EndedEarlyError(f"its process {_how(early[0].returncode)}; run.log has what it said")
        return ", ".join(filter(None, told))

    def _start(self, share: dict[str, Any], mark: str) -> None:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "loadproof.faults.pressure", self._kind, json.dumps(share)),
                    *("--mark", mark, "--lifeline-fd", str(reading)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=(reading,),
                start_new_session=True,
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._children.append((process, writing))


def _last_words(process: subprocess.Popen[bytes]) -> str:
    try:
        told, _ = process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        told, _ = process.communicate()
    return told.decode("utf-8", "replace").strip()


def _how(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadproof.faults.pressure")
    parser.add_argument("kind", choices=LOADS)
    parser.add_argument("share", type=json.loads, help="its settings, as JSON")
    parser.add_argument("--mark", required=True, help="by which others know this process")
    parser.add_argument("--lifeline-fd", type=int, required=True, help="end when this inherited pipe does")
    options = parser.parse_args(arguments)
    try:
        print(LOADS[options.kind](options.share).carry(Lifeline(options.lifeline_fd)), flush=True)
    except BrokenPipeError:
        # The keeper was killed: nobody hears what was done.
        os._exit(0)
    except OSError as error:
        print(f"{options.kind}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
