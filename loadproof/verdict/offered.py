"""Was the planned load offered: active user time from the workers' own intervals against the plan's."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from loadproof.units import format_count, format_ratio
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.result import Reason, Verdict
from loadproof.verdict.shortfall import planned_user_us, seen_user_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.verdict.case import Case

NOT_OFFERED: Final = "load_not_offered"
LEAST: Final = Fraction(95, 100)
MOST: Final = Fraction(105, 100)
WINDOW: Final = 10


def offered_reasons(case: Case) -> Iterator[Reason]:
    """INVALID for every phase, and for the worst full 10 s, with less than 95 % or more than 105 % of the plan.

    Only full seconds are compared, up to where a run was stopped. Where the plan and the workers stay below
    one user on average, there is nothing to compare: users are whole.
    """
    end = case.timeline.end_us // SECOND_US
    load = _Load(case, end)
    for name, stretch in case.timeline.phases(case.timeline.every):
        share = load.share(stretch.full_seconds)
        if share is not None and not LEAST <= share <= MOST:
            yield _reason(f"phase {name}", load, stretch.full_seconds)
    shares = {}
    for first in range(end - WINDOW + 1):
        share = load.share(range(first, first + WINDOW))
        if share is not None:
            shares[first] = share
    if not shares:
        return
    lowest = min(shares, key=lambda first: shares[first])
    highest = max(shares, key=lambda first: shares[first])
    if shares[lowest] < LEAST:
        yield _reason(f"the {WINDOW} s from second {lowest}", load, range(lowest, lowest + WINDOW))
    if shares[highest] > MOST:
        yield _reason(f"the {WINDOW} s from second {highest}", load, range(highest, highest + WINDOW))


class _Load:
    def __init__(self, case: Case, seconds: int) -> None:
        self._case = case
        self._planned = [0, *accumulate(planned_user_us(case.plan, seconds))]
        self._seen = [0, *accumulate(seen_user_us(case.evidence, seconds))]
        self._seconds = seconds

    def planned(self, seconds: range) -> int:
        return self._planned[seconds.stop] - self._planned[seconds.start]

    def seen(self, seconds: range) -> int:
        return self._seen[seconds.stop] - self._seen[seconds.start]

    def share(self, seconds: range) -> Fraction | None:
        """Seen over planned; None where neither reaches one user on average. Load that nobody planned is 2."""
        if not seconds:
            return None
        planned, seen = self.planned(seconds), self.seen(seconds)
        if max(planned, seen) < len(seconds) * SECOND_US:
            return None
        return Fraction(seen, planned) if planned else Fraction(2)

    def furthest_off(self, seconds: range) -> str | None:
        """The region that missed its share most; None in a plan of one region."""
        off = {}
        for region in self._case.plan.regions:
            planned = sum(
                planned_user_us(self._case.plan, self._seconds, region.name)[seconds.start : seconds.stop]
            )
            seen = sum(
                seen_user_us(self._case.evidence, self._seconds, region.name)[seconds.start : seconds.stop]
            )
            off[region.name] = abs(planned - seen)
        return max(off, key=lambda region: off[region]) if len(off) > 1 else None


def _reason(where: str, load: _Load, seconds: range) -> Reason:
    span = len(seconds) * SECOND_US
    planned, seen = load.planned(seconds) / span, load.seen(seconds) / span
    share = f" ({format_ratio(seen / planned)})" if planned else ""
    text = (
        f"{where} had {format_count(round(seen, 1))} users on average where the plan has "
        f"{format_count(round(planned, 1))}{share}"
    )
    region = load.furthest_off(seconds)
    if region is not None:
        text += f", furthest off in {region}"
    return Reason(Verdict.INVALID, NOT_OFFERED, text)
