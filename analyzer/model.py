"""The Report: everything that any renderer shows, nothing rendered.

Times are integer microseconds on the run clock, sizes bytes, shares ratios. What is not known is None.
`Totals` and the tables by scenario, region and endpoint speak of the judged phases (all but warm-up), as a
rule without a selector does; `by_phase`, `books`, `errors` and the timeline speak of the whole run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from analyzer.faults import FaultTold
    from analyzer.rows import MetricRows
    from loadproof.measure.interval import Outcome, Timed
    from loadproof.plan.model import Plan
    from loadproof.verdict.accounting import Books
    from loadproof.verdict.compared import Comparison
    from loadproof.verdict.drift import Drift
    from loadproof.verdict.facts import Absence, GuardTrip, Stop
    from loadproof.verdict.result import Reason, RuleResult, Verdict
    from loadproof.verdict.searched import Searched


@dataclass(frozen=True)
class Latency:
    """Latencies of one outcome; quantiles are `inverted_cdf`, reported as the bucket's highest value."""

    mean_us: float
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    p99_9_us: int
    max_us: int


@dataclass(frozen=True)
class Totals:
    requests: int
    """Requests that were started: `ok + failures + unfinished`."""
    ok: int
    failures: int
    """Wrong answers, refusals, broken connections and timeouts."""
    timeouts: int
    """Those of the failures that had no answer in time."""
    unfinished: int
    rate_per_s: float | None
    """Ok requests over the length of the phases spoken of."""
    peak_rate_per_s: float | None
    """Highest ok rate over 10 s inside one phase."""
    error_ratio: float | None
    """As the statistic `error_ratio`: dropped starts of an open plan count among errors and requests."""
    latency: Latency | None
    """Of the ok requests."""
    bytes_received: int
    bytes_sent: int
    first_byte: Latency | None
    """Of the ok requests: the time to the first part of an answer, as an upper bound."""


@dataclass(frozen=True)
class Group:
    """The totals of one scenario, region, endpoint or phase."""

    name: str
    totals: Totals
    warmup: bool = False


@dataclass(frozen=True)
class SeriesRow:
    """One series over the whole run, as one region saw it."""

    region: str
    scenario: str
    method: str
    name: str
    outcome: Outcome
    phase: str
    requests: int
    latency: Latency
    bytes_received: int
    bytes_sent: int
    first_byte: Latency
    faults: tuple[str, ...] = ()
    """In whose windows the requests lay."""


@dataclass(frozen=True)
class Second:
    """One second of the run over all workers; quantiles of its ok requests.

    `users` and `in_flight` are None where no worker's journal tells of the second.
    """

    second: int
    phase: str | None
    users_planned: float | None
    users: float | None
    in_flight: int | None
    covered_us: int
    """Length of the longest interval; the last second of a run is seldom whole."""
    ok: int
    failed: int
    unfinished: int
    p50_us: int | None
    p95_us: int | None
    p99_us: int | None
    starts_planned: float | None = None
    """Of an open plan, as the two below; what was taken or dropped in the second, whenever it was due."""
    starts_taken: int | None = None
    starts_dropped: int | None = None
    pacer_lag_p99_us: int | None = None
    """Over all workers, as the two below; None where the second has no sample."""
    receive_lag_p99_us: int | None = None
    user_wait_p99_us: int | None = None


@dataclass(frozen=True)
class LatencyMap:
    """How many ok requests ended when and took how long; buckets are those of `analyzer.heat`."""

    step: int = 1
    """Seconds that one column covers."""
    columns: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """(number of the column, ((bucket, requests), ...)), ascending, without empty ones."""


@dataclass(frozen=True)
class CheckSample:
    """One failed check with what was seen, to argue from."""

    worker: str
    scenario: str
    at_us: int
    detail: str


@dataclass(frozen=True)
class CheckTotals:
    name: str
    passed: int
    failed: int
    skipped: int
    samples: tuple[CheckSample, ...]

    @property
    def ratio(self) -> float | None:
        """Passed over executed; None when the check never ran."""
        executed = self.passed + self.failed
        return self.passed / executed if executed else None


@dataclass(frozen=True)
class MetricTotals:
    """Numbers that scenarios recorded under one name."""

    name: str
    count: int
    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class DurationTotals:
    """What else took time around requests, over the whole run; see `loadproof.measure.interval.Timed`."""

    timed: Timed
    name: str
    """A host and port, or a WebSocket's name."""
    count: int
    latency: Latency


@dataclass(frozen=True)
class ArrivalTotals:
    """What became of the intended starts of the open model; all 0 in a closed one."""

    taken: int = 0
    no_user: int = 0
    """Dropped, as no user was free for too long: the target's doing."""
    late: int = 0
    """Dropped, as our own timer was too late: the generator's doing."""

    @property
    def dropped(self) -> int:
        return self.no_user + self.late


@dataclass(frozen=True)
class ErrorTotals:
    """One error message at one endpoint; an exception that left a task has neither endpoint nor scenario."""

    scenario: str
    method: str
    name: str
    message: str
    count: int
    first_s: int | None = None
    """Second of the run in which it was first seen, as `last_s`; None where nobody kept it."""
    last_s: int | None = None


