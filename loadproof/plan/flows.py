"""Flows: scenarios that a plan tells step by step, in base units, frozen.

A text that is called a template holds `${name}` for what is captured or stands in the rows; see `templates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from loadproof.plan.templates import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
SOURCES: Final = ("json", "header", "regex")


@dataclass(frozen=True)
class Span:
    """A time drawn evenly between two, which may be the same."""

    low_us: int
    high_us: int


NO_TIME: Final = Span(0, 0)


@dataclass(frozen=True)
class RowsFile:
    file: str
    """An absolute path."""
    columns: tuple[str, ...]
    """Kept in the plan, so that a run folder can be read where the file is not."""
    reuse: bool = True
    """A user that has been through its rows starts them again; else it ends."""


@dataclass(frozen=True)
class Capture:
    """A value taken from an answer; it fails the check `capture(name)` if it is not there."""

    name: str
    source: str
    """One of SOURCES."""
    what: str
    """A path such as `items.0.id`, a header's name, or a regular expression."""

    @property
    def check(self) -> str:
        return f"capture({self.name})"


@dataclass(frozen=True)
class Expect:
    """What an answer must be; `status` decides whether the request is ok, the others are one check."""

    status: tuple[int, ...] = ()
    """Empty means any below 400."""
    text: str | None = None
    """A template that the body contains."""
    json: dict[str, Any] = field(default_factory=dict)
    """Path -> value; texts are templates."""
    headers: dict[str, str] = field(default_factory=dict)
    """Name -> template of the value."""

    @property
    def is_check(self) -> bool:
        return self.text is not None or bool(self.json) or bool(self.headers)


@dataclass(frozen=True)
class Request:
    method: str
    """One of METHODS."""
    path: str
    """A template that starts with `/` or a reference."""
    name: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    json: Any = None
    """A body as JSON, its texts templates; at most one of `json`, `form` and `body` is not None."""
    form: dict[str, str] | None = None
    body: str | None = None
    expect: Expect = Expect()
    check: str | None = None
    capture: tuple[Capture, ...] = ()

    @property
    def label(self) -> str:
        return label_of(self.name or f"{self.method.upper()} {self.path}")

    @property
    def check_name(self) -> str:
        return self.check or self.label

    @property
    def checks(self) -> Iterator[str]:
        if self.expect.is_check:
            yield self.check_name
        yield from (capture.check for capture in self.capture)


@dataclass(frozen=True)
class Think:
    time: Span


@dataclass(frozen=True)
class Loop:
    times: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Alternative:
    weight: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class OneOf:
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True)
class Message:
    """A message sent, one received, or one sent and its answer received; at least one is not None."""

    send: str | None = None
    """A template."""
    receive: str | None = None
    """A template that the message contains."""
    check: str = ""
    """The name of the check that `receive` is."""
    capture: tuple[Capture, ...] = ()

    @property
    def checks(self) -> Iterator[str]:
        if self.receive is not None:
            yield self.check
        yield from (capture.check for capture in self.capture)


@dataclass(frozen=True)
class WebSocket:
    path: str
    steps: tuple[Step, ...]
    """Messages, thinks and loops of these."""
    name: str | None = None

    @property
    def label(self) -> str:
        return label_of(self.name or f"WEBSOCKET {self.path}")


Step: TypeAlias = Request | Think | Loop | OneOf | WebSocket | Message


@dataclass(frozen=True)
class Flow:
    """A scenario; one pass through its steps is one task."""

    name: str
    """Fit for the name of a class."""
    steps: tuple[Step, ...]
    weight: float = 1.0
    wait: Span = NO_TIME
    """Between two passes."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of every request; templates that know the rows only."""
    rows: RowsFile | None = None
    secrets: tuple[str, ...] = ()
    """The plan's: environment variables that templates may name."""

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of all checks that a pass may make, in the order of the steps."""
        return tuple(dict.fromkeys(name for step in walk(self.steps) for name in _checks(step)))


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step at every depth, in order."""
    for step in steps:
        yield step
        match step:
            case Loop() | WebSocket():
                yield from walk(step.steps)
            case OneOf():
                for alternative in step.alternatives:
                    yield from walk(alternative.steps)


def _checks(step: Step) -> Iterator[str]:
    if isinstance(step, Request | Message):
        yield from step.checks
