"""`python -m loadproof.faults.keeper`: begins and ends the faults of a run on its clock, and ends them all at once when told.

It is told by SIGTERM, or by its lifeline: whoever started it is gone. What happens goes to stdout, a line of JSON each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadproof.faults.command import Command
from loadproof.faults.fault import Brief, EndedEarlyError, FaultError
from loadproof.faults.kinds import Parts, make
from loadproof.faults.schedule import Do, Stage, step
from loadproof.faults.state import State
from loadproof.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.faults.fault import Fault, Kind, Undo

REVERT_TIMES: Final = 3
REVERT_PAUSE_S: Final = 0.5
FINISHED: Final = b"\xff"
"""A fault is over; any other byte is the number of a signal."""


class Keeper:
    def __init__(self, brief: Brief, lifeline: int) -> None:
        self._brief = brief
        self._lifeline = lifeline
        self._state = State(brief.state)
        self._told = threading.Event()
        if brief.told:
            self._told.set()
        self._lines = threading.Lock()
        self._parts = Parts.of(brief, lifeline, self._restarted)
        self._at_work: dict[str, Kind] = {}
        self._woken, self._wake = socket.socketpair()

    def run(self) -> None:
        """Return when every fault is over."""
        for end in (self._woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            # Heard of through the pipe: a handler could come while this thread holds the event's lock.
            signal.signal(number, lambda *_: None)
        threads = [threading.Thread(target=self._keep, args=(fault,)) for fault in self._brief.faults]
        for thread in threads:
            thread.start()
        finished = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(self._lifeline, selectors.EVENT_READ)
            while finished < len(threads) and not self._told.is_set():
                for key, _ in selector.select():
                    heard = FINISHED[:0] if key.fd == self._lifeline else self._woken.recv(4096)
                    finished += heard.count(FINISHED)
                    if heard.count(FINISHED) < max(1, len(heard)):
                        # A signal, or the lifeline's end.
                        self._told.set()
        for kind in list(self._at_work.values()):
            if isinstance(kind, Command):
                kind.interrupt()
        for thread in threads:
            thread.join()

    def _keep(self, fault: Fault) -> None:
        """One fault from its beginning to its end."""
        try:
            self._follow(fault)
        except Exception as error:  # noqa: BLE001 whatever it is, the run must know
            traceback.print_exc()
            self._tell("fault_failed", fault, self._now_us(), f"it could not be kept: {error!r}")
        finally:
            with contextlib.suppress(BlockingIOError):
                self._wake.send(FINISHED)

    def _follow(self, fault: Fault) -> None:
        stage, undo = Stage.WAITING, {}
        record = self._state.of(fault.name)
        if record is not None:
            stage, undo = Stage(record["stage"]), record["undo"]
            for line in record["told"]:
                self._say(line)
        if stage is Stage.OPEN:
            self._revert(fault, make(fault, self._parts), undo)
        if record is not None:
            self._tell_if_early(fault)
            return
        while True:
            now_us = self._now_us()
            doing, until_us = step(fault, stage, now_us, told=self._told.is_set())
            match doing:
                case Do.WAIT:
                    assert until_us is not None
                    self._told.wait((until_us - now_us) / 1e6)
                case Do.INJECT:
                    kind = make(fault, self._parts)
                    begun = self._inject(fault, kind)
                    stage, undo = (Stage.OVER, {}) if begun is None else (Stage.OPEN, begun)
                case Do.REVERT:
                    self._revert(fault, kind, undo)
                    stage = Stage.OVER
                case Do.MISS:
                    late = format_duration(now_us - fault.at_us)
                    self._tell(
                        "fault_failed", fault, now_us, f"nobody was there to begin it until {late} later"
                    )
                    stage = Stage.OVER
                case Do.LEAVE:
                    return

    def _tell_if_early(self, fault: Fault) -> None:
        """A predecessor died, or its master, and so the fault did not last; nothing of that when the run ends anyhow."""
        record = self._state.of(fault.name)
        ended = [line["at_us"] for line in (record["told"] if record else ()) if line["kind"] == "fault_ends"]
        if ended and ended[0] < fault.until_us and not self._told.is_set():
            early = format_duration(fault.until_us - ended[0])
            self._tell(
                "fault_failed", fault, ended[0], f"its keeper died, or its master, and it ended {early} early"
            )

    def _inject(self, fault: Fault, kind: Kind) -> Undo | None:
        """What reverts it; None if it could not be begun, and was reverted as far as it was."""
        at_us = self._now_us()
        self._at_work[fault.name] = kind
        undo: Undo | None = None
        try:
            undo = kind.prepare()
            line = _line("fault_begins", fault, at_us)
            self._state.write(fault.name, {"stage": Stage.OPEN, "undo": undo, "told": [line]})
            kind.inject(undo)
        except (FaultError, OSError) as error:
            self._tell("fault_failed", fault, at_us, f"it could not be begun: {error}")
            if undo is not None:
                self._revert(fault, kind, undo, has_begun=False)
            return None
        finally:
            del self._at_work[fault.name]
        self._say(line)
        return undo

    def _revert(self, fault: Fault, kind: Kind, undo: Undo, *, has_begun: bool = True) -> bool:
        """Try a few times; False, and it stays open on disk, if that does not help."""
        why = told = ""
        for attempt in range(REVERT_TIMES):
            if attempt:
                time.sleep(REVERT_PAUSE_S)
            try:
                told = kind.revert(undo)
            except EndedEarlyError as error:
                if has_begun:
                    self._tell("fault_failed", fault, self._now_us(), f"it ended early: {error}")
            except (FaultError, OSError) as error:
                why = str(error)
                continue
            lines = []
            if has_begun:
                before = self._state.of(fault.name)
                ends = _line("fault_ends", fault, self._now_us(), told)
                lines = [*(before["told"] if before else ()), ends]
                self._say(ends)
            self._state.write(fault.name, {"stage": Stage.OVER, "undo": {}, "told": lines})
            return True
        self._tell("fault_failed", fault, self._now_us(), f"it could not be reverted: {why}")
        return False

    def _restarted(self, pid: int) -> None:
        self._parts.pids = (pid,)
        self._say({"kind": "target_restarted", "pid": pid})

    def _tell(self, kind: str, fault: Fault, at_us: int, more: str) -> None:
        self._say(_line(kind, fault, at_us, more))

    def _say(self, line: dict[str, object]) -> None:
        text = json.dumps(line)
        with self._lines:
            try:
                print(text, flush=True)
            except BrokenPipeError:
                # Nobody hears it any more; the log keeps it for who looks into that.
                print(f"keeper: {text}", file=sys.stderr, flush=True)

    def _now_us(self) -> int:
        return (time.monotonic_ns() - self._brief.start_ns) // 1_000


def _line(kind: str, fault: Fault, at_us: int, more: str = "") -> dict[str, object]:
    return {"kind": kind, "who": fault.name, "at_us": at_us, "text": more}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadproof.faults.keeper")
    parser.add_argument("--brief", type=Path, required=True, help="what to keep, as JSON")
    parser.add_argument("--lifeline-fd", type=int, required=True, help="end when this inherited pipe does")
    options = parser.parse_args(arguments)
    Keeper(Brief.read(options.brief.read_bytes()), options.lifeline_fd).run()
    # At its end Python would complain about a pipe that nobody reads.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
