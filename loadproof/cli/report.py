"""`loadproof report`: a run folder judged and written as reports, again or for the first time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, such as reports/enterprise-20261121T024700Z.")],
    rule: options.Rules = None,
    charts: Annotated[Path, typer.Option(help="Where the PNG charts go.")] = Path("charts"),
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
) -> int:
    """Judge a run folder and write its reports; the exit code is the verdict's."""
    import sys

    from rich.console import Console
    from rich.text import Text

    from analyzer.report import analyse
    from analyzer.text import closing_lines
    from analyzer.writer import write
    from loadproof.errors import ExitCode
    from loadproof.verdict.result import Verdict

    analysed = analyse(run, extra_rules=tuple(rule or ()))
    paths = write(analysed, run, charts)
    if json_output:
        sys.stdout.write(paths["results.json"].read_text(encoding="utf-8"))
    else:
        console = Console(highlight=False)
        for style, line in closing_lines(analysed, run, brief=quiet):
            console.print(Text(line, style=style), soft_wrap=True)
    return {
        Verdict.PASS: ExitCode.OK,
        Verdict.WARN: ExitCode.FAIL if strict else ExitCode.OK,
        Verdict.FAIL: ExitCode.FAIL,
        Verdict.INVALID: ExitCode.INVALID,
    }[analysed.judgement.verdict]
