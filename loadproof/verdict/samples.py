"""Numbers that were read once a second while the run went on: resources of processes, and PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Final

from loadproof.units import duration_text, format_count, format_duration
from loadproof.verdict.case import Case, Measured, cut_short, no_data, shown
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.rule import GROWTH, PROMQL, Rule, Unit, WindowKind
from loadproof.verdict.timeline import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.verdict.facts import Sample
    from loadproof.verdict.rule import Bound

REACH_US: Final = 10 * SECOND_US
UNCOVERED: Final = Fraction(5, 100)
"""Largest share of the judged time that may lie further than `REACH_US` from the samples of a local process."""
GAP_US: Final = 5 * SECOND_US
"""A Prometheus is asked every second; between two values of it, or a phase's end, may lie no more."""
GAPS_TOLD: Final = 3
LEAST_BYTES: Final = 1_024
LARGEST_SHARE: Final = {"resource": 100, GROWTH: 100, PROMQL: 10}
"""More than that many times the whole is no share, but a percentage or another unit."""


@dataclass(frozen=True)
class Readings:
    """What one rule has to go by, in the base unit of its limit."""

    values: tuple[tuple[int, Fraction], ...]
    """(time, value) within the judged phases, in order of time."""
    nothing: str | None = None
    """Why there is none at all, in a clause."""
    incomplete: str | None = None
    """What keeps them from showing that a limit was kept, in a clause."""

    @cached_property
    def by_second(self) -> dict[int, tuple[Fraction, int]]:
        """Second -> (sum, number)."""
        table: dict[int, tuple[Fraction, int]] = {}
        for at_us, value in self.values:
            total, count = table.get(at_us // SECOND_US, (Fraction(0), 0))
            table[at_us // SECOND_US] = (total + value, count + 1)
        return table


def sampled_name(rule: Rule) -> str:
    """Under which name a rule's samples are kept: `target.cpu`, `promql(up)`."""
    return str(rule.statistic) if rule.statistic.name == PROMQL else str(rule.statistic.argument)


def subject(rule: Rule) -> str:
    """What a sentence after the rule's own text speaks of: an expression is too long to be said twice."""
    return "it" if rule.statistic.name == PROMQL else str(rule.statistic)


def readings_of(rule: Rule, case: Case) -> Readings:
    name = sampled_name(rule)
    samples = [sample for sample in case.facts.resources.get(name, ()) if isfinite(sample.value)]
    if not samples:
        return Readings((), nothing=why_never(rule, case, name))
    stretches = judged_stretches(rule, case)
    values = tuple(
        (sample.at_us, _in_unit(rule.unit, rule.statistic.name, sample.value))
        for sample in samples
        if any(stretch.from_us <= sample.at_us <= stretch.to_us for stretch in stretches)
    )
    if not values:
        return Readings((), nothing=f"{subject(rule)} was not sampled in the judged phases")
    wrong = other_unit(rule, max(value for _, value in values))
    if wrong is not None and rule.statistic.name != PROMQL:
        return Readings((), nothing=wrong)
    return Readings(values, incomplete=wrong or uncovered(rule, case, samples, _needed(rule, stretches)))


def judged_stretches(rule: Rule, case: Case) -> list[Stretch]:
    """Those of the rule's phases, of an abort rule from its delay on."""
    since_us = case.delay_us or 0
    return [
        Stretch(max(stretch.from_us, since_us), stretch.to_us)
        for stretch in case.timeline.stretches(case.selection(rule).phases)
        if stretch.to_us > since_us
    ]


def _needed(rule: Rule, stretches: list[Stretch]) -> list[Stretch]:
    """Where a gap in the samples would leave something open: under `over` in the last window only."""
    if rule.window is None or rule.window.kind is not WindowKind.OVER or not stretches:
        return stretches
    last = stretches[-1]
    return [Stretch(max(last.from_us, last.to_us - rule.window.seconds * SECOND_US), last.to_us)]


def measure_samples(rule: Rule, case: Case) -> Measured:
    """The mean of a `.cpu`, the highest of any other resource, the worst of PromQL, over the judged phases."""
    readings = readings_of(rule, case)
    if readings.nothing is not None:
        return no_data(readings.nothing)
    numbers = [value for _, value in readings.values]
    is_mean = rule.statistic.name == "resource" and sampled_name(rule).rpartition(".")[2] == "cpu"
    if is_mean:
        what, value = "mean", sum(numbers, Fraction(0)) / len(numbers)
    elif rule.statistic.name == PROMQL and not rule.limit.operator.caps:
        what, value = "lowest", min(numbers)
    else:
        what, value = "highest", max(numbers)

    def stands(bound: Bound) -> bool:
        return not (is_mean and case.timeline.is_cut) and not bound.holds(value)

    return Measured(
        f"its {what} value is {shown(rule.unit, value)}"
        if rule.statistic.name == PROMQL
        else f"{what} {rule.statistic} is {shown(rule.unit, value)}",
        float(value),
        len(numbers),
        lambda bound: bound.holds(value),
        stands,
        doubts=cut_short(case, case.selection(rule)),
        no_data=readings.incomplete,
    )


def _in_unit(unit: Unit, statistic: str, value: float) -> Fraction:
    """Exactly the digits that were written down: 0.8 is 80 %, which the nearest binary fraction is not."""
    number = Fraction(repr(float(value)))
    # Prometheus measures time in seconds.
    return number * SECOND_US if unit is Unit.DURATION and statistic == PROMQL else number


def why_never(rule: Rule, case: Case, name: str) -> str:
    """Of a resource that has no sample at all, in a clause."""
    failures = case.facts.unsampled.get(name, ())
    if failures:
        return f"{subject(rule)} never had a value: {failures[-1].why}"
    if rule.statistic.name == PROMQL:
        named = case.plan.prometheus is not None
        return f"{subject(rule)} was never sampled" + ("" if named else ", as the plan names no Prometheus")
    known = ", ".join(sorted(known for known in case.facts.resources if "(" not in known)) or "none"
    return f"{rule.statistic} was never sampled; sampled were: {known}"


def other_unit(rule: Rule, highest: Fraction) -> str | None:
    """Why the limit's unit cannot be that of the samples, in a clause; None where it can."""
    is_promql = rule.statistic.name == PROMQL
    if rule.unit is Unit.BYTES and highest < LEAST_BYTES and not is_promql:
        what = "size in bytes"
    elif rule.unit is Unit.RATIO and highest > LARGEST_SHARE[rule.statistic.name]:
        what = "share"
    else:
        return None
    own = "the unit of its result" if is_promql else "the resource's own unit"
    return f"{rule.statistic} was sampled as {format_count(float(highest))}, which is no {what}: write the limit in {own}"


def uncovered(rule: Rule, case: Case, samples: Sequence[Sample], stretches: Sequence[Stretch]) -> str | None:
    """Why the samples are too few for these stretches, in a clause; None where they are not."""
    prometheus = case.plan.prometheus
    if rule.statistic.name == PROMQL or (prometheus and sampled_name(rule) in prometheus.resources):
        return _gap_text(rule, case, _gaps(samples, stretches))
    total_us = sum(stretch.length_us for stretch in stretches)
    covered_us = _covered_us(samples, stretches)
    if total_us - covered_us <= UNCOVERED * total_us:
        return None
    return f"samples cover {format_duration(covered_us)} of the {format_duration(total_us)} judged"


def _gaps(samples: Iterable[Sample], stretches: Iterable[Stretch]) -> list[Stretch]:
    times = [sample.at_us for sample in samples]
    found = []
    for stretch in stretches:
        inside = [at_us for at_us in times if stretch.from_us <= at_us <= stretch.to_us]
        points = [stretch.from_us, *inside, stretch.to_us]
        found += [Stretch(one, other) for one, other in pairwise(points) if other - one > GAP_US]
    return found


def _gap_text(rule: Rule, case: Case, gaps: Sequence[Stretch]) -> str | None:
    if not gaps:
        return None
    failures = case.facts.unsampled.get(sampled_name(rule), ())
    told = []
    for gap in gaps[:GAPS_TOLD]:
        during = [failure.why for failure in failures if gap.from_us <= failure.at_us <= gap.to_us]
        why = f" ({during[0]})" if during else ""
        told.append(f"from {_moment(gap.from_us)} to {_moment(gap.to_us)}{why}")
    more = f" and {len(gaps) - GAPS_TOLD} times more" if len(gaps) > GAPS_TOLD else ""
    return f"{subject(rule)} had no value during the run {', '.join(told)}{more}"


def _moment(at_us: int) -> str:
    """To the second, as `12m18s`."""
    return duration_text(round(at_us / SECOND_US) * SECOND_US)


def _covered_us(samples: Iterable[Sample], stretches: Iterable[Stretch]) -> int:
    """Length of the stretches that lies within reach of a sample, from any phase; samples in order of time."""
    total = 0
    ordered = list(samples)
    for start, end in stretches:
        covered_to = start
        for sample in ordered:
            low, high = sample.at_us - REACH_US, min(end, sample.at_us + REACH_US)
            low = max(low, covered_to)
            if high > low:
                total += high - low
                covered_to = high
    return total
