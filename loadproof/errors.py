"""Every error that loadproof raises on purpose, and the exit codes of its commands.

LoadproofError                 something to tell the user: what happened, where, what to do
├── UsageError                 a command or its arguments cannot be carried out
│   └── PlanError              a plan has mistakes; carries all of them
├── RuleSyntaxError            a rule's text does not follow the grammar; knows the column
├── UnitError                  a number with a unit cannot be read
├── JournalError               a journal is damaged or cannot be written
├── RunFolderError             a run folder lacks what a report needs
├── NoRunError                 the run that was waited for was never begun
├── QuorumError                fewer workers came than the plan needs
├── NotStartedError            the end came before anybody pressed Start in the web UI
├── TargetError                the target does not answer as it must before the first user
├── UndeclaredNameError        a user class used a check or metric that it did not declare
└── RequestError               a request failed; its text is the same for the same cause
    ├── ResolveError           the host's name has no address
    ├── ConnectError           no connection: refused, unreachable, a proxy said no
    ├── TlsError               no TLS: a bad certificate, no common version, no TLS at all
    ├── RequestTimeoutError    the time to connect, to read or for the whole request is over
    ├── ConnectionLostError    closed or reset before the answer was whole
    ├── MalformedAnswerError   the answer breaks HTTP's rules
    ├── TooManyRedirectsError
    └── HttpStatusError        the answer's status is 400 or above
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means; a signal outranks STOPPED, which outranks a verdict."""

    OK = 0
    """PASS or WARN."""
    INTERNAL = 1
    """A defect of loadproof itself."""
    USAGE = 2
    """Bad arguments or a bad plan; nothing was run."""
    FAIL = 3
    """A rule is broken (or WARN under --strict)."""
    INVALID = 4
    """The run proves nothing: evidence is missing or the generator was not fit."""
    STOPPED = 5
    """Stopped by a guard or by `loadproof stop`."""
    SIGINT = 130
    SIGTERM = 143


class LoadproofError(Exception):
    """Base of all; `str(error)` is one message for the user, without a traceback."""

    exit_code = ExitCode.INTERNAL


class UsageError(LoadproofError):
    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Position:
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int
    text: str
    """The line itself, without its end."""


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a plan, and what to do about it."""

    message: str
    position: Position | None = None
    hint: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        if self.position is None:
            return f"{self.message}{hint}"
        place = self.position
        # A tab before the caret would move it; the line is shown with single spaces in their place.
        line = place.text.replace("\t", " ")
        start = max(0, place.column - 60)
        shown = line[start : start + 100]
        caret = " " * (place.column - 1 - start) + "^"
        return f"{place.file}:{place.line}:{place.column}: {self.message}{hint}\n    {shown}\n    {caret}"


class PlanError(UsageError):
    """All mistakes of one plan at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class RuleSyntaxError(LoadproofError):
    """A rule's text cannot be read; `column` counts from 1 within the rule's text."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, column: int, hint: str | None = None) -> None:
        self.column = column
        self.hint = hint
        super().__init__(message)


class UnitError(LoadproofError, ValueError):
    exit_code = ExitCode.USAGE


class JournalError(LoadproofError):
    pass


class RunFolderError(UsageError):
    pass


class NoRunError(LoadproofError):
    exit_code = ExitCode.INVALID


class QuorumError(LoadproofError):
    exit_code = ExitCode.INVALID


class NotStartedError(LoadproofError):
    exit_code = ExitCode.STOPPED


class TargetError(UsageError):
    pass


class UndeclaredNameError(LoadproofError):
    pass


class RequestError(LoadproofError):
    """What the network or the target did to a request; an answer carries it, a client method never raises it."""


class ResolveError(RequestError):
    pass


class ConnectError(RequestError):
    pass


class TlsError(RequestError):
    pass


class RequestTimeoutError(RequestError, TimeoutError):
    pass


class ConnectionLostError(RequestError):
    pass


class MalformedAnswerError(RequestError):
    pass


class TooManyRedirectsError(RequestError):
    pass


class HttpStatusError(RequestError):
    """Raised by `raise_for_status` alone."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
