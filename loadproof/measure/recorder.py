"""What a worker writes into while it runs: requests, checks and users become one interval a second."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    CheckCounts,
    CheckKey,
    Endpoint,
    ErrorKey,
    Evidence,
    Exchanges,
    Interval,
    MetricKey,
    MetricSummary,
    Outcome,
    Series,
    SeriesKey,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    phase: str
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

    `clock` gives run time in microseconds; `phase_at` maps run time to a phase's name and gives the last
    phase's name after the end, since what drains then still belongs to a phase.
    """

    def __init__(
        self, limits_us: Sequence[int], clock: Callable[[], int], phase_at: Callable[[int], str]
    ) -> None:
        self.totals = Totals()
        self._limits = tuple(limits_us)
        self._lowest = self._limits[0] if self._limits else None
        self._clock = clock
        self._phase_at = phase_at
        self._in_flight: dict[Ticket, None] = {}
        self._names: set[str] = set()
        self._users: dict[str, int] = {}
        self._users_since_us = 0
        self._interval = Interval(0, 0, 0)
        self.pacer_lag = Histogram()
        self.receive_lag = Histogram()

    def begin(self, scenario: str, method: str, name: str) -> Ticket:
        now = self._clock()
        ticket = Ticket(scenario, method, name, now, self._phase_at(now))
        self._in_flight[ticket] = None
        self._interval.started += 1
        self.totals.started += 1
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
        del self._in_flight[ticket]
        ticket.name = self._bounded(ticket.name if name is None else name)
        interval = self._interval
        self._add_series(ticket, outcome, latency_us, bytes_received)
        endpoint = Endpoint(ticket.method, ticket.name)
        exchanges = interval.exchanges.get(endpoint)
        if exchanges is None:
            exchanges = interval.exchanges[endpoint] = Exchanges()
        exchanges.answered += answered
        exchanges.unanswered += unanswered
        if outcome is Outcome.OK:
            self.totals.ok += 1
        elif outcome is Outcome.UNFINISHED:
            self.totals.unfinished += 1
        else:
            self.totals.failed += 1
        if answered:
            now = self._clock()
            if interval.first_done_us is None:
                interval.first_done_us = now
            interval.last_done_us = now
        if error is not None:
            self._add_error(ErrorKey(ticket.scenario, ticket.method, ticket.name, error))

    def abandon(self, ticket: Ticket, *, unanswered: int = 1) -> None:
        """Record that we ended a request ourselves: unfinished, with its age for a latency."""
        if ticket.open:
            age = max(0, self._clock() - ticket.start_us)
            self.finish(ticket, Outcome.UNFINISHED, age, answered=0, unanswered=unanswered)

    def abandon_all(self) -> None:
        for ticket in list(self._in_flight):
            self.abandon(ticket)

    def check(self, scenario: str, check: str, passed: bool | None, detail: str | None = None) -> None:
        """Count one check; `passed` None means skipped, because its request failed."""
        now = self._clock()
        key = CheckKey(scenario, check, self._phase_at(now))
        counts = self._interval.checks.get(key)
        if counts is None:
            counts = self._interval.checks[key] = CheckCounts()
        if passed is None:
            counts.skipped += 1
        elif passed:
            counts.passed += 1
        else:
            counts.failed += 1
            if len(self._interval.evidence) < EVIDENCE_PER_INTERVAL:
                text = (detail or "")[:DETAIL_LENGTH]
                self._interval.evidence.append(Evidence(scenario, check, now, text))

    def metric(self, scenario: str, metric: str, value: float) -> None:
        """Record one number; ValueError, and nothing recorded, for one that is not finite or makes a sum so."""
        key = MetricKey(scenario, metric, self._phase_at(self._clock()))
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
        key = text[:DETAIL_LENGTH]
        if key not in errors and len(errors) >= ERRORS_PER_INTERVAL:
            key = OTHER
        errors[key] = errors.get(key, 0) + 1

    def untracked(self) -> None:
        """Count a request of which only the end was seen."""
        self._interval.untracked += 1

    def undeclared(self, text: str) -> None:
        """A scenario used a name that it does not declare: the run cannot be judged on it."""
        self._interval.undeclared.add(text[:DETAIL_LENGTH])

    def user_started(self, scenario: str) -> None:
        self._settle_users(self._clock())
        self._users[scenario] = self._users.get(scenario, 0) + 1

    def user_stopped(self, scenario: str) -> None:
        self._settle_users(self._clock())
        self._users[scenario] -= 1

    @property
    def active_users(self) -> dict[str, int]:
        return {scenario: count for scenario, count in self._users.items() if count}

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def closes_at_us(self) -> int:
        """When the second of the open interval is over."""
        return (self._interval.second + 1) * 1_000_000

    def close_interval(
        self, *, cpu_us: int = 0, throttled_us: int | None = None, steal_us: int | None = None
    ) -> Interval:
        """The interval that ends now; the next one starts where it ends."""
        now = self._clock()
        self._settle_users(now)
        closed = self._interval
        closed.length_us = now - closed.start_us
        closed.users = self.active_users
        closed.in_flight = len(self._in_flight)
        oldest = next(iter(self._in_flight), None)
        closed.oldest_us = None if oldest is None else max(0, now - oldest.start_us)
        closed.pacer_lag, self.pacer_lag = self.pacer_lag, Histogram()
        closed.receive_lag, self.receive_lag = self.receive_lag, Histogram()
        closed.cpu_us = cpu_us
        closed.throttled_us = throttled_us
        closed.steal_us = steal_us
        # A second that a late close swallowed is skipped: indexes name run time, they do not count records.
        following = max(closed.second + 1, now // 1_000_000)
        self._interval = Interval(following, now, 0)
        return closed

    def _bounded(self, name: str) -> str:
        if name not in self._names:
            name = name[:NAME_LENGTH]
            if len(self._names) >= NAMES and name not in self._names:
                return OTHER
            self._names.add(name)
        return name

    def _settle_users(self, now: int) -> None:
        elapsed = now - self._users_since_us
        self._users_since_us = now
        if elapsed > 0:
            spent = self._interval.user_us
            for scenario, count in self._users.items():
                if count:
                    spent[scenario] = spent.get(scenario, 0) + count * elapsed

    def _add_series(self, ticket: Ticket, outcome: Outcome, latency_us: int, bytes_received: int) -> None:
        key = SeriesKey(ticket.scenario, ticket.method, ticket.name, outcome, ticket.phase)
        series = self._interval.series.get(key)
        if series is None:
            series = self._interval.series[key] = Series(Histogram(), [0] * len(self._limits))
        series.histogram.record(latency_us)
        series.bytes_received += bytes_received
        if self._lowest is not None and latency_us > self._lowest:
            for index, limit in enumerate(self._limits):
                if latency_us <= limit:
                    break
                series.over[index] += 1

    def _add_error(self, key: ErrorKey) -> None:
        errors = self._interval.errors
        if key not in errors and len(errors) >= ERRORS_PER_INTERVAL:
            key = key._replace(message=OTHER)
        errors[key] = errors.get(key, 0) + 1
