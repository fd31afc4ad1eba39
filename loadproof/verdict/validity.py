"""Why a run proves nothing, or less than it seems, whatever its rules say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.measure.recorder import NAMES, OTHER
from loadproof.units import ABSENT, format_count, format_duration
from loadproof.verdict.accounting import gap_text
from loadproof.verdict.arrived import arrival_mix_reasons, arrival_reasons
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.generator import generator_reasons
from loadproof.verdict.offered import NOT_OFFERED, offered_reasons
from loadproof.verdict.result import Reason, Verdict
from loadproof.verdict.search import Ending
from loadproof.verdict.searched import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadproof.verdict.accounting import Books
    from loadproof.verdict.case import Case
    from loadproof.verdict.facts import Absence
    from loadproof.verdict.rule import Rule

LATE_US: Final = 2 * SECOND_US
"""Before the end of the load, by which a worker that ends has left."""
CLOCK_SHARE: Final = 0.01
"""Of a window or phase, that an error of run time may be before it is told of."""
SHOWN: Final = 5
"""Texts of one kind that a reason quotes."""
CUT_SHARE: Final = 0.01
"""Of a flow's passes, that may end early without a doubt."""
SILENT_US: Final = 10 * SECOND_US
"""User time of a scenario after which it should have asked for something."""


def validity_reasons(case: Case, rules: Sequence[Rule], books: Books) -> list[Reason]:
    """Every reason but those of single rules."""
    found = list(_evidence_reasons(case, books))
    # A smoke run runs every task once: it follows no plan's load.
    if not case.facts.smoke:
        found += arrival_reasons(case) if case.plan.open else offered_reasons(case)
    found += arrival_mix_reasons(case) if case.plan.open else _mix_reasons(case)
    found += generator_reasons(case, rules)
    found += _clock_reasons(case, rules)
    found += (Reason(Verdict.INVALID, "books_open", text) for text in books.differences)
    if case.facts.target_count_lost is not None:
        found.append(Reason(Verdict.INVALID, "books_open", case.facts.target_count_lost))
    found += _scenario_reasons(case)
    found += _name_reasons(case)
    found += _silent_reasons(case)
    found += _cut_reasons(case)
    found += _fault_reasons(case)
    found += _search_reasons(case)
    found += _ending_reasons(case)
    return found


def _evidence_reasons(case: Case, books: Books) -> Iterator[Reason]:
    tolerated = len(books.gaps) <= case.plan.tolerate.torn_epochs
    for gap in books.gaps:
        yield Reason(Verdict.WARN if tolerated else Verdict.INVALID, "torn_epoch", gap_text(gap))
    facts = case.facts
    for worker, count in sorted(case.evidence.outside.items()):
        text = f"{format_count(count)} intervals of {worker} lie outside the run's time and were left out"
        yield Reason(Verdict.INVALID, "outside_run", text)
    if not case.evidence.workers:
        yield Reason(Verdict.INVALID, "no_evidence", "no journal of this run holds an interval")
    elif books.started == 0:
        yield Reason(Verdict.INVALID, "no_requests", "no request was made")
    seen = {*case.evidence.workers, *(epoch.worker for epoch in facts.epochs)}
    came = {region for worker, region in facts.planned if worker in seen}
    planned = [region.name for region in case.plan.regions]
    planned += [region for _, region in facts.planned if region not in planned]
    for region in dict.fromkeys(planned):
        if region not in came:
            yield Reason(Verdict.INVALID, "region_missing", f"no worker of region {region} ever came")
    for worker, region in facts.planned:
        if worker not in seen and region in came:
            why = facts.lost.get(worker)
            text = f"{worker} never came" + (f": {why}" if why else "")
            # Its load either was taken over, or `load_not_offered` says so.
            yield Reason(Verdict.WARN, "worker_missing", text)
    yield from _absence_reasons(case)


def _absence_reasons(case: Case) -> Iterator[Reason]:
    """Whoever went before the end, or was cut off for longer than a lease."""
    facts = case.facts
    for gap in facts.quorum_lost:
        text = f"region {gap.who} had fewer workers than its quorum {_from_to(gap)}"
        yield Reason(Verdict.INVALID, "quorum_lost", text)
    for gap in facts.absences:
        text = f"{gap.who} was not heard of {_from_to(gap)} ({gap.why}), and others carried its load"
        yield Reason(Verdict.WARN, "worker_away", text)
    if facts.smoke:
        return
    for epoch in facts.epochs:
        if epoch.complete and epoch.last_us is not None and epoch.last_us < case.timeline.end_us - LATE_US:
            text = f"{epoch.worker} left in order after {format_duration(epoch.last_us)}, and others carried its load"
            yield Reason(Verdict.WARN, "worker_left", text)


