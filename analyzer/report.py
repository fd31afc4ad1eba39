"""From a run folder to its Report: read, fold, judge, lay out. The same folder gives the same Report."""

from __future__ import annotations

import gc
from dataclasses import replace
from math import fsum
from typing import TYPE_CHECKING, Any

from analyzer.advice import advice
from analyzer.baselines import read_baselines
from analyzer.compare import compare
from analyzer.digests import run_digest
from analyzer.faults import faults_told
from analyzer.fold import Fold
from analyzer.folder import MANIFEST_OPEN, RunFolder, open_run, read_extra_rules
from analyzer.hints import hints
from analyzer.model import (
    DurationTotals,
    EpochRow,
    Generator,
    Report,
    ResourceLine,
    ResourceTotals,
    WorkerRow,
)
from analyzer.offered import offered
from analyzer.quantiles import P99, latency, quantiles
from analyzer.searches import with_search
from analyzer.tables import Tables
from analyzer.wording import by_weight
from loadproof.measure.bulk import DoubtError
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Timed
from loadproof.verdict.accounting import keep_books
from loadproof.verdict.case import Case
from loadproof.verdict.criteria import judges_run
from loadproof.verdict.drift import drift
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.generator import lag_limit_us
from loadproof.verdict.growth import want_slices
from loadproof.verdict.judge import judge
from loadproof.verdict.result import Judgement, Reason, Verdict
from loadproof.verdict.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from analyzer.model import Second
    from loadproof.verdict.facts import RunFacts
    from loadproof.verdict.growth import Points
    from loadproof.verdict.rule import Rule


def analyse(path: Path, extra_rules: Sequence[str] = ()) -> Report:
    """Read the run folder and judge it by its plan's rules, and by `extra_rules` beside them.

    RunFolderError when the folder cannot be a run's; UsageError for an extra rule. Everything else that is
    wrong with the folder is a reason or a note of the Report.
    """
    asked = read_extra_rules(extra_rules)
    folder, fold = read_run(path, asked)
    known = read_baselines(path, folder.notes)
    facts = with_search(folder, folder.facts())
    if known is not None:
        facts = replace(facts, baseline=known.values())
    more = [rule for rule in asked if rule not in folder.rules]
    rules = [*folder.rules, *more]
    _tell_of_unjudged(more, folder, Case(folder.plan, fold.evidence, facts))
    judgement = _with_folder(judge(folder.plan, rules, fold.evidence, facts), folder)
    report = _Layout(folder, fold, facts, judgement, float(lag_limit_us(rules))).report()
    report = replace(
        report, drift=drift(Case(folder.plan, fold.evidence, facts), rules, _latencies(report.timeline))
    )
    if known is not None:
        digest = run_digest(folder, Case(folder.plan, fold.evidence, facts), judgement)
        report = replace(report, comparison=compare(digest, known.baselines, leave=known.leave))
    return replace(report, hints=hints(report))


def _tell_of_unjudged(rules: Sequence[Rule], folder: RunFolder, case: Case) -> None:
    """Rules that were given with the report, of which a search leaves nothing to judge."""
    for rule in rules:
        if not judges_run(rule, case):
            text = f"{rule} is not judged: the load was searched for by the plan's own rules, and broke them on purpose"
            folder.reasons.append(Reason(Verdict.WARN, "rule", text))


def read_run(path: Path, rules: Sequence[Rule] = ()) -> tuple[RunFolder, Fold]:
    """The folder with all of its journals read, for its own rules and these. RunFolderError when it cannot be a run's."""
    was_collecting = gc.isenabled()
    # What intervals are made of has no cycles, and looking for some takes a seventh of the time.
    gc.disable()
    try:
        return _read_run(path, rules)
    finally:
        if was_collecting:
            gc.enable()


def _read_run(path: Path, rules: Sequence[Rule]) -> tuple[RunFolder, Fold]:
    folder, fold = _opened(path, rules)
    try:
        fold.read_in_bulk(folder.sources())
    except DoubtError:
        folder, fold = _opened(path, rules)
        fold.read(folder.sources())
    return folder, fold


