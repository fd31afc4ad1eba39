"""`loadproof stop`: end a run from outside, in order and with the reason in its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

TAKEN_S: Final = 10.0


def stop(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Its folder; not needed where only one goes on.")
    ] = None,
    why: Annotated[str, typer.Option("--why", "-m", help="The reason, for the report.")] = "",
    at_once: Annotated[
        bool, typer.Option("--at-once", help="End what is in flight too, and count it as unfinished.")
    ] = False,
    reports: Annotated[Path, typer.Option(help="Where the run folders are.")] = Path("reports"),
) -> int:
    """Stop a run that goes on: nothing more begins, reports are written, and the run exits with 5.

    Of a run that was killed, end the faults that it has left open.
    """
    from distributed.left_open import left_open, revert_left
    from distributed.run_folder import goes_on
    from distributed.stop_request import ask_stop, is_taken
    from loadproof.errors import ExitCode, UsageError

    folder = _only_run(reports) if run is None else run
    if left_open(folder):
        for line in revert_left(folder):
            print(f"whole again: {line}")
        return ExitCode.OK
    if not goes_on(folder):
        raise UsageError(f"{folder}: no run goes on there on this machine")
    ask_stop(folder, why, at_once=at_once)
    if not is_taken(folder, TAKEN_S):
        raise UsageError(f"the run of {folder} did not take the wish in {TAKEN_S:.0f} s: press Ctrl-C there")
    print(f"{folder} is stopping")
    return ExitCode.OK


def _only_run(reports: Path) -> Path:
    from analyzer.baselines import runs_in
    from distributed.left_open import left_in
    from distributed.run_folder import goes_on
    from loadproof.errors import UsageError

    found = [one.path for one in runs_in(reports) if goes_on(one.path)] or [*left_in(reports)]
    if not found:
        raise UsageError(f"no run goes on in {reports}: name its folder, or where it is with --reports")
    if len(found) > 1:
        told = "\n".join(f"  loadproof stop {path}" for path in found)
        raise UsageError(f"{len(found)} runs in {reports} could be meant: say which\n{told}")
    return found[0]