def _from_to(gap: Absence) -> str:
    until = "to the end" if gap.until_us is None else f"to {format_duration(gap.until_us)}"
    return f"from {format_duration(gap.from_us)} {until}"


def _mix_reasons(case: Case) -> Iterator[Reason]:
    """A scenario that has no user, or clearly fewer than its weight asks for, though the sum of users is right.

    One user for the whole run is rounding; below that and 95 % of its share it is another load than planned.
    """
    weights = case.plan.scenarios
    if not weights:
        return
    seen = dict.fromkeys(weights, 0)
    for (_, scenario), seconds in case.evidence.user_us.items():
        seen[scenario] = seen.get(scenario, 0) + sum(seconds.values())
    total_us, total_weight = sum(seen.values()), sum(weights.values())
    if not total_us:
        return
    for scenario, weight in weights.items():
        share = weight / total_weight
        expected_us = total_us * share
        users = 1 if case.facts.smoke and weight else case.plan.max_users * share
        is_missing = not seen[scenario] and users >= 1
        is_short = not case.facts.smoke and seen[scenario] < 0.95 * expected_us - case.timeline.end_us
        if is_missing or is_short:
            text = (
                f"scenario {scenario} had {format_count(seen[scenario] // SECOND_US)} user-seconds, its weight asks "
                f"for {format_count(round(expected_us / SECOND_US))}: its users could not be made, or ended"
            )
            yield Reason(Verdict.INVALID, NOT_OFFERED, text)


def _scenario_reasons(case: Case) -> Iterator[Reason]:
    evidence = case.evidence
    for text in sorted(evidence.undeclared):
        yield Reason(Verdict.INVALID, "undeclared", text)
    errors = evidence.task_errors
    if errors:
        most = max(errors, key=lambda text: (errors[text], text))
        text = (
            f"{format_count(sum(errors.values()))} exceptions left tasks, {format_count(errors[most])} times "
            f"{most[:200]!r}"
        )
        yield Reason(Verdict.WARN, "task_errors", text)
    if evidence.untracked:
        text = (
            f"of {format_count(evidence.untracked)} requests only the end was seen, so that one which never "
            "ended could hide"
        )
        yield Reason(Verdict.WARN, "untracked", text)


def _name_reasons(case: Case) -> Iterator[Reason]:
    """Endpoints beyond what a worker tells apart: which they are depends on the worker, and a rule by name misses them."""
    names = {key.series.name for key in case.evidence.totals}
    if OTHER in names and len(names) > NAMES:
        text = (
            f"workers met more than {format_count(NAMES)} endpoints and counted later ones as {OTHER!r}: a rule on one "
            "endpoint may miss requests of it; name requests by template, /items/:id and not /items/17"
        )
        yield Reason(Verdict.WARN, "names_folded", text)


def _silent_reasons(case: Case) -> Iterator[Reason]:
    """A scenario whose users were there and did nothing that is recorded: they may all hang in `on_start`.

    Nothing is said where requests do not tell whose they are. Of an open plan's pool it is the starts that were taken.
    """
    evidence = case.evidence
    heard = {key.series.scenario for key in evidence.totals} | {key.check.scenario for key in evidence.checks}
    heard |= {key.metric.scenario for key in evidence.metrics}
    if case.facts.smoke or not heard or ABSENT in heard or evidence.untracked:
        return
    user_us: dict[str, int] = {}
    for (_, scenario), seconds in evidence.user_us.items():
        user_us[scenario] = user_us.get(scenario, 0) + sum(seconds.values())
    taken = {
        key.arrival.scenario
        for key, seconds in evidence.arrivals.items()
        if any(row[0] for _, row in seconds.items())
    }
    for scenario, us in sorted(user_us.items()):
        if scenario not in heard and us >= SILENT_US and (not case.plan.open or scenario in taken):
            text = (
                f"scenario {scenario} had {format_count(us // SECOND_US)} user-seconds and made no request: its part of "
                "the load was not made, or nobody saw it"
            )
            yield Reason(Verdict.WARN, "silent", text)


