"""What is open, on disk: a keeper that is killed leaves it to the next."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Final

from loadproof.faults.schedule import Stage

NO_STATE: Final = "it does not say which faults are open, and how each is reverted"
Record = dict[str, Any]
"""`stage`, `undo`, and the lines that were told of a fault."""


class State:
    """The file is replaced in one step, before anything is broken and after it is whole again."""

    def __init__(self, path: str) -> None:
        """Go on with what the file says; nothing is open where there is none.

        ValueError where it is not what `write` has left.
        """
        self._path = Path(path)
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        if self._path.is_file():
            self._records = _records(self._path.read_text(encoding="utf-8"))

    def of(self, name: str) -> Record | None:
        return self._records.get(name)

    @property
    def open(self) -> frozenset[str]:
        """The names of those that are."""
        return frozenset(name for name, record in self._records.items() if record["stage"] == Stage.OPEN)

    def write(self, name: str, record: Record) -> None:
        """OSError, and nothing is changed, if the file cannot be written."""
        with self._lock:
            records = {**self._records, name: record}
            new = self._path.with_name(f"{self._path.name}.new")
            with new.open("w", encoding="utf-8") as file:
                json.dump(records, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            self._records = records


def _records(text: str) -> dict[str, Record]:
    try:
        told = json.loads(text)
    except RecursionError as error:
        raise ValueError(NO_STATE) from error
    if not isinstance(told, dict) or not all(map(_is_record, told.values())):
        raise ValueError(NO_STATE)
    return told


def _is_record(record: object) -> bool:
    return (
        isinstance(record, dict)
        and record.get("stage") in list(Stage)
        and isinstance(record.get("undo"), dict)
        and isinstance(record.get("told"), list)
        and all(map(_is_line, record["told"]))
    )


def _is_line(line: object) -> bool:
    kinds = {"kind": str, "who": str, "at_us": int, "text": str}
    return isinstance(line, dict) and all(isinstance(line.get(key), kind) for key, kind in kinds.items())
