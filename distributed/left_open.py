"""Faults that a run has left open: it was killed together with its keeper, or they could not be reverted."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from distributed.faults import END_S, STATE
from distributed.processes import start_child
from distributed.run_folder import goes_on
from loadproof.errors import PlanError, RunFolderError, UsageError
from loadproof.faults.pressure import LOADS
from loadproof.faults.state import State
from loadproof.plan.faults import PROXIED, RESTARTING, switches_of
from loadproof.plan.reader import read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from loadproof.plan.model import Fault

ENDED_BY_THE_KERNEL: Final = PROXIED | LOADS.keys() | {"partition"}
"""What made them has died with the keeper, or with the run."""


def left_open(run: Path) -> tuple[Fault, ...]:
    """Those that nobody will end any more, in the plan's order; none of a run that goes on.

    UsageError where that cannot be told.
    """
    if not (run / STATE).is_file() or goes_on(run):
        return ()
    try:
        names = State(str(run / STATE)).open
        if not names:
            return ()
        manifest = _manifest(run)
        faults = read_plan(run / "plan.yaml", environ={}).faults
    except (OSError, ValueError, PlanError) as error:
        raise UsageError(f"what the run of {run} has left open cannot be read: {error}") from error
    unknown = names - {fault.name for fault in faults}
    if unknown:
        raise UsageError(
            f"{run / STATE} says that {', '.join(sorted(unknown))} is open, of which {run / 'plan.yaml'} says nothing: "
            "is it of another run?"
        )
    return tuple(
        fault
        for fault in faults
        if fault.name in names
        and fault.kind not in ENDED_BY_THE_KERNEL
        and not (manifest.get("embedded") and _dies_with_target(fault))
    )


def left_in(reports: Path) -> dict[Path, tuple[Fault, ...]]:
    """Every run of a folder that has left something open; one that cannot be read is passed over."""
    found = {}
    for path in sorted(reports.glob(f"*/{STATE}")):
        try:
            faults = left_open(path.parent)
        except UsageError:
            continue
        if faults:
            found[path.parent] = faults
    return found


def told_of(run: Path, faults: tuple[Fault, ...]) -> str:
    """For whoever would begin another run, or looks at this one."""
    names = ", ".join(fault.name for fault in faults)
    return f"the run of {run} was killed, and has left broken: {names}; `loadproof stop {run}` makes it whole"


def revert_left(run: Path) -> list[str]:
    """Make whole what the run has left open, which a keeper does; a line for each, RunFolderError where one is left."""
    faults = left_open(run)
    manifest = _manifest(run)
    brief: dict[str, Any] = {
        "start_ns": time.monotonic_ns(),
        "seed": 0,
        "state": str(run / STATE),
        "target": manifest.get("target", ""),
        "pids": [],
        "restart": [],
        "proxy": None,
        "told": True,
        "faults": [fault.model_dump() for fault in faults],
    }
    keeper = start_child(
        "keeper",
        "loadproof.faults.keeper",
        [],
        log=run / "run.log",
        stdout=subprocess.PIPE,
        documents={"--brief": json.dumps(brief).encode()},
    )
    try:
        assert keeper.process.stdout is not None
        # Half a line is of a keeper that was killed.
        lines = [json.loads(line) for line in keeper.process.stdout if line.endswith(b"\n")]
    finally:
        keeper.end(END_S)
    still = {fault.name for fault in left_open(run)}
    if still:
        why = [f"{line['who']}: {line['text']}" for line in lines if line["kind"] == "fault_failed"]
        raise RunFolderError(
            "\n".join(
                [
                    f"not all that the run of {run} has left is whole again:",
                    *why,
                    f"try once more, or remove {run / STATE} if what it names is there no more",
                ]
            )
        )
    ends = {line["who"]: line["text"] for line in lines if line["kind"] == "fault_ends"}
    return [": ".join(filter(None, (fault.name, ends.get(fault.name)))) for fault in faults]


def _manifest(run: Path) -> dict[str, Any]:
    """OSError, or ValueError where it is none."""
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("manifest.json is damaged") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("target", ""), str):
        raise ValueError("manifest.json is damaged")  # noqa: TRY004 what bytes say, not what a caller gives
    return manifest


def _dies_with_target(fault: Fault) -> bool:
    return fault.kind in RESTARTING or bool(switches_of(fault))
