"""The service's configuration file: what it says now, or what it said last where it is gone or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from pathlib import Path


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    notes_per_page: Annotated[int, Meta(ge=1, le=100)] = 20
    """Where a request does not say its own limit."""


class Configuration:
    """Fails open: to serve by the last good settings is better than not to serve."""

    def __init__(self, path: Path) -> None:
        """Makes the file where there is none."""
        self._path = path
        self._known = Settings()
        self._read_ns = 0
        self.error = ""
        """Why the settings are not the file's; empty when they are."""
        if not path.exists():
            path.write_bytes(msgspec.json.encode(self._known))

    def current(self) -> Settings:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._known = msgspec.json.decode(self._path.read_bytes(), type=Settings)
                self._read_ns = changed_ns
            self.error = ""
        except OSError as error:
            self.error = error.strerror or str(error)
        except msgspec.MsgspecError as error:
            self.error = str(error)
        return self._known
