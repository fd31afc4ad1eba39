"""Which stretches of the run clock a rule judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loadproof.plan.profile import PhaseSpan, phase_spans
from loadproof.plan.search import searched_from_us
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadproof.plan.model import Plan


class Stretch(NamedTuple):
    """[from_us, to_us) of the run clock."""

    from_us: int
    to_us: int

    @property
    def length_us(self) -> int:
        return self.to_us - self.from_us

    @property
    def full_seconds(self) -> range:
        """Indexes of the seconds that lie wholly inside."""
        return range(-(-self.from_us // SECOND_US), self.to_us // SECOND_US)

    @property
    def touched_seconds(self) -> range:
        """Indexes of the seconds that it shares an instant with."""
        return range(self.from_us // SECOND_US, -(-self.to_us // SECOND_US))


def within(stretches: Sequence[Stretch], windows: Iterable[Stretch]) -> list[Stretch]:
    """The parts of the stretches that lie in any of the windows, in order of time and without overlap."""
    rest = outside(stretches, windows)
    return outside(stretches, rest)


def outside(stretches: Sequence[Stretch], windows: Iterable[Stretch]) -> list[Stretch]:
    """The parts of the stretches that lie in none of the windows."""
    rest = list(stretches)
    for window in windows:
        rest = [
            part
            for stretch in rest
            for part in (
                Stretch(stretch.from_us, min(stretch.to_us, window.from_us)),
                Stretch(max(stretch.from_us, window.to_us), stretch.to_us),
            )
            if part.length_us > 0
        ]
    return rest


class Timeline:
    """The plan's phases, cut off where the run was stopped.

    With `with_warmup` warm-up is judged too; a run that `goes_on` was planned no further than it is known.
    """

    def __init__(
        self, plan: Plan, stopped_us: int | None, *, with_warmup: bool = False, goes_on: bool = False
    ) -> None:
        self.end_us = plan.duration_us if stopped_us is None else min(stopped_us, plan.duration_us)
        self.planned_us = self.end_us if goes_on else plan.duration_us
        self.spans: tuple[PhaseSpan, ...] = phase_spans(plan.load)
        self._with_warmup = with_warmup
        self.searched: str | None = plan.load[-1].name if searched_from_us(plan) is not None else None
        """The phase in which limits are meant to be broken."""

    @property
    def is_cut(self) -> bool:
        return self.end_us < self.planned_us

    @property
    def judged(self) -> frozenset[str]:
        """All phases but warm-up, and but the one in which a search looks for what breaks."""
        return frozenset(
            span.phase.name
            for span in self.spans
            if self._with_warmup or not (span.phase.warmup or span.phase.name == self.searched)
        )

    @property
    def every(self) -> frozenset[str]:
        return frozenset(span.phase.name for span in self.spans)

    def phases(self, names: Iterable[str]) -> list[tuple[str, Stretch]]:
        """The phases of these names, as far as the run got."""
        wanted = frozenset(names)
        return [
            (span.phase.name, Stretch(span.start_us, min(span.end_us, self.end_us)))
            for span in self.spans
            if span.phase.name in wanted and span.start_us < self.end_us and span.end_us > span.start_us
        ]

    def stretches(self, names: Iterable[str]) -> list[Stretch]:
        """The same with neighbouring phases joined."""
        joined: list[Stretch] = []
        for _, stretch in self.phases(names):
            if joined and joined[-1].to_us == stretch.from_us:
                joined[-1] = Stretch(joined[-1].from_us, stretch.to_us)
            else:
                joined.append(stretch)
        return joined

    def length_us(self, names: Iterable[str]) -> int:
        return sum(stretch.length_us for _, stretch in self.phases(names))
