"""A file whose content is a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def read_token(path: Path | None, flag: str) -> str | None:
    """None without a file; UsageError, naming the flag, for one that holds no token."""
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(
            f"{flag}: {path} cannot be read: {reason}; write the token into it, one line"
        ) from error
    if not token.isascii() or not token.isprintable() or not token:
        raise UsageError(f"{flag}: {path} holds no token: one line of printable ASCII")
    return token
