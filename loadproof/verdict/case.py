"""What is judged, and what a measurement of one rule hands to the judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from loadproof.plan.model import NO_FAULT
from loadproof.units import format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.rule import Unit
from loadproof.verdict.selection import Requests, Selection, selection_of, why_empty
from loadproof.verdict.shortfall import Shortfall
from loadproof.verdict.timeline import Stretch, Timeline, outside, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import RunFacts
    from loadproof.verdict.recovery import Recovery
    from loadproof.verdict.rule import Bound, Rule

_FORMATS = {
    Unit.DURATION: format_duration,
    Unit.RATIO: format_ratio,
    Unit.RATE: format_rate,
    Unit.BYTES: format_bytes,
    Unit.NUMBER: format_count,
}


@dataclass(frozen=True)
class Case:
    """One run before the judge."""

    plan: Plan
    evidence: Evidence
    facts: RunFacts
    delay_us: int | None = None
    """For an abort rule, which knows no warm-up: windows, stalls and samples from before it do not count."""

    @cached_property
    def timeline(self) -> Timeline:
        stopped_us = None if self.facts.stop is None else self.facts.stop.at_us
        return Timeline(
            self.plan, stopped_us, with_warmup=self.delay_us is not None, goes_on=self.facts.goes_on
        )

    @property
    def whole(self) -> Timeline:
        """The timeline as it was planned, or as far as a run that goes on can be known."""
        return self.timeline if self.facts.goes_on else Timeline(self.plan, None)

    @cached_property
    def shortfall(self) -> Shortfall:
        return Shortfall(self.plan, self.evidence, self.facts)

    def stretches(self, selection: Selection, timeline: Timeline | None = None) -> list[Stretch]:
        """The times that a selection speaks of: its phases, and of them its fault's window or what lies in none."""
        found = (timeline or self.timeline).stretches(selection.phases)
        if selection.fault is None:
            return found
        windows = {fault.name: Stretch(fault.at_us, fault.until_us) for fault in self.plan.faults}
        if selection.fault == NO_FAULT:
            return outside(found, windows.values())
        return within(found, [window for name, window in windows.items() if name == selection.fault])

    def selection(self, rule: Rule) -> Selection:
        return selection_of(rule, self.timeline, smoke=self.facts.smoke)

    @cached_property
    def known_recoveries(self) -> dict[str, Recovery]:
        """Where `recovery.recoveries` keeps what it has found."""
        return {}

    @cached_property
    def _requests(self) -> dict[Selection, Requests]:
        return {}

    def requests(self, selection: Selection) -> Requests:
        """The same object for the same selection: rules share what it has summed."""
        if selection not in self._requests:
            self._requests[selection] = Requests(self.evidence, selection)
        return self._requests[selection]

    def missing(self, counts: dict[int, int], selection: Selection) -> int:
        """How many more of what `counts` holds by second the phases of a selection should have had."""
        seconds = [stretch.touched_seconds for stretch in self.stretches(selection, self.whole)]
        return self.shortfall.count(counts, seconds, selection.region)

    def nothing(self, rule: Rule) -> Measured:
        return no_data(why_empty(rule, self.selection(rule), self.evidence, self.timeline))


@dataclass(frozen=True)
class Measured:
    """One rule's value, and what can be said of any bound on it."""

    text: str
    """The start of a sentence, such as `p95 is 36 ms over 12,000 requests`."""
    value: float | None
    """As shown; decisions go by `holds`. Infinite when it lies among requests that had no answer."""
    samples: int | None
    holds: Callable[[Bound], bool | None]
    """Whether a bound is kept; None when the evidence does not tell."""
    stands: Callable[[Bound], bool]
    """Whether a broken bound stays broken with all that is missing taken as ok, fast and at planned rate."""
    confidence: tuple[float, float] | None = None
    is_close: Callable[[Bound], bool] = lambda bound: False  # noqa: ARG005 nothing is close without an interval
    """Whether the bound lies inside the confidence interval."""
    doubts: tuple[str, ...] = ()
    """Why the rule is WARN at best, in clauses."""
    no_data: str | None = None
    """Why the rule is NO_DATA unless its limit is broken, in a clause."""
    unclear: str = "a bucket of the histogram straddles the limit, which the journals did not count against"
    """Why `holds` cannot tell, in a clause."""
    too_few: bool = False
    """`no_data` is a matter of too short a run, not of something that never occurred."""


def no_data(why: str, *, too_few: bool = False) -> Measured:
    return Measured(
        "", None, None, holds=lambda _: None, stands=lambda _: False, no_data=why, too_few=too_few
    )


def shown(unit: Unit, value: float | Fraction | None) -> str:
    """A value for a sentence."""
    if value is None:
        return format_count(None)
    number = float(value)
    return "beyond every measured latency" if number == float("inf") else _FORMATS[unit](number)


def exact(
    value: Fraction,
    text: str,
    samples: int,
    stands: Callable[[Bound], bool],
    doubts: tuple[str, ...] = (),
) -> Measured:
    return Measured(text, float(value), samples, lambda bound: bound.holds(value), stands, doubts=doubts)


def cut_short(case: Case, selection: Selection) -> tuple[str, ...]:
    """The doubt about a number that grows with time, when the run did not get to its end."""
    ran = sum(stretch.length_us for stretch in case.stretches(selection))
    planned = sum(stretch.length_us for stretch in case.stretches(selection, case.whole))
    if ran == planned or case.facts.smoke:
        return ()
    return (f"only {format_duration(ran)} of the {format_duration(planned)} to judge were run",)
