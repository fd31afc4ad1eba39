"""What a worker writes into while it runs: requests, checks and users become one interval a second."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from math import inf, isfinite
from operator import itemgetter
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    CheckCounts,
    CheckKey,
    DurationKey,
    Endpoint,
    ErrorKey,
    Evidence,
    Interval,
    MetricKey,
    MetricSummary,
    Outcome,
    SeriesKey,
    Timed,
)
from loadproof.measure.merge import add_into
from loadproof.measure.scrub import Scrubber
from loadproof.measure.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

EVIDENCE_PER_INTERVAL = 5
DETAIL_LENGTH = 500
ERRORS_PER_INTERVAL = 100
NAMES = 2_000
"""Endpoints that one worker tells apart: names are templates, and raw URLs must not fill the journal."""
NAME_LENGTH = 500
OTHER = "other"


@dataclass(slots=True, eq=False)
class Ticket:
    """One request from its start until it is recorded exactly once."""

    scenario: str
    method: str
    name: str
    start_us: int
    open: bool = True


@dataclass
class Totals:
    """The first book since the journal began; `started` equals the rest once nothing is in flight."""

    started: int = 0
    ok: int = 0
    failed: int = 0
    unfinished: int = 0


class Recorder:
    """Collects one interval at a time; every method is called on the worker's hub only.

    `clock` gives run time in microseconds, not before 0. `phases` are names with the run time of their ends,
    ascending; what comes after the last end, when requests drain, belongs to the last phase. `faults` are names with
    the run time of their windows' begin and end: a request belongs to every one that it lies in with any part. The
    first interval begins now, in whatever second that is.

    Requests come by two ways. A `Ticket` is for whoever sees only a beginning and an end. The client of
    `loadproof.client` counts into `started`, `open` and its tallies by itself.
    """

    def __init__(
        self,
        limits_us: Sequence[int],
        clock: Callable[[], int],
        phases: Sequence[tuple[str, int]],
        zero_ns: int = 0,
        faults: Sequence[tuple[str, int, int]] = (),
    ) -> None:
        self.scrub = Scrubber()
        """What every text goes through that this process does not declare."""
        self.limits = tuple(limits_us)
        self.lowest_limit: float = self.limits[0] if self.limits else inf
        self.clock = clock
        self.zero_ns = zero_ns
        """CLOCK_MONOTONIC at run time 0, for whoever cannot afford to call `clock`."""
        self.load_until_ns: float = inf
        """CLOCK_MONOTONIC until which requests may begin, for all that this worker knows."""
        self.started = 0
        """Requests ever begun."""
        self.open: dict[Hashable, int] = {}
        """What waits for an answer -> its start on CLOCK_MONOTONIC in nanoseconds."""
        self.held: dict[Hashable, Callable[[], None]] = {}
        """What has its answer and waits for the scenario's judgement -> what ends it without one."""
        self.touched: dict[Tally, None] = {}
        """Tallies with something in them."""
        self.first_done_ns: int | None = None
        """When the target first answered something in this interval, on CLOCK_MONOTONIC."""
        self.last_done_ns: int | None = None
        self.stamped = 0
        self.unstamped = 0
        self._totals = Totals()
        self._phases = [name for name, _ in phases]
        self._ends = [end for _, end in phases[:-1]]
        self._faults = sorted(faults, key=itemgetter(1, 2, 0))
        self._edges = sorted({*self._ends, *(edge for _, *window in faults for edge in window)})
        self._tallies: dict[tuple[str, str, str, str, tuple[str, ...]], Tally] = {}
        self._names: set[str] = set()
        self._users: dict[str, int] = {}
        self._started_before = 0
        self._users_since_us = begins_us = clock()
        self._interval = Interval(begins_us // 1_000_000, begins_us, 0)
        self.pacer_lag = Histogram()
        self.lags: dict[int, int] = {}
        """Microseconds -> how many answers lay so long in the kernel before their user saw them."""
        self.user_wait = Histogram()

    @property
    def totals(self) -> Totals:
        self._settle()
        return replace(self._totals, started=self.started)

    def tally(self, scenario: str, method: str, name: str, start_us: int, end_us: int) -> Tally:
        """Where a request of an endpoint that was under way from `start_us` to `end_us` is counted."""
        phase = self._phase_at(start_us)
        faults = self._faults_between(start_us, end_us)
        name = self._bounded(name)
        key = (scenario, method, name, phase, faults)
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally(self, scenario, method, name, phase, faults)
        position = bisect_right(self._edges, start_us)
        if position == bisect_right(self._edges, end_us):
            found.since_ns = self._nanoseconds(self._edges[position - 1]) if position else -inf
            found.until_ns = self._nanoseconds(self._edges[position]) if position < len(self._edges) else inf
        return found

    def _faults_between(self, start_us: int, end_us: int) -> tuple[str, ...]:
        return tuple(
            fault for fault, begin_us, until_us in self._faults if start_us < until_us and end_us >= begin_us
        )

    def begin(self, scenario: str, method: str, name: str) -> Ticket:
        ticket = Ticket(scenario, method, name, self.clock())
        self.open[ticket] = self._nanoseconds(ticket.start_us)
        self.started += 1
        return ticket

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        latency_us: int,
        *,
        name: str | None = None,
        bytes_received: int = 0,
        error: str | None = None,
        answered: int = 1,
        unanswered: int = 0,
    ) -> None:
        """Record a request's end once; later calls for the same ticket are ignored."""
        if not ticket.open:
            return
        ticket.open = False
        del self.open[ticket]
        tally = self.tally(
            ticket.scenario,
            ticket.method,
            ticket.name if name is None else name,
            ticket.start_us,
            ticket.start_us + latency_us,
        )
        tally.record(outcome, latency_us, received=bytes_received, answered=answered, unanswered=unanswered)
        if answered:
            self.unstamped += 1
            self.done(self._nanoseconds(self.clock()))
        if error is not None:
            self.error(tally, error)

    def abandon(self, ticket: Ticket, *, unanswered: int = 1) -> None:
        """Record that we ended a request ourselves: unfinished, with its age for a latency."""
        if ticket.open:
            age = max(0, self.clock() - ticket.start_us)
            self.finish(ticket, Outcome.UNFINISHED, age, answered=0, unanswered=unanswered)

    def abandon_all(self) -> None:
        for ticket in list(self.open):
            if isinstance(ticket, Ticket):
                self.abandon(ticket)
        for give_up in list(self.held.values()):
            give_up()

    def done(self, at_ns: int) -> None:
        """The target answered something at this instant of CLOCK_MONOTONIC: when it came, whenever it was read."""
        if self.first_done_ns is None or at_ns < self.first_done_ns:
            self.first_done_ns = at_ns
        if self.last_done_ns is None or at_ns > self.last_done_ns:
            self.last_done_ns = at_ns

    def record_lag(self, us: int) -> None:
        """How long an answer lay in the kernel before its user saw it."""
        self.stamped += 1
        self.lags[us] = self.lags.get(us, 0) + 1

    def error(self, tally: Tally, text: str) -> None:
        """Count one more failure of an endpoint under its text."""
        errors = self._interval.errors
        key = ErrorKey(tally.scenario, tally.method, tally.name, self.scrub(text)[:DETAIL_LENGTH])
        if key not in errors and len(errors) >= ERRORS_PER_INTERVAL:
            key = key._replace(message=OTHER)
        errors[key] = errors.get(key, 0) + 1

    def duration(self, scenario: str, timed: Timed, name: str, us: int, at_us: int | None = None) -> None:
        """Record what else took time; `name` is a host and port, or a WebSocket's name; `at_us` its beginning, else now."""
        key = DurationKey(
            scenario, timed, self._bounded(name), self._phase_at(self.clock() if at_us is None else at_us)
        )
        durations = self._interval.durations
        histogram = durations.get(key)
        if histogram is None:
            histogram = durations[key] = Histogram()
        histogram.record(us)

    def arrival(self, scenario: str, start_us: int, dropped_us: int | None = None) -> Arrivals:
        """The open interval's counts of intended starts of the phase of `start_us`, to be added to.

        Of a start that was dropped at `dropped_us` it is counted too in which faults' windows it had waited.
        """
        faults = () if dropped_us is None else self._faults_between(start_us, dropped_us)
        key = ArrivalKey(scenario, self._phase_at(start_us), faults)
        arrivals = self._interval.arrivals.get(key)
        if arrivals is None:
            arrivals = self._interval.arrivals[key] = Arrivals()
        return arrivals

    def check(self, scenario: str, check: str, passed: bool | None, detail: str | None = None) -> None:
        """Count one check; `passed` None means skipped, because its request failed."""
        now = self.clock()
        # A tuple finds what a CheckKey is the key of, and costs a third.
        counts = self._interval.checks.get((scenario, check, self._phase_at(now)))  # type: ignore[call-overload]
        if counts is None:
            key = CheckKey(scenario, check, self._phase_at(now))
            counts = self._interval.checks[key] = CheckCounts()
        if passed is None:
            counts.skipped += 1
        elif passed:
            counts.passed += 1
        else:
            counts.failed += 1
            if len(self._interval.evidence) < EVIDENCE_PER_INTERVAL:
                text = self.scrub(detail or "")[:DETAIL_LENGTH]
                self._interval.evidence.append(Evidence(scenario, check, now, text))

    def metric(self, scenario: str, metric: str, value: float) -> None:
        """Record one number; ValueError, and nothing recorded, for one that is not finite or makes a sum so."""
        key = MetricKey(scenario, metric, self._phase_at(self.clock()))
        summary = self._interval.metrics.get(key)
        total = value if summary is None else summary.total + value
        # No journal holds such a number: it must fail here, in its task, and not cost the whole interval.
        if not isfinite(total):
            raise ValueError(f"metric {metric!r} of {scenario} cannot take {value}: its sum would be {total}")
        if summary is None:
            self._interval.metrics[key] = MetricSummary(1, value, value, value)
        else:
            summary += MetricSummary(1, value, value, value)

    def task_error(self, text: str) -> None:
        errors = self._interval.task_errors
        key = self.scrub(text)[:DETAIL_LENGTH]
        if key not in errors and len(errors) >= ERRORS_PER_INTERVAL:
            key = OTHER
        errors[key] = errors.get(key, 0) + 1

    def untracked(self) -> None:
        """Count a request of which only the end was seen."""
        self._interval.untracked += 1

    def undeclared(self, text: str) -> None:
        """A scenario used a name that it does not declare: the run cannot be judged on it."""
        self._interval.undeclared.add(self.scrub(text)[:DETAIL_LENGTH])

    def user_started(self, scenario: str) -> None:
        self._settle_users(self.clock())
        self._users[scenario] = self._users.get(scenario, 0) + 1

    def user_stopped(self, scenario: str) -> None:
        self._settle_users(self.clock())
        self._users[scenario] -= 1

    @property
    def active_users(self) -> dict[str, int]:
        return {scenario: count for scenario, count in self._users.items() if count}

    @property
    def in_flight(self) -> int:
        """Requests begun and not recorded."""
        return len(self.open) + len(self.held)

    @property
    def closes_at_us(self) -> int:
        """When the second of the open interval is over."""
        return (self._interval.second + 1) * 1_000_000

    def close_interval(
        self, *, cpu_us: int = 0, throttled_us: int | None = None, steal_us: int | None = None
    ) -> Interval:
        """The interval that ends now; the next one starts where it ends."""
        now = self.clock()
        self._settle_users(now)
        self._settle()
        closed = self._interval
        closed.length_us = now - closed.start_us
        closed.users = self.active_users
        closed.started = self.started - self._started_before
        self._started_before = self.started
        closed.in_flight = self.in_flight
        if self.open:
            closed.oldest_us = max(0, now - self._run_us(min(self.open.values())))
        if self.first_done_ns is not None and self.last_done_ns is not None:
            closed.first_done_us = max(0, self._run_us(self.first_done_ns))
            closed.last_done_us = max(0, self._run_us(self.last_done_ns))
        self.first_done_ns = self.last_done_ns = None
        closed.stamped, self.stamped = self.stamped, 0
        closed.unstamped, self.unstamped = self.unstamped, 0
        closed.pacer_lag, self.pacer_lag = self.pacer_lag, Histogram()
        for us, count in self.lags.items():
            closed.receive_lag.record(us, count)
        self.lags.clear()
        closed.user_wait, self.user_wait = self.user_wait, Histogram()
        closed.cpu_us = cpu_us
        closed.throttled_us = throttled_us
        closed.steal_us = steal_us
        # A second that a late close swallowed is skipped: indexes name run time, they do not count records.
        following = max(closed.second + 1, now // 1_000_000)
        self._interval = Interval(following, now, 0)
        return closed

    def _bounded(self, name: str) -> str:
        if name not in self._names:
            name = self.scrub(name)[:NAME_LENGTH]
            if len(self._names) >= NAMES and name not in self._names:
                return OTHER
            self._names.add(name)
        return name

    def _settle_users(self, now: int) -> None:
        # Whoever slept past the end of its leave had no active users from then on, though they were not yet told.
        allowed_us = now if self.load_until_ns == inf else self._run_us(int(self.load_until_ns))
        elapsed = min(now, allowed_us) - self._users_since_us
        self._users_since_us = now
        if elapsed > 0:
            spent = self._interval.user_us
            for scenario, count in self._users.items():
                if count:
                    spent[scenario] = spent.get(scenario, 0) + count * elapsed

    def _nanoseconds(self, at_us: int) -> int:
        return self.zero_ns + at_us * 1_000

    def _run_us(self, at_ns: int) -> int:
        return (at_ns - self.zero_ns) // 1_000

    def _phase_at(self, at_us: int) -> str:
        return self._phases[bisect_right(self._ends, at_us)]

    def _settle(self) -> None:
        """Bring what the tallies hold into the open interval."""
        interval, totals = self._interval, self._totals
        for tally in self.touched:
            series, exchanges = tally.take()
            add_into(interval.exchanges, {Endpoint(tally.method, tally.name): exchanges})
            for outcome, one in series.items():
                key = SeriesKey(tally.scenario, tally.method, tally.name, outcome, tally.phase, tally.faults)
                add_into(interval.series, {key: one})
                if outcome is Outcome.OK:
                    totals.ok += one.histogram.count
                elif outcome is Outcome.UNFINISHED:
                    totals.unfinished += one.histogram.count
                else:
                    totals.failed += one.histogram.count
        self.touched.clear()
