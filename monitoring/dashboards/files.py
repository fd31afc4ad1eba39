"""All dashboards as the files that Grafana reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.errors import UsageError
from monitoring.dashboards import elasticity, generator, governance, overview, regions
from monitoring.dashboards.board import board

if TYPE_CHECKING:
    from pathlib import Path

BOARDS: Final = {
    "overview": overview,
    "regions": regions,
    "generator": generator,
    "governance": governance,
    "elasticity": elasticity,
}


def documents(reports_url: str | None = None) -> dict[str, str]:
    """File name -> JSON; with `reports_url`, where the reports folder is served, each links to the run's report."""
    return {
        f"{name}.json": board(name, each.TITLE, each.DESCRIPTION, each.panels(), reports_url)
        for name, each in BOARDS.items()
    }


def write(folder: Path, reports_url: str | None = None) -> list[Path]:
    """Write them into the folder, in place of what is there; UsageError where it cannot be written."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents(reports_url).items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UsageError(
            f"cannot write dashboards to {folder}: {error.strerror}; name another with --out"
        ) from error
    return written
