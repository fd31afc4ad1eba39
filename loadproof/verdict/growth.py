"""Rules on growth: of what is sampled once a second, and of latencies.

What is looked at are the judged phases of constant load, without the windows of faults: where users come and go, files
and memory do too, and that is no drift. Where the load changes, a fault was, or a process is a new one, a new segment
begins.

A growth is told from none only if its 95 % interval does not hold both 0 and the limit: until then a rule has no
data, whatever side of the limit the value lies on. From then on, a value beyond the limit is FAIL.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil, isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from loadproof.measure.interval import Outcome
from loadproof.plan.edits import edits_of
from loadproof.units import format_count, format_duration
from loadproof.verdict.case import Case, Measured, cut_short, no_data, shown
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.rule import GROWTH, Per, Statistic
from loadproof.verdict.samples import UNCOVERED, judged_stretches, other_unit, uncovered, why_never
from loadproof.verdict.selection import selection_of
from loadproof.verdict.slices import WAITED, Slices
from loadproof.verdict.tallies import COUNT, TOTAL
from loadproof.verdict.theil_sen import Segment, TooFew, Trend, trend
from loadproof.verdict.timeline import Stretch, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.plan.model import Phase
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import Sample
    from loadproof.verdict.rule import Bound, Rule

HOUR_US: Final = 3_600 * SECOND_US
REQUESTS: Final = 1_000
UPTIME: Final = "uptime"
"""The resource by which a process that was started anew is known: seconds since the start of the youngest."""

LEAST: Final = {"rss": 4096.0, "vsz": 4096.0, "memory": 1e-5, "cpu": 1e-4}
"""The smallest step of what is no whole number of anything: a page, and where the sampler rounds."""

MOST_VALUE: Final = 1e100
"""Squares and slopes of it are numbers still. What lies beyond counts as this in the table, and is NO DATA in a rule."""

Points = tuple[tuple[int, float], ...]
"""(run time in microseconds, value), in order of time."""


@dataclass(frozen=True)
class Growth:
    """How fast something grew, for an hour of run time or 1,000 requests."""

    value: float
    low: float
    high: float
    """The 95 % interval."""
    level: float
    """What it was, in the median."""
    added: float
    """What the value comes to over all that was looked at."""
    settled_us: tuple[int, ...]
    """Where warm-up was over, in each segment."""
    span_us: int
    """How much run time was looked at, after warm-up."""


def want_slices(evidence: Evidence, rules: Iterable[Rule]) -> None:
    """Have the latencies kept by time that these rules ask for; to be said before anything is added."""
    for rule in rules:
        if rule.statistic.grown is None:
            continue
        # An abort rule judges warm-up too.
        for with_warmup in (False, True):
            timeline = Timeline(evidence.plan, None, with_warmup=with_warmup)
            selection = selection_of(rule, timeline, smoke=False)
            evidence.slices[selection] = Slices(selection, evidence.plan.duration_us)


def sampled_for(rule: Rule) -> set[str]:
    """The samples that a rule on the growth of a resource goes by; none for any other rule."""
    if rule.per is None or rule.statistic.grown is not None:
        return set()
    name = str(rule.statistic.argument)
    return {name, f"{name.rpartition('.')[0]}.{UPTIME}"}


def measure_growth(rule: Rule, case: Case) -> Measured:
    """`growth(p95)`, `growth(target.rss)`, ..."""
    assert rule.per is not None
    stretches = steady_stretches(case, judged_stretches(rule, case))
    if not stretches:
        return no_data("no judged phase has a constant load, and what changes with the load is no drift")
    name = str(rule.statistic.argument)
    incomplete = None
    if rule.statistic.grown is not None:
        points = _latencies(rule, case)
        if not points:
            return case.nothing(rule)
        incomplete = _untold(rule, case, stretches)
    else:
        samples = tuple(one for one in case.facts.resources.get(name, ()) if isfinite(one.value))
        if not samples:
            return no_data(why_never(rule, case, name))
        if any(abs(sample.value) > MOST_VALUE for sample in samples):
            return no_data(f"{rule.statistic} was sampled as a number so large that no growth can be told")
        points = finite(samples)
        highest = Fraction(max((value for _, value in points), default=0.0))
        if points and (wrong := other_unit(rule, highest)) is not None:
            return no_data(wrong)
        incomplete = uncovered(rule, case, samples, stretches)
    parts = segments(case, name, points, stretches)
    count = sum(map(len, parts))
    found = growth(case, name, parts, rule.per)
    if isinstance(found, TooFew):
        return no_data(f"only {found.have} of {found.need} samples that {rule.statistic} needs", too_few=True)
    return _measured(rule, case, found, count, incomplete)


def _measured(rule: Rule, case: Case, found: Growth, count: int, incomplete: str | None) -> Measured:
    def is_open(bound: Bound) -> bool:
        low, high = found.low, found.high
        return low <= 0 <= high and low <= bound.value <= high and low < high

    def holds(bound: Bound) -> bool | None:
        return None if is_open(bound) else bound.holds(Fraction(found.value))

    def stands(bound: Bound) -> bool:
        return found.low > bound.value and not is_open(bound)

    def is_close(bound: Bound) -> bool:
        return found.low < bound.value < found.high

    warm = sum(found.settled_us)
    text = (
        f"{rule.statistic} is {shown(rule.unit, found.value)}{rule.per_text}, between "
        f"{shown(rule.unit, found.low)} and {shown(rule.unit, found.high)}, over {format_count(count)} samples"
        + (f" of which the first {format_duration(warm)} are left out as warm-up" if warm else "")
    )
    why = incomplete
    if is_open(rule.limit):
        need = _needed(found, rule.limit, count)
        why = (
            f"{format_count(count)} of {need} samples that it takes to tell a growth of "
            f"{rule.value_text(rule.limit.value)}{rule.per_text} from none: it lies between "
            f"{shown(rule.unit, found.low)} and {shown(rule.unit, found.high)}"
        )
    return Measured(
        text,
        found.value,
        count,
        holds,
        stands,
        (found.low, found.high),
        is_close,
        cut_short(case, case.selection(rule)),
        no_data=why,
        unclear="what is measured does not tell",
        too_few=why is not None and incomplete is None,
    )


def _needed(found: Growth, limit: Bound, count: int) -> str:
    """With n samples a slope is known to n^-1.5 of what one tells, as it goes with length and number."""
    half = (found.high - found.low) / 2
    if not isfinite(half):
        return "many more"
    return f"about {format_count(max(count + 1, ceil(count * (half / float(limit.value)) ** (2 / 3))))}"


def growth(case: Case, name: str, parts: Sequence[Points], per: Per) -> Growth | TooFew:
    """Of points in segments that are looked at together; `name` is that of a resource or a latency."""
    place = _Requests(case) if per is Per.REQUESTS else _run_time
    unit = REQUESTS if per is Per.REQUESTS else HOUR_US
    given = [
        Segment(np.array([place(at_us) for at_us, _ in part]), np.array([value for _, value in part]))
        for part in parts
        if len(part) > 1
    ]
    found = trend(given, lowest=is_floor(name), least=LEAST.get(name.rpartition(".")[2], 1.0))
    if isinstance(found, TooFew):
        return found
    long = [part for part in parts if len(part) > 1]
    settled = tuple(part[at][0] - part[0][0] for part, at in zip(long, found.settled, strict=True))
    lasted = sum(part[-1][0] - part[0][0] for part in long) - sum(settled)
    return _scaled(found, unit, settled, lasted)


def _scaled(found: Trend, unit: float, settled: tuple[int, ...], span_us: int) -> Growth:
    return Growth(
        found.slope * unit,
        found.low * unit,
        found.high * unit,
        found.level,
        found.slope * found.span,
        settled,
        span_us,
    )


def steady_stretches(case: Case, judged: Sequence[Stretch]) -> list[Stretch]:
    """What of the judged stretches has a constant load and no fault, in parts of one load each."""
    cuts = [(fault.at_us, fault.until_us) for fault in case.plan.faults]
    cuts += [(edit.at_us, edit.at_us) for edit in case.facts.users_edited]
    cuts += [(edit.at_us, edit.at_us) for edit in edits_of(case.plan.load)]
    found: list[Stretch] = []
    before: Phase | None = None
    for span in case.timeline.spans:
        phase = span.phase
        is_constant = phase.users_from == phase.users_to and phase.arrivals_from == phase.arrivals_to
        if is_constant:
            parts = [
                Stretch(max(span.start_us, one.from_us), min(span.end_us, one.to_us))
                for one in judged
                if one.from_us < span.end_us and span.start_us < one.to_us
            ]
            joins = before is not None and _load(before) == _load(phase) and found and parts
            if joins and found[-1].to_us == parts[0].from_us:
                parts[0] = Stretch(found.pop().from_us, parts[0].to_us)
            found += parts
        before = phase if is_constant else None
    for begin, end in cuts:
        found = [
            part
            for one in found
            for part in (
                Stretch(one.from_us, min(one.to_us, begin)),
                Stretch(max(one.from_us, end), one.to_us),
            )
            if part.length_us > 0
        ]
    return found


def _load(phase: Phase) -> tuple[int, int | None, int | None]:
    return phase.users_from, phase.arrivals_from, phase.pace_us


def segments(case: Case, name: str, points: Points, stretches: Iterable[Stretch]) -> list[Points]:
    """The points within the stretches, cut where a process of that side is a new one."""
    side = name.rpartition(".")[0]
    uptimes = finite(case.facts.resources.get(f"{side}.{UPTIME}", ())) if side else ()
    starts = [at_us for (_, before), (at_us, after) in pairwise(uptimes) if after < before]
    found = []
    for stretch in stretches:
        edges = [
            stretch.from_us,
            *(at for at in starts if stretch.from_us < at < stretch.to_us),
            stretch.to_us,
        ]
        for begin, end in pairwise(edges):
            part = tuple(point for point in points if begin <= point[0] < end)
            if part:
                found.append(part)
    return found


def is_floor(name: str) -> bool:
    """Whether it is what something comes down to that tells of a leak, and not what it mostly is."""
    is_latency = Statistic(GROWTH, name).grown is not None  # p99.9 has a point too
    return "." in name and not name.endswith(".cpu") and not is_latency


def finite(samples: Iterable[Sample]) -> Points:
    return tuple(
        (sample.at_us, max(-MOST_VALUE, min(MOST_VALUE, sample.value)))
        for sample in samples
        if isfinite(sample.value)
    )


def _latencies(rule: Rule, case: Case) -> Points:
    """The statistic over each slice of the run's time, of who was answered or waited until a timeout."""
    inner = rule.statistic.grown
    assert inner is not None
    slices = case.evidence.slices.get(case.selection(rule))
    if slices is None:
        return ()
    found = []
    for at_us, histogram in slices.items():
        if inner.quantile is None:
            found.append((at_us, histogram.total / histogram.count))
        elif (value := histogram.quantile(inner.quantile)) is not None:
            found.append((at_us, float(value)))
    return tuple(found)


