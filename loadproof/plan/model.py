"""The plan: what is asked of a run, in base units, frozen."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict

from loadproof.errors import Position  # noqa: TC001 pydantic needs it when the class is made
from loadproof.plan.flows import Flow  # noqa: TC001 as above

EMBEDDED: Final = "embedded"
JOIN_TIMEOUT_US: Final = 300_000_000
NO_FAULT: Final = "none"
"""What no fault may be called: in rules `fault=none` takes what lay in no fault's window with any part."""
PARTS: Final = 1_000_000
"""Shares of guards are whole numbers of millionths."""
RATE_PERIOD_S: Final = 1_000_000
"""Arrival rates are whole numbers of arrivals in so many seconds."""


Setting: TypeAlias = int | str | dict[str, bool | int | float | str]


class ArrivalProcess(StrEnum):
    """How the intended starts of an open plan follow each other."""

    CONSTANT = "constant"
    """Evenly: the next is due when the planned rate has brought one more."""
    POISSON = "poisson"
    """At random, independent of each other, with the planned rate as their mean."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Phase(_Frozen):
    """One stretch of the load.

    Closed: users move on a straight line from `users_from` to `users_to`. Open: the rate of arrivals does, and
    `users_from` = `users_to` users serve them.
    """

    name: str
    duration_us: int
    users_from: int
    users_to: int
    warmup: bool = False
    arrivals_from: int | None = None
    """Intended starts of tasks in `RATE_PERIOD_S` seconds; None, as `arrivals_to`, in a closed phase."""
    arrivals_to: int | None = None
    pace_us: int | None = None
    """From one start of a user's tasks to the next, of a closed phase; None where a user never waits for it."""


class Region(_Frozen):
    """Where load comes from; `weight` None means by the number of workers; `max_users` None means no cap.

    `quorum` of its workers are the least that the run may start or go on with.
    """

    name: str
    workers: int = 1
    max_users: int | None = None
    weight: float | None = None
    quorum: int = 1


class RuleText(_Frozen):
    """A rule as it was written; `loadproof.verdict` reads the text."""

    text: str
    optional: bool = False
    abort: bool = False
    """It ends the run as soon as it is broken."""
    delay_us: int = 0
    """Run time before which an abort rule ends nothing."""
    position: Position | None = None
    """Where the text begins in the plan's file, for messages."""


class Prometheus(_Frozen):
    """Where `promql(...)` rules, and resources that are not on this machine, are asked for."""

    url: str
    token: str | None = None
    """The environment variable that holds a bearer token; never the token."""
    resources: dict[str, str] = {}
    """`target.cpu`, ... -> PromQL that gives it."""


class Guard(_Frozen):
    """A level at which the run warns, and one at which it is stopped; in the unit that `guards.KINDS` says."""

    name: str
    """`memory`, `target.cpu`, ..."""
    warn: int | None = None
    stop: int | None = None


class Fault(_Frozen):
    """Something that is broken on purpose for a while, and made whole again."""

    kind: str
    """One of `faults.KINDS`."""
    name: str
    """Different from that of every other fault of the plan."""
    at_us: int
    """Run time at which it begins."""
    for_us: int
    settings: dict[str, Setting] = {}
    """What its kind asks for, under the plan's own keys: microseconds, bytes a second, text, switches."""

    @property
    def until_us(self) -> int:
        return self.at_us + self.for_us


class Search(_Frozen):
    """How the highest load that the target sustains is looked for, in the last phase of the plan.

    Loads are users, in an open plan arrivals in `RATE_PERIOD_S` seconds. What is None follows from that phase.
    """

    lowest: int | None = None
    """The first load that is tried."""
    highest: int | None = None
    """No load above it is tried."""
    settle_us: int | None = None
    """From a change of the load to where it is looked at."""
    hold_us: int | None = None
    """How long it is looked at."""
    precision: int = 50_000
    """In millionths: the capacity is to be known to so much of itself, either way."""
    confirm: int = 2
    """Probes in a row that must hold at the load that is named in the end."""


class Tolerate(_Frozen):
    """What may go wrong without making the run INVALID; it is WARN then."""

    torn_epochs: int = 0


class Plan(_Frozen):
    """An effective plan: flags, environment and overlays are already applied."""

    name: str
    title: str
    suite: str | None
    """A folder of `locustfiles/`; at most one of `suite` and `locustfile` is set, and none only beside `flows`."""
    locustfile: str | None
    target: str
    """`embedded` or a URL without a trailing slash."""
    load: tuple[Phase, ...]
    scenarios: dict[str, float] | None
    """User class name -> weight; None means every class and flow with its own weight."""
    regions: tuple[Region, ...]
    rules: tuple[RuleText, ...]
    seed: int | None = None
    stop_timeout_us: int | None = None
    """None means the default of the verdict's rules: max(30 s, twice the largest latency limit)."""
    join_timeout_us: int | None = None
    """How long to wait for workers, before the load and for a quorum that is lost in its course; None: `JOIN_TIMEOUT_US`."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts besides loopback that this plan may load without `--yes`."""
    tolerate: Tolerate = Tolerate()
    flows: tuple[Flow, ...] = ()
    """Scenarios told in the plan, beside those of suite or locustfile."""
    secrets: tuple[str, ...] = ()
    """Environment variables whose values flows take when they run, and nothing writes down."""
    arrival_process: ArrivalProcess = ArrivalProcess.CONSTANT
    """Of an open plan."""
    prometheus: Prometheus | None = None
    guards: tuple[Guard, ...] = ()
    faults: tuple[Fault, ...] = ()
    search: Search | None = None

    @property
    def open(self) -> bool:
        """Whether the load is arrivals, in every phase, and not users that start their next task themselves."""
        return self.load[0].arrivals_from is not None

    @property
    def duration_us(self) -> int:
        return sum(phase.duration_us for phase in self.load)

    @property
    def max_users(self) -> int:
        """The most that are there at once; of an open plan the largest pool."""
        return max(max(phase.users_from, phase.users_to) for phase in self.load)

    @property
    def max_arrivals(self) -> int:
        """The highest rate, in arrivals in `RATE_PERIOD_S` seconds; 0 in a closed plan."""
        return max(max(phase.arrivals_from or 0, phase.arrivals_to or 0) for phase in self.load)
