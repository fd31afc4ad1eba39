"""What the exporter is told of a run beside its intervals, at the moment of a scrape."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from loadproof.verdict.result import RuleResult


class RunState(StrEnum):
    WAITING = "waiting"
    """For workers, and for the zero of the run clock."""
    RUNNING = "running"
    DRAINING = "draining"
    ENDED = "ended"
    """Every journal has ended or is lost: nothing changes any more."""


@dataclass(frozen=True)
class Look:
    """One look at the run."""

    state: RunState
    at_us: int
    """The run clock, not before 0."""
    phase: str | None = None
    users_planned: int | None = None
    workers: Mapping[str, str] | None = None
    """Those that are up, each with its state in Locust's words; None before any is known."""
    memory: Mapping[str, int] | None = None
    """Resident bytes of those that have told of them."""
    addresses: Mapping[str, str] | None = None
    """Where the connections come from of those that are up, as text without a port."""
    torn: int = 0
    """Worker processes that are gone, and whose journals will never have an end."""
    rules: tuple[RuleResult, ...] = ()
    """As of the judge's last look."""
    faults: Collection[str] = frozenset()
    """The names of those that are open now."""
    guards: Collection[tuple[str, str]] = frozenset()
    """Each (guard, level) that was reached."""
