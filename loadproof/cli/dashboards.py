"""`loadproof dashboards`: Grafana's dashboards, written from their code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dashboards(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the JSON files go.")] = Path("dashboards"),
    reports_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where the reports folder is served, for a link to the run's report."
        ),
    ] = None,
) -> int:
    """Write the Grafana dashboards of a run: overview, regions, generator, governance, elasticity."""
    from loadproof.errors import ExitCode, UsageError

    try:
        from monitoring.dashboards.files import write
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("grafana_foundation_sdk"):
            raise
        raise UsageError(
            "dashboards are made with a library that is not installed: pip install 'loadproof[dashboards]'"
        ) from error
    for path in write(out, reports_url):
        print(path)
    return ExitCode.OK
