"""`loadproof runs`: the run folders that lie about, and the old ones away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from analyzer.baselines import FoundRun

runs = typer.Typer(help="List run folders, or remove old ones.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option("--reports", help="The folder of the run folders.")]
_SHOWN: Final = 20


@runs.command("list")
def list_runs(reports: Folder = Path("reports"), json_output: options.Json = False) -> int:
    """List every run below a folder: when it began, how it ended, how much it holds."""
    import json

    from rich.text import Text

    from analyzer.baselines import runs_in
    from analyzer.escape import shown
    from loadproof.cli.tables import table, wide_console
    from loadproof.errors import ExitCode
    from loadproof.units import format_bytes, format_count, format_duration

    found = runs_in(reports)
    if json_output:
        print(json.dumps([_told(one) for one in found], indent=1, ensure_ascii=True))
        return ExitCode.OK
    texts = ("RUN", "PLAN", "STARTED", "VERDICT")
    rows = table((*texts, "LASTED", "REQUESTS", "SIZE"), left=texts)
    for one in found:
        told = _told(one)
        rows.add_row(
            Text(shown(one.path.name, 60)),
            Text(shown(told["name"] or "", 40)),
            Text(shown(told["started_utc"] or "", 30)),
            Text(shown(told["verdict"] or ("not judged" if told["closed"] else "not closed"), 20)),
            format_duration(told["run_length_us"]),
            format_count(told["requests"]),
            format_bytes(told["bytes"]),
        )
    wide_console().print(rows)
    return ExitCode.OK


@runs.command("prune")
def prune_runs(
    keep: Annotated[int | None, typer.Option(min=0, help="Keep the newest so many of each plan.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove only what began longer ago, such as 30d.")
    ] = None,
    reports: Folder = Path("reports"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
) -> int:
    """Remove run folders for good: by number, by age, or, with both, what is neither new nor among the newest."""
    import shutil
    import sys

    from analyzer.baselines import runs_in
    from analyzer.escape import shown
    from loadproof.errors import ExitCode, RunFolderError, UsageError
    from loadproof.units import format_bytes, format_count, parse_duration

    if keep is None and older_than is None:
        raise UsageError("say what goes: --keep N, --older-than AGE, or both")
    age_us = None if older_than is None else parse_duration(older_than)
    doomed = _doomed(runs_in(reports), keep, age_us)
    if not doomed:
        print("nothing to remove")
        return ExitCode.OK
    for one in doomed[:_SHOWN]:
        print(f"  {shown(one.path.name, 80)}")
    if len(doomed) > _SHOWN:
        print(f"  and {len(doomed) - _SHOWN} more")
    size = format_bytes(sum(_size(one.path) for one in doomed))
    what = f"{format_count(len(doomed))} run folder{'s'[: len(doomed) != 1]} below {reports}, {size}"
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{what}: nobody is there to ask; say --yes to remove them")
        if not typer.confirm(f"Remove {what}, for good?"):
            return ExitCode.OK
    for one in doomed:
        try:
            shutil.rmtree(one.path)
        except OSError as error:
            raise RunFolderError(f"{one.path}: cannot be removed: {error.strerror}") from error
    print(f"removed {what}")
    return ExitCode.OK


def _doomed(found: list[FoundRun], keep: int | None, age_us: int | None) -> list[FoundRun]:
    """The oldest first. A run that was never closed may go on, or be what `recover` needs: it stays."""
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    newest: dict[object, int] = {}
    doomed = []
    for one in reversed(found):
        name = one.manifest.get("name")
        newest[name] = newest.get(name, 0) + 1
        if one.manifest.get("closed") is not True or not isinstance(one.manifest.get("run"), str):
            continue
        is_spare = keep is None or newest[name] > keep
        is_old = age_us is None
        if age_us is not None:
            try:
                began = datetime.datetime.fromisoformat(one.started)
            except ValueError:
                continue
            is_old = (now - began) > datetime.timedelta(microseconds=age_us)
        if is_spare and is_old:
            doomed.append(one)
    return doomed[::-1]


def _told(one: FoundRun) -> dict[str, Any]:
    """What a manifest says that is as it should be; None for the rest."""
    types = {"run": str, "name": str, "started_utc": str, "verdict": str, "closed": bool}
    types |= {"run_length_us": int, "requests": int}
    told = {key: one.manifest.get(key) for key in types}
    told = {key: value if isinstance(value, types[key]) else None for key, value in told.items()}
    return {"folder": str(one.path), **told, "bytes": _size(one.path)}


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
