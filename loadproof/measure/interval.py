"""An interval: everything that one worker saw in one second of run time.

It is the one record of the project: journals hold it, the link carries it, every verb reads it.
All durations are integer microseconds. A count that a worker cannot know is None.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from loadproof.measure.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable


class Outcome(StrEnum):
    """How one request ended. Latencies of different outcomes never share a histogram."""

    OK = "ok"
    FAILED = "failed"
    """The target answered wrongly, refused, or broke the connection."""
    TIMEOUT = "timeout"
    """No full answer within the client's timeout; slower than any limit."""
    UNFINISHED = "unfinished"
    """Ended by us before an answer; its latency is its age then."""


class SeriesKey(NamedTuple):
    """What tells one series from another; `phase` is that of the request's start."""

    scenario: str
    method: str
    name: str
    outcome: Outcome
    phase: str
    faults: tuple[str, ...] = ()
    """Every fault in whose window a part of the request lay, in the order of their windows."""


class CheckKey(NamedTuple):
    scenario: str
    check: str
    phase: str


class MetricKey(NamedTuple):
    scenario: str
    metric: str
    phase: str


class ErrorKey(NamedTuple):
    scenario: str
    method: str
    name: str
    message: str


class Endpoint(NamedTuple):
    method: str
    name: str


class Timed(StrEnum):
    """What else takes time around requests, and is kept in series of its own."""

    RESOLVE = "resolve"
    """A host name to addresses."""
    CONNECT = "connect"
    """TCP, and a proxy's consent."""
    TLS = "tls"
    ROUND_TRIP = "round_trip"
    """From a WebSocket message to the one that answers it."""
    LIFETIME = "lifetime"
    """Of a WebSocket connection."""


class DurationKey(NamedTuple):
    """`name` is a host and port, or a WebSocket's name; `phase` is that of the beginning."""

    scenario: str
    timed: Timed
    name: str
    phase: str


class ArrivalKey(NamedTuple):
    """`phase` is that of the intended start."""

    scenario: str
    phase: str
    faults: tuple[str, ...] = ()
    """Of starts that were dropped: every fault in whose window they waited with any part, in the order of the
    windows. One that was taken is a request, which has its own."""


@dataclass
class Series:
    """Latencies of one series; `over[i]` counts exactly those above the i-th limit of the header."""

    histogram: Histogram
    over: list[int]
    bytes_received: int = 0
    bytes_sent: int = 0
    first_byte: Histogram | None = None
    """To the first read that brought a part of the answer: an upper bound. None when every answer came whole
    in one read, so that it would be `histogram` again; else it holds as many values as `histogram`."""

    def __iadd__(self, other: Self) -> Self:
        """ValueError when the two count over different numbers of limits."""
        over = [mine + theirs for mine, theirs in zip(self.over, other.over, strict=True)]
        if self.first_byte is not None or other.first_byte is not None:
            first_byte = copy(self.histogram if self.first_byte is None else self.first_byte)
            first_byte += other.histogram if other.first_byte is None else other.first_byte
            self.first_byte = first_byte
        self.histogram += other.histogram
        self.over = over
        self.bytes_received += other.bytes_received
        self.bytes_sent += other.bytes_sent
        return self

    def __copy__(self) -> Self:
        return type(self)(
            copy(self.histogram),
            self.over.copy(),
            self.bytes_received,
            self.bytes_sent,
            copy(self.first_byte),
        )


@dataclass
class CheckCounts:
    """`skipped` checks had no answer to look at, because their request failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __iadd__(self, other: Self) -> Self:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


@dataclass
class MetricSummary:
    """Numbers that a scenario recorded under one name."""

    count: int
    total: float
    min: float
    max: float

    def __iadd__(self, other: Self) -> Self:
        self.count += other.count
        self.total += other.total
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        return self


@dataclass
class Exchanges:
    """The second book: what went over the wire for one endpoint, each redirect hop and each retry by itself."""

    answered: int = 0
    unanswered: int = 0
    unconnected: int = 0
    """Attempts that never had a connection: nothing of them went over the wire."""

    def __iadd__(self, other: Self) -> Self:
        self.answered += other.answered
        self.unanswered += other.unanswered
        self.unconnected += other.unconnected
        return self


@dataclass
class Arrivals:
    """Intended starts of the open model, counted when it is known what became of them."""

    taken: int = 0
    """A user began them."""
    no_user: int = 0
    """Dropped: no user was free for too long. The target's doing."""
    late: int = 0
    """Dropped: our own timer was too late. The generator's doing."""

    def __iadd__(self, other: Self) -> Self:
        self.taken += other.taken
        self.no_user += other.no_user
        self.late += other.late
        return self


