"""`loadproof compare`: a run beside its baselines, without a change to any of their folders."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 as below
from typing import Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered


def compare(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder in question.")],
    baseline: Annotated[
        list[str],
        typer.Argument(
            metavar="BASELINE...",
            help="Run folders, a folder of them, or latest:NAME; several show the noise between runs.",
        ),
    ],
    rule: options.Rules = None,
    unlike: options.Unlike = False,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Tell whether a run is the same as its baselines, better or worse: 0 same or better, 3 worse, 4 cannot tell."""
    import json

    from analyzer.baselines import find_baselines
    from analyzer.compare import compare as compared
    from analyzer.digests import baseline_digest, rules_of
    from analyzer.folder import open_run
    from analyzer.results_json import comparison
    from loadproof.cli.compared import print_comparison
    from loadproof.cli.tables import wide_console
    from loadproof.errors import ExitCode, UsageError
    from loadproof.verdict.compared import Word

    rules = rules_of(run, rule or ())
    paths = find_baselines(baseline, run.resolve().parent, run, open_run(run).plan.name)
    found = compared(
        baseline_digest(run, rules), [baseline_digest(path, rules) for path in paths], leave=unlike
    )
    if found.unlike and not unlike:
        differing = "\n".join(f"  {sentence}" for sentence in found.unlike)
        raise UsageError(f"these runs are not alike:\n{differing}\nsay --unlike to compare them all the same")
    if json_output:
        print(json.dumps(comparison(found), indent=2, ensure_ascii=True, allow_nan=False))
    else:
        print_comparison(found, wide_console(), quiet=quiet)
    return {Word.WORSE: ExitCode.FAIL, Word.CANNOT_TELL: ExitCode.INVALID}.get(found.word, ExitCode.OK)
