"""`loadproof report`: a run folder judged and written as reports, again or for the first time."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from typing import TextIO

    from analyzer.model import Report


class Format(StrEnum):
    """Other forms of a report; see docs/reports.md."""

    ACGS = "acgs"
    AZORA = "azora"
    CODEPAL = "codepal"
    WRITING = "writing"
    HLOG = "hlog"
    OPENMETRICS = "openmetrics"


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder, such as reports/enterprise-20261121T024700Z; with --wait the folder of runs, such as reports.",
        ),
    ],
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Judge the next run that is begun in RUN, as soon as it is closed."),
    ] = False,
    rule: options.Rules = None,
    baseline: options.Baselines = None,
    unlike: options.Unlike = False,
    charts: Annotated[Path, typer.Option(help="Where the PNG charts go.")] = Path("charts"),
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    form: Annotated[
        list[Format] | None,
        typer.Option("--format", help="Write this form, too, into a folder of its name; may repeat."),
    ] = None,
) -> int:
    """Judge a run folder and write its reports; the exit code is the verdict's."""
    import sys

    from rich.console import Console
    from rich.text import Text

    if wait:
        run = _next_run(run)
    from analyzer.drawing import Drawing

    # Before the other imports, which take as long as the other process needs to get ready.
    with Drawing() as drawing:
        from analyzer.report import analyse
        from analyzer.text import Style, lines
        from analyzer.writer import chart_specs, write, write_charts
        from loadproof.errors import ExitCode, RunFolderError
        from loadproof.verdict.result import Verdict

        if baseline:
            from analyzer.digests import keep_digests

            keep_digests(run, baseline, tuple(rule or ()), unlike=unlike)
        analysed = analyse(run, extra_rules=tuple(rule or ()))
        drawing.begin(list(chart_specs(analysed).values()))
        write(analysed, run, None)
        try:
            write_charts(analysed, charts / run.name, drawing)
        except RunFolderError as error:
            # The verdict stands without pictures: whoever waits for its exit code gets it.
            print(f"loadproof: warning: there are no charts: {error}", file=sys.stderr)
    for name in form or ():
        from analyzer.formats.exports import export

        for path in export(analysed, run, name.value):
            if not quiet:
                print(f"loadproof: wrote {path}", file=sys.stderr)
    _tell_github(analysed, sys.stderr if json_output else sys.stdout)
    if json_output:
        sys.stdout.write((run / "results.json").read_text(encoding="utf-8"))
    else:
        colours = {
            Style.PASS: "bold green",
            Style.WARN: "bold yellow",
            Style.FAIL: "bold red",
            Style.INVALID: "bold magenta",
            Style.PLAIN: "",
            Style.FAINT: "dim",
        }
        console = Console(highlight=False)
        shown = lines(analysed, run / "report.html")
        for line in shown[:1] if quiet else shown:
            console.print(Text(line.text, style=colours[line.style]), soft_wrap=True)
    return {
        Verdict.PASS: ExitCode.OK,
        Verdict.WARN: ExitCode.FAIL if strict else ExitCode.OK,
        Verdict.FAIL: ExitCode.FAIL,
        Verdict.INVALID: ExitCode.INVALID,
    }[analysed.verdict]


def _next_run(folder: Path) -> Path:
    """The next run in a folder. A signal ends the waiting, and never the judging: who waits wants the verdict."""
    import signal
    import sys

    from analyzer.awaited import NextRun

    heard: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: heard.append(number))
    return NextRun(folder).wait(
        lambda: len(heard), lambda text: print(f"loadproof: {text}", file=sys.stderr, flush=True)
    )


def _tell_github(analysed: Report, stream: TextIO) -> None:
    """In a GitHub Actions job: annotations of the step, and the summary that the job's page shows."""
    import os
    import sys

    from analyzer.github import annotation_lines, job_summary

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in annotation_lines(analysed):
        print(line, file=stream)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("ab") as file:
                file.write(job_summary(analysed))
        except OSError as error:
            print(f"loadproof: warning: no job summary: {summary}: {error.strerror}", file=sys.stderr)
