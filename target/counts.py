"""How many requests of each load test run arrived, by endpoint: the target's half of the two books.

A request with the header `Loadproof-Run` is counted when it is received, before anything else is done with
it, whatever its answer will be. Every process counts in a file of its own; `of` sums them as they are now.

Room is bounded: RECORDS pairs of run and endpoint a process. When it is used up, a process drops the run that
it heard of least recently, whole, and keeps that run's hash among the last DROPPED_KEPT ones, so that asking
for it says "dropped" and never a number that is too low.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from target.answers import RefusedError
from target.tally import SPARE, Tally, TallyFullError

if TYPE_CHECKING:
    from pathlib import Path

RUN_HEADER: Final = "Loadproof-Run"
RECORDS: Final = 1024
DROPPED_KEPT: Final = SPARE - 1
_RUN: Final = re.compile(rb"[!-~]{1,128}")


class RunDroppedError(Exception):
    """The run's counts were dropped to make room for newer runs."""


class RunCounts:
    """Counts requests for the process numbered `process`, and sums those of all `processes`."""

    def __init__(self, folder: Path, process: int, processes: int) -> None:
        self._all = [Tally(folder / f"counts-{number}", RECORDS) for number in range(processes)]
        self._own = self._all[process]
        self._own.own()
        self._runs: dict[bytes, dict[str, int]] = {}
        self._latest = b""

    def received(self, run: bytes, endpoint: str) -> None:
        """Count one request; RefusedError (400) if `run` is not 1 to 128 visible ASCII characters."""
        endpoints = self._runs.get(run)
        if endpoints is None:
            if not _RUN.fullmatch(run):
                raise RefusedError(400, "bad_run", f"{RUN_HEADER} has 1 to 128 visible ASCII characters")
            endpoints = self._runs[run] = {}
        if run != self._latest:
            # The dictionary's order is that of their latest requests: the first is the one to drop.
            self._runs[run] = self._runs.pop(run)
            self._latest = run
        slot = endpoints.get(endpoint)
        if slot is None:
            slot = endpoints[endpoint] = self._slot(run + b" " + endpoint.encode())
        self._own.add(slot)

    def of(self, run: str) -> dict[str, int]:
        """Requests of a run by endpoint, in order of name; empty if none came. Raises RunDroppedError."""
        prefix = run.encode() + b" "
        counts: dict[str, int] = {}
        for tally in self._all:
            for key, count in tally.items():
                if key.startswith(prefix):
                    endpoint = key[len(prefix) :].decode()
                    counts[endpoint] = counts.get(endpoint, 0) + count
        # After the sums: a run that was dropped while they were made is found here.
        mark = _hash(run.encode())
        if any(mark in tally.spare[1:] for tally in self._all):
            raise RunDroppedError(run)
        return dict(sorted(counts.items()))

    def _slot(self, key: bytes) -> int:
        while True:
            try:
                return self._own.slot(key)
            except TallyFullError:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        run = next(iter(self._runs))
        dropped = self._own.spare[0]
        self._own.spare[1 + dropped % DROPPED_KEPT] = _hash(run)
        self._own.spare[0] = dropped + 1
        for endpoint in self._runs.pop(run):
            self._own.release(run + b" " + endpoint.encode())


def _hash(run: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(run, digest_size=8).digest(), "little") or 1
