"""Which requests, checks and users a rule speaks of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from loadproof.measure.interval import Outcome
from loadproof.measure.merge import added
from loadproof.plan.model import NO_FAULT
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.tallies import COUNT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from loadproof.measure.histogram import Histogram
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.rule import Rule
    from loadproof.verdict.tallies import RegionSeries
    from loadproof.verdict.timeline import Timeline


@dataclass(frozen=True)
class Selection:
    """A label that is None takes everything."""

    phases: frozenset[str]
    scenario: str | None = None
    region: str | None = None
    name: str | None = None
    method: str | None = None
    outcome: Outcome | None = None
    fault: str | None = None
    """The requests that lay in this fault's window with any part; `none`: those that lay in no fault's."""

    def takes_users(self, region: str, scenario: str) -> bool:
        return self.region in {None, region} and self.scenario in {None, scenario}

    def in_phases(self, phases: frozenset[str]) -> Selection:
        return replace(self, phases=phases)

    def takes(self, key: RegionSeries) -> bool:
        """Whether a series belongs to it, of whatever outcome."""
        series = key.series
        return (
            self.takes_users(key.region, series.scenario)
            and self.name in {None, series.name}
            and self.method in {None, series.method}
            and series.phase in self.phases
            and self.takes_fault(series.faults)
        )

    def takes_fault(self, faults: Collection[str]) -> bool:
        """Whether it takes what lay in the windows of these faults."""
        if self.fault is None:
            return True
        return not faults if self.fault == NO_FAULT else self.fault in faults


def selection_of(rule: Rule, timeline: Timeline, *, smoke: bool) -> Selection:
    """Without a phase in the selector: all phases but warm-up, for checks all; of a search its census alone.

    A smoke run does not follow the plan, so its requests have no phase worth the name: all are judged.
    """
    labels: Mapping[str, str] = rule.selector
    if smoke:
        phases = timeline.every
    elif "phase" in labels:
        phases = frozenset({labels["phase"]})
    else:
        phases = timeline.every if rule.statistic.name == "check" else timeline.judged
        if timeline.searched is not None and not rule.is_census and "fault" not in labels:
            phases &= timeline.judged
    outcome = labels.get("outcome")
    return Selection(
        phases,
        labels.get("scenario"),
        labels.get("region"),
        labels.get("name"),
        labels.get("method"),
        None if outcome is None else Outcome(outcome),
        labels.get("fault"),
    )


class Requests:
    """The requests of a selection by outcome; the selection's own outcome is for the caller to heed."""

    def __init__(self, evidence: Evidence, selection: Selection) -> None:
        self._evidence = evidence
        self._selection = selection
        self._keys = [key for key in evidence.totals if selection.takes(key)]
        self._rows: dict[frozenset[Outcome], dict[int, list[int]]] = {}

    @property
    def ended(self) -> int:
        return sum(self._evidence.totals[key].histogram.count for key in self._keys)

    @property
    def errors(self) -> int:
        return sum(self._evidence.totals[key].errors for key in self._keys)

    @cached_property
    def dropped(self) -> dict[int, int]:
        """Second -> starts of an open plan that were dropped in it; they never came to a name or a method."""
        chosen = self._selection
        if chosen.name is not None or chosen.method is not None:
            return {}
        found: dict[int, int] = {}
        for key, seconds in self._evidence.arrivals.items():
            start = key.arrival
            if (
                chosen.takes_users(key.region, start.scenario)
                and start.phase in chosen.phases
                and chosen.takes_fault(start.faults)
            ):
                for second, (_, no_user, late) in seconds.items():
                    if no_user + late:
                        found[second] = found.get(second, 0) + no_user + late
        return found

    def outlived(self, outcomes: Iterable[Outcome], us: int) -> dict[int, int]:
        """Second -> requests ended in it that had begun in a fault's window and gone on for longer than `us` after it.

        Of a selection of `fault=none` alone: how they fared outside of all windows is theirs to tell as well, and
        in a closed plan the users whom they held made no others.
        """
        found: dict[int, int] = {}
        for second, since_us, count in self._after_faults(outcomes):
            if second * SECOND_US - since_us > us:
                found[second] = found.get(second, 0) + count
        return found

    def outlived_most_us(self, outcomes: Iterable[Outcome], us: int) -> int:
        """How long those of `outlived` went on after their faults at most, together."""
        return sum(
            ((second + 1) * SECOND_US - since_us) * count
            for second, since_us, count in self._after_faults(outcomes)
            if second * SECOND_US - since_us > us
        )

    def _after_faults(self, outcomes: Iterable[Outcome]) -> Iterator[tuple[int, int, int]]:
        """(second in which they ended, end of their last fault, how many) of requests that were in a fault's window."""
        if self._selection.fault != NO_FAULT:
            return
        ends_us = {fault.name: fault.until_us for fault in self._evidence.plan.faults}
        everything, wanted = replace(self._selection, fault=None), frozenset(outcomes)
        for key, seconds in self._evidence.seconds.items():
            if not key.series.faults or key.series.outcome not in wanted or not everything.takes(key):
                continue
            since_us = max(ends_us.get(fault, 0) for fault in key.series.faults)
            for second, row in seconds.items():
                yield second, since_us, row[COUNT]

    def histogram(self, outcomes: Iterable[Outcome]) -> Histogram:
        return added(self._evidence.totals[key].histogram for key in self._of(outcomes))

    def over(self, outcomes: Iterable[Outcome], us: int) -> tuple[int, int]:
        """The least and the most requests that can have taken longer; equal where the journals counted."""
        keys = self._of(outcomes)
        if us in self._evidence.limits_us:
            index = self._evidence.limits_us.index(us)
            exact = sum(self._evidence.totals[key].over[index] for key in keys)
            return exact, exact
        fewest = most = 0
        for key in keys:
            histogram = self._evidence.totals[key].histogram
            lower, upper = histogram.count_at_most(us)
            fewest += histogram.count - upper
            most += histogram.count - lower
        return fewest, most

    def rows(self, outcomes: Iterable[Outcome]) -> dict[int, list[int]]:
        """Second -> the columns of `Evidence.seconds`, summed; shared, so for reading only."""
        wanted = frozenset(outcomes)
        if wanted not in self._rows:
            table: dict[int, list[int]] = {}
            for key in self._of(wanted):
                for second, row in self._evidence.seconds[key].items():
                    known = table.get(second)
                    if known is None:
                        table[second] = list(row)
                    else:
                        for column, value in enumerate(row):
                            known[column] += value
            self._rows[wanted] = table
        return self._rows[wanted]

    def _of(self, outcomes: Iterable[Outcome]) -> list[RegionSeries]:
        wanted = frozenset(outcomes)
        return [key for key in self._keys if key.series.outcome in wanted]


def why_empty(rule: Rule, selection: Selection, evidence: Evidence, timeline: Timeline) -> str:
    """One clause on why a rule's selector takes nothing: the label that never occurred, and a near one."""
    if not selection.phases:
        return "the plan has no phase but warm-up"
    if not any(worker.started for worker in evidence.workers.values()):
        return "no request was made"
    known: dict[str, set[str]] = {
        "region": {*evidence.regions, *(region.name for region in evidence.plan.regions)},
        "scenario": {key.series.scenario for key in evidence.totals},
        "name": {key.series.name for key in evidence.totals},
        "method": {key.series.method for key in evidence.totals},
        "phase": set(timeline.every),
        "fault": {fault.name for fault in evidence.plan.faults} | {NO_FAULT},
    }
    for label, value in rule.selector.items():
        names = known.get(label)
        if names is None or value in names:
            continue
        near = get_close_matches(value, sorted(names), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"nothing with the {label} {value!r} ever occurred{hint}"
    if not timeline.phases(selection.phases):
        return f"the run ended before {' and '.join(sorted(selection.phases))} began"
    if not rule.selector:
        return "no request of the judged phases ended"
    return "no request has all of " + ", ".join(f"{label}={value}" for label, value in rule.selector.items())
