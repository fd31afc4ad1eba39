"""What is known of a run beside its intervals; the judge looks at nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadproof.verdict.searched import Searched


@dataclass(frozen=True)
class Epoch:
    """One process life of one worker, as its journal shows it."""

    worker: str
    region: str
    epoch: int
    intervals: int
    """Whole intervals that the journal holds."""
    complete: bool
    """The journal ends with a FIN that agrees with what precedes it."""
    damage: str | None = None
    """What is wrong with the journal, in words; None when it is complete."""
    last_us: int | None = None
    """Run-clock end of the last whole interval."""


@dataclass(frozen=True)
class Sample:
    """One reading: of resources `cpu` and `memory` as shares of what may be used, `rss` in bytes; of PromQL as given."""

    at_us: int
    value: float


@dataclass(frozen=True)
class Unsampled:
    """From here on a reading gave no value, until its next sample or the next reason."""

    at_us: int
    why: str


@dataclass(frozen=True)
class Stop:
    """Why a run ended before its plan did."""

    by: str
    """`SIGINT`, `SIGTERM`, `guard`, `hand`, `failure`, `abort`."""
    why: str
    at_us: int
    rule: str | None = None
    """The abort rule that fired, as the grammar prints it."""


@dataclass(frozen=True)
class Absence:
    """Somebody of the cluster was not there from one instant to another; `until_us` None means to the end."""

    who: str
    from_us: int
    until_us: int | None
    why: str = ""


@dataclass(frozen=True)
class Edited:
    """Somebody changed the number of users while the run went on."""

    at_us: int
    was: int
    users: int
    who: str


@dataclass(frozen=True)
class GuardTrip:
    """A guard whose level was reached."""

    guard: str
    level: str
    """`warn`; `stop`, which ended the run; `blind`, when there was nothing more to see."""
    at_us: int
    why: str


@dataclass(frozen=True)
class FaultFailed:
    """A fault of the plan that was not begun, or not ended, or ended too early."""

    fault: str
    at_us: int
    why: str


@dataclass(frozen=True)
class FaultTimes:
    """When a fault of the plan was begun and ended; `ended_us` None if that is not known, or it never was."""

    begun_us: int
    """Before anything was broken."""
    ended_us: int | None = None
    """When everything was whole again."""


@dataclass(frozen=True)
class RunFacts:
    run: str
    planned: tuple[tuple[str, str], ...]
    """(worker, region) of every worker that the plan asked for."""
    epochs: tuple[Epoch, ...]
    resources: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    """`target.cpu`, `target.memory`, `generator.cpu`, ..., `promql(EXPR)` -> samples in order of time."""
    target_counts: dict[str, int] | None = None
    """What the target counted for this run by endpoint, `POST /policies/:id`; None where it does not."""
    stop: Stop | None = None
    clock_error_us: int | None = None
    """The most that a worker's run time may have been off the master's; None where nobody has measured it."""
    smoke: bool = False
    locust_counted: int | None = None
    """Requests in Locust's own statistics on the master."""
    lost: dict[str, str] = field(default_factory=dict)
    """Worker -> what became of it, in words."""
    absences: tuple[Absence, ...] = ()
    """Workers whose load others had to take over."""
    guards: tuple[GuardTrip, ...] = ()
    """In order of time."""
    quorum_lost: tuple[Absence, ...] = ()
    """Regions with fewer workers than the plan needs there."""
    target_count_lost: str | None = None
    """Why a target that counts could not be asked; None where it was, or does not count."""
    goes_on: bool = False
    """A look at a run that has not ended: `stop` says how far it is known, and what lies behind is not missing."""
    unsampled: dict[str, tuple[Unsampled, ...]] = field(default_factory=dict)
    """The names of resources -> when and why there was no value, in order of time."""
    baseline: dict[str, float] = field(default_factory=dict)
    """What a rule measures (`Rule.subject`) -> its value in the baselines, in the rule's unit."""
    users_edited: tuple[Edited, ...] = ()
    """What was changed about the load by hand; the plan that is judged has the changed load."""
    faults_begun: frozenset[str] = frozenset()
    """Names of the plan's faults that were begun."""
    fault_times: dict[str, FaultTimes] = field(default_factory=dict)
    """Name -> when it was begun and ended, of the plan's faults that were begun."""
    faults_failed: tuple[FaultFailed, ...] = ()
    """In order of time."""
    searched: Searched | None = None
    """What the plan's search found; None in a plan without, and as long as it goes on."""
