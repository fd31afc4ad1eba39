"""Rows of data for users, from CSV or JSON, such that no two users of a run ever get the same one."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from loadproof.errors import UsageError


class Rows:
    """A file of rows beside the scenario's own file; read once a process, when the first row is wanted.

    A CSV file has a header line and gives strings; a JSON file is a list of objects. The rows of one user are
    those at its slot, its slot + n, its slot + 2n, ... for a run of n user slots: slots are unique over all
    workers, so rows are too, without a word between workers. A user whose share is used up starts it again
    with `reuse`, else it ends.
    """

    def __init__(self, path: str | Path, *, reuse: bool = False) -> None:
        named = Path(path)
        if not named.is_absolute():
            # The frame that wrote `Rows(...)`: a path means the same wherever the command is typed.
            named = Path(sys._getframe(1).f_code.co_filename).parent / named  # noqa: SLF001 the documented way
        self.path = named
        self.reuse = reuse

    @cached_property
    def all(self) -> list[dict[str, Any]]:
        """Every row; UsageError, with the file and what is wrong with it."""
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path}: the rows cannot be read: {error}") from error
        rows = self._json(text) if self.path.suffix == ".json" else self._csv(text)
        if not rows:
            raise UsageError(f"{self.path}: has no rows")
        return rows

    def position(self, slot: int, slots: int, taken: int) -> int | None:
        """Where the row stands that a user takes after `taken` others; None when its share is used up."""
        share = len(range(slot, len(self.all), slots))
        if share == 0 or (taken >= share and not self.reuse):
            return None
        return slot + (taken % share) * slots

    def _csv(self, text: str) -> list[dict[str, Any]]:
        reader = csv.reader(text.splitlines())
        header = next(reader, None)
        if not header:
            raise UsageError(f"{self.path}: is empty: its first line must name the columns")
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                raise UsageError(
                    f"{self.path}:{reader.line_num}: has {len(cells)} cells, the header {len(header)}"
                )
            rows.append(dict(zip(header, cells, strict=True)))
        return rows

    def _json(self, text: str) -> list[dict[str, Any]]:
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise UsageError(f"{self.path}: is no JSON: {error}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UsageError(f"{self.path}: must be a list of objects")
        return rows


class UserRows:
    """One user's share of the rows."""

    _stock_slots = itertools.count()
    """Slots in plain Locust, which knows none: unique within this process only."""

    def __init__(self, rows: Rows, slot: int | None, slots: int | None) -> None:
        self._rows = rows
        if slot is None or slots is None:
            slot, slots = next(self._stock_slots), len(rows.all)
            slot %= slots
        self._slot = slot
        self._slots = slots
        self._taken = 0

    def take(self) -> dict[str, Any] | None:
        """The next row of the share; None when there is none left."""
        position = self._rows.position(self._slot, self._slots, self._taken)
        if position is None:
            return None
        self._taken += 1
        return self._rows.all[position]