def _untold(rule: Rule, case: Case, stretches: Iterable[Stretch]) -> str | None:
    """Why latencies do not tell of all the time, in a clause: who is refused, or never answered, has none."""
    selection = case.selection(rule)
    if selection.outcome is not None:
        return None
    requests = case.requests(selection)
    vain = set(requests.dropped)
    for second, row in requests.rows(frozenset(Outcome) - WAITED).items():
        if row[COUNT]:
            since_us = second * SECOND_US - row[TOTAL] // row[COUNT]
            vain.update(range(max(0, since_us // SECOND_US), second + 1))
    vain -= {second for second, row in requests.rows(WAITED).items() if row[COUNT]}
    seconds = {second for stretch in stretches for second in stretch.full_seconds}
    if len(vain & seconds) <= UNCOVERED * len(seconds):
        return None
    return (
        f"in {len(vain & seconds)} of the {len(seconds)} s judged requests were refused or left without an answer and "
        "none was ok, so that nothing tells how long they took"
    )


def _run_time(at_us: int) -> float:
    return float(at_us)


class _Requests:
    """How many requests of the whole run had ended by a time; within a second evenly."""

    def __init__(self, case: Case) -> None:
        ended: dict[int, int] = {}
        for seconds in case.evidence.seconds.values():
            for second, row in seconds.items():
                ended[second] = ended.get(second, 0) + row[COUNT]
        self._seconds = sorted(ended)
        self._by_then = [0, *accumulate(ended[second] for second in self._seconds)]
        self._in = ended

    def __call__(self, at_us: int) -> float:
        second = at_us // SECOND_US
        before = self._by_then[bisect_right(self._seconds, second - 1)]
        return before + self._in.get(second, 0) * (at_us % SECOND_US) / SECOND_US
