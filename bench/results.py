"""Tables of measured figures, and `bench/RESULTS.md` that keeps them."""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 0) -> str:
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Quotients round by round, so that what slows a whole round down cancels out."""
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def conditions(rounds: int, *more: str) -> str:
    """When, on what machine and with which versions: the lines above a table."""
    machine = (
        f"{psutil.cpu_count()} processors ({platform.machine()}), "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} {platform.release()}"
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("locust", "gevent", "geventhttpclient"))
    others = "".join(f", {name}" for name in more)
    # Everything that we started has ended by now.
    strangers = psutil.cpu_percent(interval=2)
    disturbed = f" NOT IDLE: other processes used {strangers:.0f} % of the machine." if strangers > 5 else ""
    return (
        f"{rounds} round{'s'[: rounds != 1]}, {datetime.now(UTC):%Y-%m-%d}. {machine}; "
        f"Python {platform.python_version()}, {packages}{others}.{disturbed}"
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def compared(
    figures: Mapping[str, Sequence[float]],
    unit: str,
    base: str,
    digits: int = 0,
    **more: Mapping[str, str],
) -> str:
    """A row a generator: median and spread, and its ratio to the base's, which must have as many rounds.

    `more` are further columns: the head, with `_` for a space, and each generator's cell.
    """
    rows = []
    for name, values in figures.items():
        ratio = ratios(values, figures[base]).text(2) if base in figures else "-"
        cells = [column[name] for column in more.values()]
        rows.append([name, Spread.of(values).text(digits), ratio, *cells])
    heads = [head.replace("_", " ") for head in more]
    return markdown(["generator", unit, f"ratio to {base}", *heads], rows)


def write_section(heading: str, text: str) -> None:
    """Put the text under its heading (`## ...`), in place of what stood there."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Measured\n"
    sections = old.split("\n## ")
    title = heading.removeprefix("## ")
    kept = [section for section in sections[1:] if section.split("\n", 1)[0] != title]
    RESULTS.write_text(
        "\n## ".join(
            [
                sections[0].rstrip() + "\n",
                *(f"{section.rstrip()}\n" for section in kept),
                f"{title}\n\n{text}\n",
            ]
        ),
        encoding="utf-8",
    )
