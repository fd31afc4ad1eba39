"""Everything that intervals say about a run, folded as they arrive, in any order.

Histograms are kept once a series, for the whole run; what a second holds is a few integers a series.
"""

from __future__ import annotations

from copy import copy
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.errors import JournalError
from loadproof.measure.histogram import Histogram, highest_equivalent
from loadproof.measure.interval import (
    CheckCounts,
    Endpoint,
    ErrorKey,
    Exchanges,
    Interval,
    Outcome,
)
from loadproof.measure.merge import add_into
from loadproof.plan.profile import phase_at
from loadproof.verdict.tallies import (
    OVER,
    Due,
    Flow,
    Metric,
    RegionArrivals,
    RegionCheck,
    RegionMetric,
    RegionSeries,
    Seconds,
    Tally,
    Worker,
    WorkerSecond,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.measure.interval import Ended, Series
    from loadproof.measure.interval import Evidence as CheckSample
    from loadproof.plan.model import Plan
    from loadproof.verdict.selection import Selection
    from loadproof.verdict.slices import Slices

SECOND_US: Final = 1_000_000
SHORTEST_STOP_TIMEOUT_US: Final = 30 * SECOND_US
SAMPLES_PER_CHECK: Final = 20
DISTINCT_ERRORS: Final = 1_000
OTHER: Final = "other errors"
SHORT_WAIT_US: Final = 50_000
"""A start that waited no longer for its user was due when it was counted, to half a percent of 10 s."""
LAG_QUANTILE: Final = Fraction(99, 100)
LATEST_AFTER_DRAIN_US: Final = 3_600 * SECOND_US
"""An interval that ends later than this after plan and stop timeout belongs to no run that we could judge."""


def stop_timeout_us(plan: Plan, limits_us: Sequence[int]) -> int:
    """How long a stop waits for requests in flight: as the plan says, else max(30 s, twice the largest limit)."""
    if plan.stop_timeout_us is not None:
        return plan.stop_timeout_us
    return max(SHORTEST_STOP_TIMEOUT_US, 2 * max(limits_us, default=0))


class Evidence:
    """The sum of all intervals of a run; `limits_us` are those that the journals count against."""

    def __init__(self, plan: Plan, limits_us: Sequence[int]) -> None:
        self.plan = plan
        self.limits_us = tuple(limits_us)
        self.stop_timeout_us = stop_timeout_us(plan, self.limits_us)
        self.totals: dict[RegionSeries, Tally] = {}
        self.seconds: dict[RegionSeries, Seconds] = {}
        self.checks: dict[RegionCheck, CheckCounts] = {}
        self.check_seconds: dict[RegionCheck, Seconds] = {}
        """Columns: passed, failed, skipped."""
        self.metrics: dict[RegionMetric, Metric] = {}
        self.user_us: dict[tuple[str, str], dict[int, int]] = {}
        """(region, scenario) -> second of the run -> active user-microseconds in it."""
        self.flow: dict[str, dict[int, Flow]] = {}
        """Region -> second -> requests in hand."""
        self.workers: dict[str, Worker] = {}
        self.lags: dict[tuple[str, str | None], tuple[Histogram, Histogram]] = {}
        """(region, phase of the second) -> (pacer lag, receive lag)."""
        self.user_waits: dict[tuple[str, str | None], Histogram] = {}
        """(region, phase of the second) -> how long starts of an open plan waited for a user."""
        self.arrivals: dict[RegionArrivals, Seconds] = {}
        """Columns: taken, dropped for want of a user, dropped as too late; in the second that counted them."""
        self.due: dict[str, Due] = {}
        """Region -> the same starts by when they were due."""
        self.exchanges: dict[Endpoint, Exchanges] = {}
        self.errors: dict[ErrorKey, int] = {}
        """The first `DISTINCT_ERRORS` apart, later ones as `OTHER` of their endpoint, so that a target which
        invents error texts cannot fill the memory."""
        self.task_errors: dict[str, int] = {}
        self.undeclared: set[str] = set()
        self.untracked = 0
        self.outside: dict[str, int] = {}
        """Worker -> its intervals that lie outside the run and were left out."""
        self.samples: dict[str, list[tuple[str, CheckSample]]] = {}
        """Check -> the first failed ones that arrived, with their worker; at most `SAMPLES_PER_CHECK`."""
        self.slices: dict[Selection, Slices] = {}
        """By time, of the selections that `growth.want_slices` has asked for."""

    def takes(self, interval: Interval) -> bool:
        """Tables are dense in seconds: an interval from a time when no run was would fill the memory."""
        end_us = max((interval.second + 1) * SECOND_US, interval.start_us + interval.length_us)
        latest_us = self.plan.duration_us + self.stop_timeout_us + LATEST_AFTER_DRAIN_US
        return min(interval.second, interval.start_us) >= 0 and end_us <= latest_us

    def add(self, worker: str, region: str, interval: Interval, ended: Ended | None = None) -> None:
        """Fold one interval in; it stays as it is. JournalError if it counts against other limits.

        Without its series it comes with how many requests `ended` in them, and they by `add_series`.
        """
        if not self.takes(interval):
            self.outside[worker] = self.outside.get(worker, 0) + 1
            return
        for key, series in interval.series.items():
            if len(series.over) != len(self.limits_us):
                raise JournalError(
                    f"second {interval.second} of {worker} counts against {len(series.over)} limits, the run has "
                    f"{len(self.limits_us)}: the journal belongs to another plan"
                )
            self.add_series(RegionSeries(region, key), series, interval.second)
        self._add_worker(worker, region, interval, interval.ended() if ended is None else ended)
        self._add_flow(region, interval)
        self._add_arrivals(region, interval)
        for scenario, user_us in interval.user_us.items():
            active = self.user_us.setdefault((region, scenario), {})
            for second, part in spread(interval.start_us, interval.length_us, user_us):
                active[second] = active.get(second, 0) + part
        add_into(self.checks, {RegionCheck(region, key): counts for key, counts in interval.checks.items()})
        for check, counts in interval.checks.items():
            table = self.check_seconds.setdefault(RegionCheck(region, check), Seconds(3))
            table.add(interval.second, (counts.passed, counts.failed, counts.skipped))
        for metric, summary in interval.metrics.items():
            self.metrics.setdefault(RegionMetric(region, metric), Metric()).add(summary)
        add_into(self.exchanges, interval.exchanges)
        for error, count in interval.errors.items():
            is_apart = error in self.errors or len(self.errors) < DISTINCT_ERRORS
            place = error if is_apart else error._replace(message=OTHER)
            self.errors[place] = self.errors.get(place, 0) + count
        for text, count in interval.task_errors.items():
            said = text if text in self.task_errors or len(self.task_errors) < DISTINCT_ERRORS else OTHER
            self.task_errors[said] = self.task_errors.get(said, 0) + count
        self.undeclared |= interval.undeclared
        self.untracked += interval.untracked
        for sample in interval.evidence:
            kept = self.samples.setdefault(sample.check, [])
            if len(kept) < SAMPLES_PER_CHECK:
                kept.append((worker, sample))

    @property
    def end_us(self) -> int:
        """Run time at which the last interval ended; 0 without any."""
        return max((flow.closed_us for flows in self.flow.values() for flow in flows.values()), default=0)

    @property
    def regions(self) -> frozenset[str]:
        """Those that sent an interval."""
        return frozenset(self.flow)

    def add_series(self, key: RegionSeries, series: Series, second: int) -> None:
        """Fold in what one worker of a region, or all of them, saw of one series in a second."""
        histogram = series.histogram
        for slices in self.slices.values():
            slices.add(key, histogram, second)
        match key.series.outcome:
            case Outcome.OK:
                errors = 0
            case Outcome.UNFINISHED:
                # A bucket that straddles the timeout counts as past it: an error too many is the safe side.
                errors = histogram.count - histogram.count_at_most(self.stop_timeout_us - 1)[0]
            case _:
                errors = histogram.count
        tally = self.totals.get(key)
        if tally is None:
            tally = self.totals[key] = Tally(histogram.nothing(), [0] * len(self.limits_us))
            self.seconds[key] = Seconds(OVER + len(self.limits_us))
        if series.first_byte is not None and tally.first_byte is None:
            tally.first_byte = copy(tally.histogram)
        if tally.first_byte is not None:
            tally.first_byte += histogram if series.first_byte is None else series.first_byte
        tally.histogram += histogram
        tally.over = [have + more for have, more in zip(tally.over, series.over, strict=True)]
        tally.errors += errors
        tally.bytes_received += series.bytes_received
        tally.bytes_sent += series.bytes_sent
        self.seconds[key].add(second, (histogram.count, histogram.total, errors, *series.over))

    def _add_worker(self, worker: str, region: str, interval: Interval, ended: Ended) -> None:
        known = self.workers.setdefault(worker, Worker(region))
        known.started += interval.started
        known.ok += ended.ok
        known.failed += ended.failed
        known.unfinished += ended.unfinished
        known.seconds.append(
            WorkerSecond(
                interval.second,
                interval.start_us,
                interval.length_us,
                interval.pacer_lag.quantile(LAG_QUANTILE),
                interval.receive_lag.quantile(LAG_QUANTILE),
                interval.cpu_us,
                interval.throttled_us,
                interval.steal_us,
            )
        )
        phase = phase_at(self.plan.load, interval.second * SECOND_US)
        place = (region, None if phase is None else phase.name)
        if place not in self.lags:
            self.lags[place] = (interval.pacer_lag.nothing(), interval.receive_lag.nothing())
        pacer, receive = self.lags[place]
        pacer += interval.pacer_lag
        receive += interval.receive_lag
        if interval.user_wait.count:
            waits = self.user_waits.setdefault(place, interval.user_wait.nothing())
            waits += interval.user_wait

    def _add_arrivals(self, region: str, interval: Interval) -> None:
        if not interval.arrivals:
            return
        for key, counts in interval.arrivals.items():
            table = self.arrivals.setdefault(RegionArrivals(region, key), Seconds(3))
            table.add(interval.second, (counts.taken, counts.no_user, counts.late))
        due = self.due.setdefault(region, Due())
        last_us = interval.start_us + max(interval.length_us, 1) - 1
        at_once = sum(counts.taken + counts.late for counts in interval.arrivals.values())
        for index, count in interval.user_wait.counts.items():
            wait_us = highest_equivalent(index)
            if wait_us > SHORT_WAIT_US:
                at_once -= count
                due.add((interval.start_us - wait_us) // SECOND_US, (last_us - wait_us) // SECOND_US, count)
        for second, count in spread(interval.start_us, interval.length_us, max(0, at_once)):
            due.add(second, second, count)
        dropped = sum(counts.no_user for counts in interval.arrivals.values())
        if dropped:
            since_us = interval.start_us - self.stop_timeout_us
            due.add(since_us // SECOND_US, last_us // SECOND_US, dropped)

    def _add_flow(self, region: str, interval: Interval) -> None:
        closed = interval.start_us + interval.length_us
        oldest = None if interval.oldest_us is None else closed - interval.oldest_us
        flow = Flow(
            interval.started,
            interval.in_flight,
            oldest,
            interval.first_done_us,
            interval.last_done_us,
            closed,
            1,
        )
        seconds = self.flow.setdefault(region, {})
        if interval.second in seconds:
            seconds[interval.second] += flow
        else:
            seconds[interval.second] = flow


def spread(start_us: int, length_us: int, amount: int) -> list[tuple[int, int]]:
    """Split what an interval holds over the seconds that it covers, by their share of its time.

    An interval that closed late reaches into the next second; the parts sum to `amount` exactly.
    """
    if length_us <= 0:
        return [(start_us // SECOND_US, amount)] if amount else []
    if start_us % SECOND_US + length_us <= SECOND_US:
        return [(start_us // SECOND_US, amount)] if amount > 0 else []
    end_us = start_us + length_us
    parts = []
    given = 0
    for second in range(start_us // SECOND_US, -(-end_us // SECOND_US)):
        until = min(end_us, (second + 1) * SECOND_US) - start_us
        upto = amount * until // length_us
        if upto > given:
            parts.append((second, upto - given))
            given = upto
    return parts
