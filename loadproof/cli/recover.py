"""`loadproof recover`: what a dead master and its workers left, made one run folder and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered
from loadproof.cli.report import report


def recover(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", help="The run folder, if it is left, and the workers' journal folders."
        ),
    ],
    rule: options.Rules = None,
    charts: Annotated[Path, typer.Option(help="Where the PNG charts go.")] = Path("charts"),
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
) -> int:
    """Put a run whose master died together again in a new folder, judge it and write its reports."""
    import datetime
    import sys

    from analyzer import recover as recovery
    from distributed.left_open import left_open, told_of

    left = [told_of(folder, faults) for folder in folders if (faults := left_open(folder))]
    found = recovery.recover(folders, datetime.datetime.now(datetime.UTC))
    for line in (f"recovered into {found.folder}", *found.notes, *left):
        if not quiet:
            print(f"loadproof: {line}", file=sys.stderr)
    return report(found.folder, rule=rule, charts=charts, json_output=json_output, quiet=quiet, strict=strict)
