"""Child processes that cannot outlive us.

Each child inherits the read end of a pipe whose write end only we hold. When we end, however we end, the
kernel closes the write end, the child reads EOF and leaves. A signal to a process group, a parent pid or
PR_SET_PDEATHSIG would miss cases: a shell's job control, a reparented child, a thread that ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gevent import monkey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

HARD_EXIT_S: Final = 5.0
PR_SET_PDEATHSIG: Final = 1
"""From <sys/prctl.h>."""


@dataclass
class Child:
    """A started process and the end of its lifeline that we hold."""

    name: str
    process: subprocess.Popen[bytes]
    lifeline: int

    def running(self) -> bool:
        return self.process.poll() is None

    def cut_lifeline(self) -> None:
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def end(self, patience_s: float) -> None:
        """Ask by EOF and SIGTERM, wait, then SIGKILL; returns when the process is gone."""
        self.cut_lifeline()
        for ask, patience in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
            if not self.running():
                break
            self.process.send_signal(ask)
            deadline = time.monotonic() + patience
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.02)
        self.process.wait()


def start_child(
    name: str,
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    stdout: int | None = None,
    documents: Mapping[str, bytes] | None = None,
) -> Child:
    """Run `python -m module arguments --lifeline-fd N` in a session of its own: Ctrl-C reaches only us.

    Each document, of 64 KiB at most, can be read once by the path that follows its flag: a pipe, so that a secret
    stands neither on the command line nor on a disk.
    """
    lifeline_read, lifeline_write = os.pipe()
    handed: list[int] = []
    given: list[str] = []
    try:
        for flag, document in (documents or {}).items():
            reading, writing = os.pipe()
            handed.append(reading)
            with open(writing, "wb") as pipe:  # noqa: PTH123 a descriptor, not a path
                pipe.write(document)
            given += [flag, f"/dev/fd/{reading}"]
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, *given, "--lifeline-fd", str(lifeline_read)],
                stdin=subprocess.DEVNULL,
                stdout=stdout if stdout is not None else errors,
                stderr=errors,
                pass_fds=(lifeline_read, *handed),
                start_new_session=True,
            )
    except BaseException:
        os.close(lifeline_write)
        raise
    finally:
        for descriptor in (lifeline_read, *handed):
            os.close(descriptor)
    return Child(name, process, lifeline_write)


def tail(log: Path) -> str:
    """The last lines of a child's log, indented, to stand below a message about it."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    except OSError:
        return "    (it left no log)"
    return "\n".join(f"    {line}" for line in lines) or "    (it left an empty log)"


def watch_lifeline(descriptor: int, leave: Callable[[], None]) -> None:
    """Call `leave` once when our starter is gone, and end this process a few seconds later in any case.

    A native thread watches, because a busy or blocked hub must not keep us alive; `leave` is called on it.
    """
    sleep = monkey.get_original("time", "sleep")
    start_thread = monkey.get_original("_thread", "start_new_thread")

    def wait() -> None:
        try:
            while os.read(descriptor, 1):
                pass
        except OSError:
            pass
        leave()
        sleep(HARD_EXIT_S)
        os._exit(1)

    start_thread(wait, ())


def take_forks_along() -> None:
    """Let the kernel end whatever a task forks off this process when this process ends.

    A fork is a copy with every user in it, has no lifeline, and would go on asking the target after the run.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    us = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:
            os._exit(1)

    os.register_at_fork(after_in_child=tie)
