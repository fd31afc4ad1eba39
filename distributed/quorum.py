"""The workers that a run waits for before its load, and how few of them are enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import gevent

from distributed.placement import seats
from distributed.processes import tail
from loadproof.errors import QuorumError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed.membership import Membership
    from distributed.processes import Child
    from distributed.run_folder import RunFolder
    from distributed.stop import Stop
    from loadproof.plan.model import Plan

TICK_S: Final = 0.1


def await_workers(
    plan: Plan,
    membership: Membership,
    children: Mapping[str, Child],
    folder: RunFolder,
    stop: Stop,
    patience_s: float,
    say: Callable[[str], None] | None = None,
) -> None:
    """Return when all are here, or those that are not will not come, or somebody wants to stop.

    `children` are the workers that we have started ourselves, if any. UsageError when nobody has come in time,
    QuorumError when too few have.
    """
    planned = seats(plan.regions)
    deadline = time.monotonic() + patience_s
    known: set[str] = set()
    while time.monotonic() < deadline:
        if stop.by is not None:
            return
        here = _here(membership)
        if say is not None and here - known:
            say(f"{', '.join(sorted(here - known))} joined: {len(here)} of {len(planned)}")
        known = here
        dead = [worker for worker, child in children.items() if worker not in here and not child.running()]
        if len(here) + len(dead) >= len(planned):
            break
        gevent.sleep(TICK_S)
    here = _here(membership)
    if not here and say is not None:
        raise UsageError(f"no worker joined within {patience_s:.0f} s: nothing was run")
    if not here:
        raise UsageError(f"no worker could start; the end of {folder.log}:\n{tail(folder.log)}")
    _require_quorum(plan, here, patience_s)
    for seat in planned:
        if seat.worker not in here:
            what = "never joined"
            if (child := children.get(seat.worker)) is not None:
                status = child.process.returncode
                what += ": its process "
                what += "is still starting" if child.running() else f"ended with status {status}"
            folder.event(None, "worker_lost", what, seat.worker)
            if say is not None:
                say(f"{seat.worker} {what}: the run starts without it")


def _here(membership: Membership) -> set[str]:
    return {seat.worker for seat in membership.present}


def _require_quorum(plan: Plan, here: set[str], patience_s: float) -> None:
    for region in plan.regions:
        count = sum(seat.worker in here for seat in seats((region,)))
        if count < region.quorum:
            raise QuorumError(
                f"region {region.name} has {count} of the {region.quorum} worker{'s'[: region.quorum != 1]} "
                f"that it needs after {patience_s:.0f} s: nothing was run; start them, wait longer, or lower "
                "its `quorum`"
            )
