"""A file written whole or not at all: what was there before stays until the new one is on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def put(path: Path, content: bytes | Iterable[bytes]) -> Path:
    """Put this content there; RunFolderError, with the path and what to do, when it cannot be."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with new.open("wb") as file:
                file.writelines((content,) if isinstance(content, bytes) else content)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be written: {error.strerror}; make the place writable, or copy the run folder "
            "to one that is and ask for its report there"
        ) from error
    return path