@dataclass(frozen=True)
class WorkerRow:
    """One worker over all its epochs."""

    worker: str
    region: str
    planned: bool
    requests: int
    users_max: int | None
    cpu_ratio_max: float | None
    """Of one core, in the busiest interval."""
    cpu_ratio_mean: float | None
    pacer_lag_p99_us: int | None
    receive_lag_p99_us: int | None
    longest_interval_us: int | None
    throttled_us: int | None
    steal_us: int | None


@dataclass(frozen=True)
class EpochRow:
    """One process life of a worker: what the manifest says of it beside what its journal holds."""

    worker: str
    region: str
    epoch: int
    joined_us: int | None
    left_us: int | None
    how: str | None
    """`fin`, `lost`, or None when the manifest was never closed for it."""
    why: str | None
    intervals: int
    complete: bool
    damage: str | None


@dataclass(frozen=True)
class Generator:
    """How fit the load generator was."""

    cpu_ratio_max: float | None
    pacer_lag_p99_us: int | None
    receive_lag_p99_us: int | None
    clock_offset_us_max: int | None
    user_wait_p99_us: int | None
    """From a start's turn until a user was free; None in a closed model."""
    stamped: int
    """Requests whose end is the kernel's receive stamp."""
    unstamped: int
    """Answered requests whose end is our own clock."""
    lag_limit_us: float
    """What the P99 of pacer and receive lag of a worker may not stay above; see `loadproof.verdict.generator`."""

    @property
    def stamped_ratio(self) -> float | None:
        answered = self.stamped + self.unstamped
        return self.stamped / answered if answered else None


class Event(msgspec.Struct, frozen=True):
    """A line of events.jsonl."""

    at_us: int | None
    utc: str
    kind: str
    who: str | None
    text: str


@dataclass(frozen=True)
class ResourceTotals:
    """One resource over the run: `cpu` and `memory` as shares of what may be used, `rss` in bytes."""

    name: str
    samples: int
    min: float
    mean: float
    max: float


@dataclass(frozen=True)
class ResourceLine:
    """One resource over time: (second of the run, value), ascending, the highest of a second's samples."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Share:
    """A part of all active user time, of an open plan of all starts; `planned` is None where the plan leaves it to the suite."""

    name: str
    planned: float | None
    offered: float | None


@dataclass(frozen=True)
class PhaseOffered:
    """One phase as planned and as it came; user times are those of its whole seconds."""

    name: str
    planned_start_us: int
    start_us: int | None
    planned_user_us: int
    offered_user_us: int
    planned_starts: float | None = None
    """Of an open plan, as the two below: those that were due in the phase."""
    starts_taken: int | None = None
    starts_dropped: int | None = None


@dataclass(frozen=True)
class Offered:
    scenarios: tuple[Share, ...] = ()
    regions: tuple[Share, ...] = ()
    phases: tuple[PhaseOffered, ...] = ()


@dataclass(frozen=True)
class Report:
    run: str
    name: str
    title: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    rules: tuple[RuleResult, ...]
    advice: tuple[str, ...]
    """What to do first, most telling first."""
    judged_phases: tuple[str, ...]
    totals: Totals
    by_scenario: tuple[Group, ...]
    by_region: tuple[Group, ...]
    by_name: tuple[Group, ...]
    by_phase: tuple[Group, ...]
    series: tuple[SeriesRow, ...]
    timeline: tuple[Second, ...]
    metric_rows: MetricRows
    checks: tuple[CheckTotals, ...]
    metrics: tuple[MetricTotals, ...]
    errors: tuple[ErrorTotals, ...]
    books: Books
    target_counted_note: str | None
    """Why the target's count is missing."""
    stop: Stop | None
    workers: tuple[WorkerRow, ...]
    epochs: tuple[EpochRow, ...]
    generator: Generator
    resources: tuple[ResourceTotals, ...]
    events: tuple[Event, ...]
    notes: tuple[str, ...]
    """What in the folder could not be read, each with what it means for the report."""
    plan: Plan
    offered: Offered = Offered()
    hints: tuple[str, ...] = ()
    """What the numbers suggest, each with them; see `analyzer.hints`."""
    arrivals: ArrivalTotals = ArrivalTotals()
    durations: tuple[DurationTotals, ...] = ()
    latency_map: LatencyMap = LatencyMap()
    resource_lines: tuple[ResourceLine, ...] = ()
    absences: tuple[Absence, ...] = ()
    """Workers whose load others had to take over for a time."""
    guards: tuple[GuardTrip, ...] = ()
    faults: tuple[FaultTold, ...] = ()
    """In the order of their begins."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """As the master left it, with `verdict`, `requests` and `target_counted` set."""
    search: Searched | None = None
    """What the plan's search found; None in a plan without one, or where it tried nothing."""
    drift: tuple[Drift, ...] = ()
    comparison: Comparison | None = None
    """With its baselines; None where none was given."""