@dataclass
class Evidence:
    """One failed check, so that a reader can argue with it; at most a few per interval."""

    scenario: str
    check: str
    at_us: int
    detail: str


class Ended(NamedTuple):
    """How many requests ended, and how."""

    ok: int
    failed: int
    """With timeouts."""
    unfinished: int

    @classmethod
    def of(cls, counts: Iterable[tuple[Outcome, int]]) -> Self:
        ok = failed = unfinished = 0
        for outcome, count in counts:
            if outcome is Outcome.OK:
                ok += count
            elif outcome is Outcome.UNFINISHED:
                unfinished += count
            else:
                failed += count
        return cls(ok, failed, unfinished)


@dataclass
class Interval:
    """One second of one worker; `second` is the index k of [k, k+1) on the run clock."""

    second: int
    start_us: int
    length_us: int
    users: dict[str, int] = field(default_factory=dict)
    """Active users by scenario when the interval closed."""
    user_us: dict[str, int] = field(default_factory=dict)
    """Active time of users within the interval by scenario, in user-microseconds."""
    started: int = 0
    in_flight: int = 0
    """Requests begun and not ended when the interval closed."""
    oldest_us: int | None = None
    """Age of the oldest request in flight."""
    first_done_us: int | None = None
    """Run-clock time of the first request of the interval that the target answered (ok or failed)."""
    last_done_us: int | None = None
    series: dict[SeriesKey, Series] = field(default_factory=dict)
    exchanges: dict[Endpoint, Exchanges] = field(default_factory=dict)
    checks: dict[CheckKey, CheckCounts] = field(default_factory=dict)
    metrics: dict[MetricKey, MetricSummary] = field(default_factory=dict)
    errors: dict[ErrorKey, int] = field(default_factory=dict)
    task_errors: dict[str, int] = field(default_factory=dict)
    """Exceptions that left a task, by their text: a defect of the scenario, or the target's doing."""
    undeclared: set[str] = field(default_factory=set)
    """What scenarios used without declaring it, in words; makes a run INVALID."""
    untracked: int = 0
    """Requests of which only the end was seen: their start could not be counted, so a loss could hide."""
    evidence: list[Evidence] = field(default_factory=list)
    pacer_lag: Histogram = field(default_factory=Histogram)
    """How late the worker's own timers ran."""
    receive_lag: Histogram = field(default_factory=Histogram)
    """From the kernel's receipt of an answer until the user saw it; empty where no kernel stamp came."""
    user_wait: Histogram = field(default_factory=Histogram)
    """From a start's turn until a user was free to take it; of the open model."""
    arrivals: dict[ArrivalKey, Arrivals] = field(default_factory=dict)
    """Intended starts of the open model; empty in a closed one."""
    durations: dict[DurationKey, Histogram] = field(default_factory=dict)
    stamped: int = 0
    """Requests whose end is the kernel's receive stamp."""
    unstamped: int = 0
    """Answered requests whose end is our own clock, so that our queueing may be part of their latency."""
    cpu_us: int = 0
    """CPU time of the worker's process within the interval."""
    throttled_us: int | None = None
    """Time that the worker's cgroup was throttled; None without a cgroup quota."""
    steal_us: int | None = None
    """Time that the hypervisor took from the machine, over all processors."""

    def ended(self) -> Ended:
        return Ended.of((key.outcome, series.histogram.count) for key, series in self.series.items())


@dataclass(frozen=True)
class Header:
    """The first record of a journal."""

    version: int
    run: str
    worker: str
    region: str
    epoch: int
    limits_us: tuple[int, ...]
    """What `Series.over` counts against: every latency limit and goal of the plan, ascending."""


@dataclass(frozen=True)
class Fin:
    """The last record of a journal that ended in order."""

    intervals: int
    started: int
    ok: int
    failed: int
    """With timeouts."""
    unfinished: int
    sha256: bytes
    """Of every byte of the file before this record."""
