"""Users of the system under test: what ours know of one, and those that have registered and nobody uses yet."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MOST_WAITING: Final = 10_000
Profile = dict[str, Any]


class Registered(NamedTuple):
    """Somebody who may sign in."""

    id: int
    name: str
    password: str


waiting: Final[deque[Registered]] = deque(maxlen=MOST_WAITING)
"""Created by this process's users and passed on to the next one who looks for somebody to be."""


def fresh_login() -> dict[str, str]:
    """A name that nobody has, also on another worker: not from `random`, which workers with one seed share."""
    return {"name": f"user-{secrets.token_hex(8)}", "password": secrets.token_urlsafe(12)}


class Stored(NamedTuple):
    version: int
    profile: Profile


@dataclass
class Account:
    """One that we are signed in to and nobody else changes, so that every answer is known."""

    id: int
    headers: dict[str, str] = field(repr=False)
    """With the token, which no evidence may show."""
    stored: Stored | None = None
    """The profile as we wrote or read it last; None before that."""
    perhaps: list[Stored] = field(default_factory=list)
    """Of writes since then of which nobody knows whether they were carried out."""
    notes: int = 0
    """Written for certain since `notes_before`."""
    notes_perhaps: int = 0
    notes_before: int | None = None
    """How many there were when we first looked."""

    def may_be(self, found: Stored, *, old: bool) -> bool:
        """Whether the profile may be `found`, or, with `old`, may have been."""
        if self.stored is None:
            return True
        return found in (self.stored, *self.perhaps) or (old and found.version < self.stored.version)

    def know(self, now: Stored) -> None:
        """That this is stored now, and that nothing else is on its way."""
        if now != self.stored:
            self.stored = now
            self.perhaps.clear()

    def may_have_notes(self, total: int, *, old: bool) -> bool:
        if self.notes_before is None:
            return True
        most = self.notes_before + self.notes + self.notes_perhaps
        return total <= most and (old or total >= self.notes_before + self.notes)