def _cut_reasons(case: Case) -> Iterator[Reason]:
    """Passes of a flow that ended where a value was not in the answer: what comes after it was not asked."""
    flows = {flow.name for flow in case.plan.flows}
    counts: dict[tuple[str, str], list[int]] = {}
    for key, seen in case.evidence.checks.items():
        if key.check.scenario in flows and key.check.check.startswith("capture("):
            row = counts.setdefault((key.check.scenario, key.check.check), [0, 0])
            row[0] += seen.failed
            row[1] += seen.passed + seen.failed
    for (flow, check), (failed, executed) in sorted(counts.items()):
        if failed > CUT_SHARE * executed:
            text = (
                f"{format_count(failed)} of {format_count(executed)} times a pass of the flow {flow} ended at {check}, "
                "as the answer had no such value: what follows was not asked"
            )
            yield Reason(Verdict.WARN, "passes_cut", text)


def _clock_reasons(case: Case, rules: Sequence[Rule]) -> Iterator[Reason]:
    """Rules on stretches so short that, by how well run time is known, requests of their neighbours may be in them."""
    error_us = case.facts.clock_error_us
    if not error_us or case.facts.smoke:
        return
    lengths = {phase.name: phase.duration_us for phase in case.plan.load}
    faults = {fault.name: fault.for_us for fault in case.plan.faults}
    doubtful = []
    for rule in rules:
        stretches = [rule.window.seconds * SECOND_US] if rule.window is not None else []
        stretches += [faults[fault] for fault in (rule.selector.get("fault"),) if fault in faults]
        stretches += [lengths[phase] for phase in (rule.selector.get("phase"),) if phase in lengths]
        if stretches and error_us > CLOCK_SHARE * min(stretches):
            doubtful.append(str(rule))
    if doubtful:
        more = f" and {len(doubtful) - SHOWN} more" if len(doubtful) > SHOWN else ""
        text = (
            f"run time was known to {format_duration(error_us)} only, over 1 % of what is judged by "
            f"{'; '.join(doubtful[:SHOWN])}{more}: what was measured just outside may count in it"
        )
        yield Reason(Verdict.WARN, "clock", text)


def _fault_reasons(case: Case) -> Iterator[Reason]:
    """What was to be broken and was not, or stayed broken: it was another run than the plan's."""
    facts = case.facts
    for failed in facts.faults_failed:
        text = f"the fault {failed.fault} failed {format_duration(failed.at_us)} into the run: {failed.why}"
        yield Reason(Verdict.INVALID, "fault_failed", text)
    if facts.smoke or facts.goes_on or facts.stop is not None:
        return
    told = facts.faults_begun | {failed.fault for failed in facts.faults_failed}
    for fault in case.plan.faults:
        if fault.name not in told:
            yield Reason(Verdict.INVALID, "fault_failed", f"the fault {fault.name} was never begun")


def _search_reasons(case: Case) -> Iterator[Reason]:
    """What is to be said of a search whether or not a rule asks for its capacity."""
    facts = case.facts
    if case.plan.search is None or facts.smoke or facts.goes_on:
        return
    known = facts.searched
    if known is None or not known.probes:
        yield Reason(Verdict.INVALID, "search", "the search tried no load")
        return
    if known.found.ending is Ending.LOWEST_BREAKS:
        text = f"even the lowest load that the search tried broke {known.limited_by}"
        yield Reason(Verdict.FAIL, "search", text)
    elif known.capacity is None:
        yield Reason(Verdict.INVALID, "search", known.text)
    elif known.found.ending not in {Ending.FOUND, Ending.CEILING} or known.shape is Shape.SINKS:
        yield Reason(Verdict.WARN, "search", known.text)
    elif known.lack is not None:
        yield Reason(Verdict.WARN, "search", known.lack)


def _ending_reasons(case: Case) -> Iterator[Reason]:
    for trip in case.facts.guards:
        if trip.level != "stop":
            yield Reason(Verdict.WARN, "guard", f"{trip.why}, {format_duration(trip.at_us)} into the run")
    stop = case.facts.stop
    if stop is not None and stop.rule is not None:
        text = f"the abort rule {stop.rule} ended the run after {format_duration(stop.at_us)}: {stop.why}"
        yield Reason(Verdict.FAIL, "abort", text)
    elif stop is not None:
        planned = format_duration(case.timeline.planned_us)
        why = f": {stop.why}" if stop.why else ""
        text = f"the run was stopped by {stop.by} after {format_duration(stop.at_us)} of {planned}{why}"
        yield Reason(Verdict.INVALID, "stopped", text)
    for edited in case.facts.users_edited:
        text = (
            f"{format_count(edited.was)} users were made {format_count(edited.users)} by hand after "
            f"{format_duration(edited.at_us)}: {edited.who}; it was another load than the plan's"
        )
        yield Reason(Verdict.WARN, "users_edited", text)
    if case.facts.smoke:
        text = "a smoke run shows that the scenarios work; it makes no load"
        yield Reason(Verdict.WARN, "smoke", text)
