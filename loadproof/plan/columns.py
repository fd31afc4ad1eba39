"""The names that a file of rows gives its values, without reading all of it."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MAX_HEADER: Final = 100_000


def columns_of(path: Path) -> tuple[str, ...]:
    """The columns that `${name}` can name: of a CSV file's first line, or the keys that all JSON objects have.

    Raises OSError, or ValueError with what is wrong with the file.
    """
    if path.suffix == ".json":
        return _json_keys(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(io.StringIO(file.read(_MAX_HEADER))), None)
    if not header:
        raise ValueError("it is empty: its first line must name the columns")
    return tuple(name for name in header if NAME.fullmatch(name))


def _json_keys(path: Path) -> tuple[str, ...]:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it must be a list of objects")
    return tuple(name for name in rows[0] if NAME.fullmatch(name) and all(name in row for row in rows))
