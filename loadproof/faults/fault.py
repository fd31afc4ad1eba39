"""What the keeper is told: the faults of a plan, and where the parts are that they break."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from loadproof.errors import LoadproofError

Undo: TypeAlias = dict[str, Any]
"""What a revert needs, as JSON: another process may have to do it."""


class FaultError(LoadproofError):
    """A fault could not be begun, or not be ended; the text says why."""


class EndedEarlyError(FaultError):
    """All is whole again, but was so before the fault's time was over; the text says why."""


@dataclass(frozen=True)
class Fault:
    """As `loadproof.plan.model.Fault` has it, without the library behind that one: the keeper is to start at once."""

    kind: str
    name: str
    at_us: int
    for_us: int
    settings: dict[str, Any]

    @property
    def until_us(self) -> int:
        return self.at_us + self.for_us


@dataclass(frozen=True)
class Brief:
    """One run as its keeper knows it."""

    start_ns: int
    """CLOCK_MONOTONIC at run time 0."""
    seed: int
    state: str
    """Path of the file in which is said what is open."""
    target: str
    """URL of the target itself."""
    pids: tuple[int, ...]
    """The processes of a target on this machine, without their children."""
    restart: tuple[str, ...]
    """The command that starts a target which the run has started; empty for any other."""
    proxy: str | None
    """Path of the socket at which the proxy takes its orders."""
    told: bool
    """To end what is open, and to begin nothing."""
    faults: tuple[Fault, ...]

    @classmethod
    def read(cls, document: bytes) -> Brief:
        given = json.loads(document)
        faults = tuple(Fault(**fault) for fault in given.pop("faults"))
        return cls(
            **{**given, "pids": tuple(given["pids"]), "restart": tuple(given["restart"])}, faults=faults
        )


class Kind(Protocol):
    """How one fault is made. Both may be called twice, and `revert` tries everything before it raises FaultError."""

    def prepare(self) -> Undo:
        """What `revert` will need, before anything is changed."""

    def inject(self, undo: Undo) -> None:
        """Break it; FaultError if that cannot be, and `revert` is called then."""

    def revert(self, undo: Undo) -> str:
        """Make it whole again; what is worth telling of that, or nothing. EndedEarlyError if it was so before."""
