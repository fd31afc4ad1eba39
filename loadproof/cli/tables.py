"""Tables for the terminal, wide enough for their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH: Final = 140
"""At least: lines that a narrow terminal wraps are better than numbers that are cut."""


def table(headings: Iterable[str], *, left: Iterable[str]) -> Table:
    """A table without lines; all columns but those of `left` are numbers."""
    found = Table(box=None, pad_edge=False)
    for heading in headings:
        found.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return found


def wide_console() -> Console:
    return Console(highlight=False, width=max(Console().width, _WIDTH))
