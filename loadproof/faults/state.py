"""What is open, on disk: a keeper that is killed leaves it to the next."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from loadproof.faults.schedule import Stage

Record = dict[str, Any]
"""`stage`, `undo`, and the lines that were told of a fault."""


class State:
    """The file is replaced in one step, before anything is broken and after it is whole again."""

    def __init__(self, path: str) -> None:
        """Go on with what the file says; nothing is open where there is none."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        if self._path.is_file():
            self._records = json.loads(self._path.read_text(encoding="utf-8"))

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
