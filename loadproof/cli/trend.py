"""`loadproof trend`: a folder of runs over time, with the runs at which something changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from analyzer.trend import Trend


def trend(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of run folders.")] = Path("reports"),
    name: Annotated[
        str | None, typer.Option("--name", help="Runs of this plan; else of that of the newest run.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=2, help="No more than the newest so many runs.")] = None,
    json_output: options.Json = False,
) -> int:
    """Show how runs that are alike went over time, and since which run a latency, rate or error ratio is another."""
    import json

    from analyzer.trend import document
    from analyzer.trend import trend as found_trend
    from loadproof.errors import ExitCode

    found = found_trend(folder, name, last)
    if json_output:
        print(json.dumps(document(found), indent=2, ensure_ascii=True, allow_nan=False))
    else:
        _print(found)
    return ExitCode.OK


def _print(found: Trend) -> None:
    from rich.text import Text

    from analyzer.escape import shown
    from analyzer.wording import change_text
    from loadproof.cli.tables import table, wide_console

    console = wide_console()
    totals = {series.what: series for series in found.series if not series.where}
    texts = ("RUN", "VERDICT")
    rows = table((*texts, "RATE", "P50", "P95", "P99", "ERRORS"), left=texts)
    for at, run in enumerate(found.runs):
        cells = []
        for series in (totals[what] for what in ("rate", "p50", "p95", "p99", "error_ratio")):
            is_new = any(change.run == run.run for change in series.changes)
            text = _value_text(series.unit, series.values[at])
            cells.append(Text(f"* {text}" if is_new else text, style="bold yellow" if is_new else ""))
        rows.add_row(Text(shown(run.folder, 60)), Text(run.verdict), *cells)
    console.print(rows)
    changes = [(series, change) for series in found.series for change in series.changes]
    for series, change in changes:
        where = f" of {shown(series.where, 60)}" if series.where else ""
        is_share = series.unit == "ratio"
        amount = change_text(series.unit, change.after - change.before if is_share else change.relative)
        ends = " to ".join(_value_text(series.unit, end) for end in (change.before, change.after))
        line = f"* {series.what}{where} since {shown(change.run, 60)}: {ends}, {amount} (p = {change.p:.2g})"
        console.print(Text(line, style="yellow"), soft_wrap=True)
    if not changes:
        few = "; a change shows from about ten runs on" if len(found.runs) < 10 else ""
        runs = f"{len(found.runs)} run{'s'[: len(found.runs) != 1]}"
        line = f"no change in {len(found.series)} series over {runs}{few}"
        console.print(line, soft_wrap=True)
    for sentence in found.left_out:
        console.print(Text(f"  left out: {shown(sentence, 300)}", style="dim"), soft_wrap=True)


def _value_text(unit: str, value: float | None) -> str:
    from analyzer.wording import value_text

    return (
        value_text("us", None if value is None else value * 1_000)
        if unit == "ms"
        else value_text(unit, value)
    )
