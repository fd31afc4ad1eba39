"""Runs made second by second for the judge's tests: plans, intervals with exact counts, facts, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    ArrivalKey,
    Arrivals,
    CheckCounts,
    CheckKey,
    Endpoint,
    Exchanges,
    Interval,
    MetricKey,
    MetricSummary,
    Outcome,
    Series,
    SeriesKey,
)
from loadproof.plan.arrivals import arrivals_before
from loadproof.plan.model import RATE_PERIOD_S, ArrivalProcess, Phase, Plan, Region, RuleText, Tolerate
from loadproof.plan.profile import phase_at, user_us_between
from loadproof.verdict.evidence import Evidence
from loadproof.verdict.facts import Epoch, RunFacts
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from loadproof.verdict.growth import want_slices
from loadproof.verdict.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from loadproof.verdict.result import Judgement, RuleResult

SECOND = 1_000_000
SCENARIO = "Reader"
NAME = "GET /policies/:id"


def phase(name="steady", seconds=60, users=100, users_to=None, *, warmup=False):
    return Phase(
        name=name,
        duration_us=round(seconds * SECOND),
        users_from=users,
        users_to=users if users_to is None else users_to,
        warmup=warmup,
    )


def open_phase(name="steady", seconds=60, rate=20, rate_to=None, *, users=100, warmup=False):
    """A phase with so many starts a second, or a straight line of them."""
    last = rate if rate_to is None else rate_to
    return phase(name, seconds, users, warmup=warmup).model_copy(
        update={"arrivals_from": round(rate * RATE_PERIOD_S), "arrivals_to": round(last * RATE_PERIOD_S)}
    )


def plan_of(
    *rules: str,
    load: Sequence[Phase] | None = None,
    regions: Sequence[Region] = (Region(name="eu-west-1"),),
    optional: Iterable[str] = (),
    torn_epochs: int = 0,
    stop_timeout_us: int | None = None,
    process: ArrivalProcess = ArrivalProcess.CONSTANT,
    scenarios: dict[str, float] | None = None,
) -> Plan:
    """A plan of one phase of 60 s with 100 users, unless told otherwise."""
    texts = [RuleText(text=text) for text in rules]
    texts += [RuleText(text=text, optional=True) for text in optional]
    return Plan(
        name="judged",
        title="Judged",
        suite="governance",
        locustfile=None,
        target="embedded",
        load=tuple(load) if load is not None else (phase(),),
        scenarios=scenarios,
        regions=tuple(regions),
        rules=tuple(texts),
        stop_timeout_us=stop_timeout_us,
        tolerate=Tolerate(torn_epochs=torn_epochs),
        arrival_process=process,
    )


@dataclass
class Run:
    """One run in the making; every worker offers its even share of the plan and answers what it is told to.

    `requests[worker][second]` lists (latency in µs, outcome, extra key fields); the rest follows from it.
    """

    plan: Plan
    workers: tuple[tuple[str, str], ...] = (("eu-west-1-01", "eu-west-1"),)
    tail: int = 0
    """Seconds of drain after the plan."""
    requests: dict[str, dict[int, list[tuple[int, Outcome, Mapping[str, str]]]]] = field(default_factory=dict)
    changes: list[Callable[[str, int, Interval], None]] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    """Worker -> the second at which it was killed."""
    absent: tuple[str, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)
    intervals: dict[str, list[Interval]] = field(default_factory=dict)

    @cached_property
    def limits_us(self):
        return latency_limits_us([parse_rule(text.text) for text in self.plan.rules])

    @property
    def seconds(self):
        return -(-self.plan.duration_us // SECOND) + self.tail

    def answer(
        self, latencies: Iterable[int], seconds: Iterable[int], outcome=Outcome.OK, worker=None, **key: str
    ) -> Run:
        """In each of the seconds every worker (or one) ends requests of these latencies."""
        latencies = list(latencies)
        for second in seconds:
            for name in [worker] if worker else [name for name, _ in self.workers]:
                ended = self.requests.setdefault(name, {}).setdefault(second, [])
                ended.extend((us, outcome, key) for us in latencies)
        return self

    def steadily(self, latencies: Iterable[int], **key: str) -> Run:
        """The same in every second of the plan."""
        return self.answer(latencies, range(-(-self.plan.duration_us // SECOND)), **key)

    def change(self, change: Callable[[str, int, Interval], None]) -> Run:
        """Let a function alter every interval before it is judged."""
        self.changes.append(change)
        return self

    def check(self, passed=1, failed=0, skipped=0, name="compliance", seconds=None) -> Run:
        def add(worker: str, second: int, interval: Interval) -> None:
            if (seconds is None or second in seconds) and second < self.seconds - self.tail:
                counts = CheckCounts(passed, failed, skipped)
                interval.checks[CheckKey(SCENARIO, name, self._phase(second))] = counts

        return self.change(add)

    def metric(self, *values: float, name="lag", seconds=None) -> Run:
        def add(worker: str, second: int, interval: Interval) -> None:
            if seconds is None or second in seconds:
                summary = MetricSummary(len(values), sum(values), min(values), max(values))
                interval.metrics[MetricKey(SCENARIO, name, self._phase(second))] = summary

        return self.change(add)

    def evidence(self) -> Evidence:
        evidence = Evidence(self.plan, self.limits_us)
        want_slices(evidence, [parse_rule(text.text) for text in self.plan.rules])
        for worker, region in self.workers:
            self.intervals[worker] = []
            if worker in self.absent:
                continue
            for second in range(self.cut.get(worker, self.seconds)):
                interval = self._interval(worker, second)
                for change in self.changes:
                    change(worker, second, interval)
                self.intervals[worker].append(interval)
                evidence.add(worker, region, interval)
        return evidence

    def run_facts(self) -> RunFacts:
        epochs = tuple(
            Epoch(
                worker,
                region,
                1,
                len(self.intervals[worker]),
                complete=worker not in self.cut,
                damage="no FIN" if worker in self.cut else None,
                last_us=len(self.intervals[worker]) * SECOND,
            )
            for worker, region in self.workers
            if worker not in self.absent
        )
        values = {"run": "judged-1", "planned": self.workers, "epochs": epochs, **self.facts}
        return RunFacts(**values)

    def judge(self) -> Judgement:
        evidence = self.evidence()
        rules = [parse_rule(text.text) for text in self.plan.rules]
        return judge(self.plan, rules, evidence, self.run_facts())

    def _phase(self, second: int) -> str:
        found = phase_at(self.plan.load, second * SECOND)
        return self.plan.load[-1].name if found is None else found.name

    def _starts(self, worker: str, second: int) -> int:
        """Every so-many-th start of an open plan that is due in the second."""
        names = [name for name, _ in self.workers]
        load = self.plan.load
        due = range(arrivals_before(load, second * SECOND), arrivals_before(load, (second + 1) * SECOND))
        return sum(number % len(names) == names.index(worker) for number in due)

    def _interval(self, worker: str, second: int) -> Interval:
        start = second * SECOND
        interval = Interval(second, start, SECOND)
        share = user_us_between(self.plan.load, start, start + SECOND) // len(self.workers)
        if share:
            interval.user_us = {SCENARIO: share}
        starts = self._starts(worker, second)
        if starts:
            interval.arrivals = {ArrivalKey(SCENARIO, self._phase(second)): Arrivals(starts)}
            interval.user_wait.record(10, starts)
        ended = self.requests.get(worker, {}).get(second, [])
        interval.started = len(ended)
        for us, outcome, extra in ended:
            key = SeriesKey(
                extra.get("scenario", SCENARIO),
                extra.get("method", "GET"),
                extra.get("name", NAME),
                outcome,
                extra.get("phase", self._phase(second)),
                extra.get("faults", ()),
            )
            series = interval.series.setdefault(key, Series(Histogram(), [0] * len(self.limits_us)))
            series.histogram.record(us)
            series.over = [
                count + (us > limit) for count, limit in zip(series.over, self.limits_us, strict=True)
            ]
            answered = outcome in {Outcome.OK, Outcome.FAILED}
            exchanges = interval.exchanges.setdefault(Endpoint("GET", key.name), Exchanges())
            exchanges.answered += answered
            exchanges.unanswered += not answered
            if answered:
                interval.first_done_us = start + 1_000
                interval.last_done_us = start + SECOND - 1_000
        interval.pacer_lag.record(50)
        return interval


def run_of(*rules: str, latencies: Sequence[int] = (50_000,) * 20, **options) -> Run:
    """A run of the plan of these rules that ends the given requests in every second."""
    return Run(plan_of(*rules, **options)).steadily(latencies)


def hang(run: Run, seconds: range, users: int = 100) -> Run:
    """The target answers nothing in these seconds while every user waits; then it answers them all."""

    def stuck(worker: str, second: int, interval: Interval) -> None:
        if second in seconds:
            interval.in_flight = users
            interval.oldest_us = (second - seconds.start + 1) * SECOND

    for requests in run.requests.values():
        for second in seconds:
            requests.pop(second, None)
    waited = len(seconds) * SECOND
    run.answer([waited] * users, [seconds.stop])
    return run.change(stuck)


def rule_of(judgement: Judgement, text: str) -> RuleResult:
    """The result of one rule, by its canonical text."""
    return next(result for result in judgement.rules if result.rule == text)


def codes(judgement: Judgement) -> set[str]:
    return {reason.code for reason in judgement.reasons}