def _opened(path: Path, rules: Sequence[Rule]) -> tuple[RunFolder, Fold]:
    folder = open_run(path)
    fold = Fold(folder.plan, folder.limits_us)
    want_slices(fold.evidence, (*folder.rules, *rules))
    return folder, fold


def _with_folder(judgement: Judgement, folder: RunFolder) -> Judgement:
    """The judgement with what the folder itself says against the run.

    A master that died leaves what the judge knows how to weigh, so a FAIL stands. A plan or manifest that
    cannot be believed leaves nothing: rules, limits or journals may be another run's.
    """
    if not folder.reasons:
        return judgement
    reasons = [*folder.reasons, *judgement.reasons]
    if any(reason.code != MANIFEST_OPEN for reason in folder.reasons):
        doubt = "; no verdict on the target, as the run folder cannot be believed"
        reasons = [
            Reason(Verdict.INVALID, reason.code, reason.text + doubt)
            if reason.verdict is Verdict.FAIL
            else reason
            for reason in reasons
        ]
    ordered = by_weight(tuple(reasons))
    return Judgement(ordered[0].verdict, ordered, judgement.rules)


class _Layout:
    def __init__(
        self, folder: RunFolder, fold: Fold, facts: RunFacts, judgement: Judgement, lag_limit_us: float
    ) -> None:
        self.folder = folder
        self.fold = fold
        self.facts = facts
        self.judgement = judgement
        self.lag_limit_us = lag_limit_us
        case = Case(folder.plan, fold.evidence, facts)
        self.tables = Tables(case)
        self.books = keep_books(case)
        # A search judges its phase by probes; the tables describe it all the same.
        searched = frozenset(filter(None, [case.timeline.searched]))
        self.judged = case.timeline.every if facts.smoke else case.timeline.judged | searched

    def report(self) -> Report:
        plan, tables, fold = self.folder.plan, self.tables, self.fold
        errors = tables.errors(fold.error_seconds)
        return Report(
            run=self.facts.run,
            name=plan.name,
            title=plan.title,
            verdict=self.judgement.verdict,
            reasons=self.judgement.reasons,
            rules=self.judgement.rules,
            advice=advice(self.judgement, errors),
            judged_phases=tuple(phase.name for phase in plan.load if phase.name in self.judged),
            totals=tables.totals(Selection(self.judged)),
            by_scenario=tables.by_scenario(self.judged),
            by_region=tables.by_region(self.judged),
            by_name=tables.by_name(self.judged),
            by_phase=tables.by_phase(),
            series=tables.series(),
            timeline=tuple(fold.timeline),
            metric_rows=fold.rows.finish(),
            checks=tables.checks(),
            metrics=tables.metrics(),
            errors=errors,
            books=self.books,
            target_counted_note=self.folder.manifest.target_counts_note if self.folder.manifest else None,
            stop=self.facts.stop,
            workers=self._workers(),
            epochs=self._epochs(),
            generator=self._generator(),
            resources=self._resources(),
            events=self.folder.events,
            notes=tuple(self.folder.notes),
            plan=plan,
            offered=offered(plan, fold.evidence, self.folder.events),
            arrivals=tables.arrivals(),
            durations=self._durations(),
            latency_map=fold.heat.finish(),
            resource_lines=self._resource_lines(),
            absences=self.facts.absences,
            guards=self.facts.guards,
            search=self.facts.searched,
            faults=faults_told(self.tables.case),
            manifest=self._manifest(),
        )

    def _manifest(self) -> dict[str, Any]:
        if not self.folder.manifest_raw:
            return {}
        return self.folder.manifest_raw | {
            "verdict": self.judgement.verdict.value,
            "requests": self.books.started,
            "target_counted": self.books.target_counted,
        }

    def _epochs(self) -> tuple[EpochRow, ...]:
        manifest = self.folder.manifest
        known = {(one.worker, one.epoch): one for one in manifest.epochs} if manifest else {}
        rows = []
        for epoch in self.facts.epochs:
            told = known.get((epoch.worker, epoch.epoch))
            rows.append(
                EpochRow(
                    worker=epoch.worker,
                    region=epoch.region,
                    epoch=epoch.epoch,
                    joined_us=told.joined_us if told else None,
                    left_us=told.left_us if told else None,
                    how=told.how if told else None,
                    why=told.why if told else None,
                    intervals=epoch.intervals,
                    complete=epoch.complete,
                    damage=epoch.damage,
                )
            )
        return tuple(rows)

    def _workers(self) -> tuple[WorkerRow, ...]:
        planned = dict(self.facts.planned)
        regions = planned | {epoch.worker: epoch.region for epoch in self.facts.epochs}
        return tuple(self._worker(name, regions[name], name in planned) for name in sorted(regions))

    def _worker(self, name: str, region: str, planned: bool) -> WorkerRow:
        worker, health = self.fold.evidence.workers.get(name), self.fold.health.get(name)
        if worker is None or health is None:
            return WorkerRow(name, region, planned, 0, *[None] * 8)
        # A sliver of a second, as a run's last interval is, can show more CPU time than it is long.
        busy = [one.cpu_us / one.length_us for one in worker.seconds if one.length_us >= SECOND_US // 2]
        return WorkerRow(
            worker=name,
            region=region,
            planned=planned,
            requests=worker.started,
            users_max=health.users_max,
            cpu_ratio_max=max(busy, default=None),
            cpu_ratio_mean=health.cpu_us / health.length_us if health.length_us else None,
            pacer_lag_p99_us=_p99(health.pacer_lag),
            receive_lag_p99_us=_p99(health.receive_lag),
            longest_interval_us=max((one.length_us for one in worker.seconds), default=None),
            throttled_us=_sum_known([one.throttled_us for one in worker.seconds]),
            steal_us=_sum_known([one.steal_us for one in worker.seconds]),
        )

    def _durations(self) -> tuple[DurationTotals, ...]:
        """In the order in which a connection goes through them, the most frequent names first."""
        order = list(Timed)
        rows = [
            DurationTotals(timed, name, histogram.count, of)
            for (timed, name), histogram in self.fold.durations.items()
            if (of := latency(histogram)) is not None
        ]
        return tuple(sorted(rows, key=lambda row: (order.index(row.timed), -row.count, row.name)))

    def _generator(self) -> Generator:
        pacer, receive, wait = Histogram(), Histogram(), Histogram()
        fleet = self.fold.health.values()
        for health in fleet:
            pacer += health.pacer_lag
            receive += health.receive_lag
            wait += health.user_wait
        busy = [worker.cpu_ratio_max for worker in self._workers() if worker.cpu_ratio_max is not None]
        return Generator(
            cpu_ratio_max=max(busy, default=None),
            pacer_lag_p99_us=_p99(pacer),
            receive_lag_p99_us=_p99(receive),
            clock_offset_us_max=self.folder.manifest.clock_offset_us_max if self.folder.manifest else None,
            user_wait_p99_us=_p99(wait),
            stamped=sum(health.stamped for health in fleet),
            unstamped=sum(health.unstamped for health in fleet),
            lag_limit_us=self.lag_limit_us,
        )

    def _resources(self) -> tuple[ResourceTotals, ...]:
        rows = []
        for name, samples in sorted(self.facts.resources.items()):
            values = [sample.value for sample in samples]
            if values:
                rows.append(
                    ResourceTotals(name, len(values), min(values), fsum(values) / len(values), max(values))
                )
        return tuple(rows)

    def _resource_lines(self) -> tuple[ResourceLine, ...]:
        lines = []
        for name, samples in sorted(self.facts.resources.items()):
            highest: dict[int, float] = {}
            for sample in samples:
                second = sample.at_us // SECOND_US
                highest[second] = max(highest.get(second, sample.value), sample.value)
            lines.append(ResourceLine(name, tuple(sorted(highest.items()))))
        return tuple(lines)


def _latencies(timeline: Sequence[Second]) -> dict[str, Points]:
    """P95 of the ok requests of each second, which stands in its middle."""
    points = tuple(
        (round((one.second + 0.5) * SECOND_US), float(one.p95_us))
        for one in timeline
        if one.p95_us is not None
    )
    return {"p95": points}


def _p99(histogram: Histogram) -> int | None:
    return quantiles(histogram, P99)[0] if histogram.count else None


def _sum_known(parts: list[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
