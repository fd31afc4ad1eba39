"""What `report --format` knows: each form a set of files, by their paths below a folder of the form's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.folder import open_run
from analyzer.formats import acgs, azora, codepal, openmetrics, writing
from analyzer.run_clock import run_began
from analyzer.whole_file import put
from loadproof.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from analyzer.model import Report

    Files = Mapping[str, bytes | Iterable[bytes]]


def _hlog(report: Report, folder: Path) -> Files:
    from analyzer.formats import hlog  # noqa: PLC0415 a library that only this form needs

    journals = [source.intervals for source in open_run(folder).sources()]
    return {"latency.hlog": hlog.lines(journals, report.run, run_began(report))}


def _openmetrics(report: Report, folder: Path) -> Files:
    began = run_began(report)
    if began is None:
        raise RunFolderError(
            f"{folder}: neither events.jsonl nor manifest.json tells when the run began, and OpenMetrics needs the time"
        )
    return {"metrics.txt": openmetrics.lines(report, began.timestamp())}


FORMATS: Final[dict[str, Callable[[Report, Path], Files]]] = {
    "acgs": lambda report, _: acgs.files(report),
    "azora": lambda report, _: azora.files(report),
    "codepal": lambda report, _: codepal.files(report),
    "writing": lambda report, _: writing.files(report),
    "hlog": _hlog,
    "openmetrics": _openmetrics,
}


def export(report: Report, folder: Path, name: str) -> list[Path]:
    """Write one form into a folder of its name in the run folder; RunFolderError where it cannot be."""
    return [put(folder / name / path, content) for path, content in FORMATS[name](report, folder).items()]
