"""Who may use the web UI: one token, one-time links, sessions, and how often somebody may guess."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SESSIONS: Final = 100
"""The oldest is forgotten for one more."""
GUESSES: Final = 10
"""Wrong ones from one address in `GUESS_S`, before it has to wait."""
GUESS_S: Final = 60.0
ADDRESSES: Final = 1_000
"""Whose guesses are remembered."""


class Login:
    """Holds what a browser must show: the token, a link that works once, or the cookie that either of them gave.

    None of them is ever compared but in constant time, and none is kept from one process to the next.
    """

    def __init__(self, token: str | None, *, now: Callable[[], float] = time.monotonic) -> None:
        """Without a token nobody can log in but by a link."""
        self._token = None if token is None else token.encode()
        self._links: list[bytes] = []
        self._sessions: OrderedDict[bytes, None] = OrderedDict()
        self._guesses: OrderedDict[str, deque[float]] = OrderedDict()
        self._now = now

    @property
    def has_token(self) -> bool:
        """Whether there is a token that somebody may know."""
        return self._token is not None

    def new_link(self) -> str:
        """The secret of a link, for whoever sees the terminal."""
        link = secrets.token_urlsafe(32)
        self._links.append(link.encode())
        return link

    def spend_link(self, said: str) -> str | None:
        """A new session for who shows an unspent link, which is spent by that."""
        link = _found(said.encode(), self._links)
        if link is None:
            return None
        self._links.remove(link)
        return self._new_session()

    def log_in(self, said: str) -> str | None:
        """A new session for who knows the token."""
        return self._new_session() if self.is_token(said) else None

    def is_token(self, said: str) -> bool:
        return self._token is not None and hmac.compare_digest(said.encode(), self._token)

    def is_session(self, said: str) -> bool:
        return _found(said.encode(), self._sessions) is not None

    def may_guess(self, address: str) -> bool:
        """False for an address that was wrong too often lately."""
        wrong = self._guesses.get(address, deque())
        while wrong and wrong[0] < self._now() - GUESS_S:
            wrong.popleft()
        return len(wrong) < GUESSES

    def guessed_wrong(self, address: str) -> None:
        self._guesses.setdefault(address, deque(maxlen=GUESSES)).append(self._now())
        self._guesses.move_to_end(address)
        while len(self._guesses) > ADDRESSES:
            self._guesses.popitem(last=False)

    def _new_session(self) -> str:
        session = secrets.token_urlsafe(32)
        self._sessions[session.encode()] = None
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return session


def _found(said: bytes, known: Iterable[bytes]) -> bytes | None:
    """The one among these that was said; looks at all of them, whatever was said."""
    found = None
    for one in known:
        if hmac.compare_digest(said, one):
            found = one
    return found
