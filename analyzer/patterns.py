"""What stands out in a run's tables and timeline: one slow region, one endpoint that takes the time, the first
error's phase, and the load from which more users bring no more answers. Each with its numbers.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from analyzer.wording import clock_text, endpoint_text
from loadproof.plan.profile import phase_at
from loadproof.units import format_count, format_duration, format_rate, format_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.model import Report, Second

SLOW_REGION: Final = 1.5
"""How many times the other regions' median P95 a region's own is before it is called slow."""
LEAST_REQUESTS: Final = 100
"""Below this a P95 is a matter of five requests."""
DOMINATES: Final = 0.5
"""Share of all answering time from which one endpoint is said to take it."""
EARLY: Final = 0.1
"""Errors that come in this first part of a run began with it."""
_LEVELS: Final = 10
_FLAT: Final = 1.07
_GROWTH: Final = 1.5


def patterns(report: Report) -> Iterator[str]:
    """One sentence each."""
    yield from _slow_region(report)
    yield from _dominating_endpoint(report)
    yield from _first_error(report)
    yield from _knee(report)


def _slow_region(report: Report) -> Iterator[str]:
    p95 = {
        group.name: group.totals.latency.p95_us
        for group in report.by_region
        if group.totals.latency is not None and group.totals.ok >= LEAST_REQUESTS
    }
    for name, own in p95.items():
        others = [value for other, value in p95.items() if other != name]
        if others and own > SLOW_REGION * median(others) and own > max(others):
            yield (
                f"Region {name} is slow: its P95 is {format_duration(own)}, that of the other "
                f"{_regions(len(others))} {format_duration(median(others))}; look at its way to the target and at what "
                "serves it."
            )


def _regions(others: int) -> str:
    return "one" if others == 1 else f"{others} in the middle"


def _dominating_endpoint(report: Report) -> Iterator[str]:
    time = {
        group.name: group.totals.ok * group.totals.latency.mean_us
        for group in report.by_name
        if group.totals.latency is not None
    }
    requests = sum(group.totals.ok for group in report.by_name)
    total = sum(time.values())
    if len(time) < 3 or not total:
        return
    name = max(time, key=lambda one: time[one])
    [totals] = [group.totals for group in report.by_name if group.name == name]
    share, part = time[name] / total, totals.ok / requests
    if share >= DOMINATES and share > 2 * part and totals.latency is not None:
        yield (
            f"{name} takes {format_ratio(share)} of all answering time with {format_ratio(part)} of the requests "
            f"(mean {format_duration(totals.latency.mean_us)}): what makes it faster helps most."
        )


def _first_error(report: Report) -> Iterator[str]:
    known = [error for error in report.errors if error.first_s is not None]
    if not known:
        return
    first = min(known, key=lambda error: (error.first_s or 0, -error.count))
    assert first.first_s is not None
    at_us = first.first_s * 1_000_000
    if at_us < EARLY * report.plan.duration_us:
        return
    phase = phase_at(report.plan.load, at_us)
    second = next((row for row in report.timeline if row.second == first.first_s), None)
    users = (
        f" at {format_count(round(second.users))} users"
        if second is not None and second.users is not None
        else ""
    )
    where = f" in phase {phase.name}" if phase is not None else " after the plan's end"
    what = endpoint_text(first.method, first.name) if first.name else "a task"
    yield (
        f"Errors begin at {clock_text(at_us)}{where}{users}; before that there was none. The first: "
        f"{first.message[:120]} ({what})."
    )


def _knee(report: Report) -> Iterator[str]:
    """The least load from which the rate stays flat while users grow by half and the median by half, too."""
    levels = _levels(report)
    for index, (users, rate, p50_us) in enumerate(levels[:-1]):
        last_users, _, last_p50_us = levels[-1]
        later = [row[1] for row in levels[index + 1 :]]
        if (
            rate > 0
            and max(later) <= _FLAT * rate
            and last_users >= _GROWTH * users
            and last_p50_us >= _GROWTH * p50_us
        ):
            yield (
                f"More users bring no more answers from about {format_count(round(users))} on: {format_rate(round(rate))} "
                f"ok there and {format_rate(round(later[-1]))} at {format_count(round(last_users))}, while P50 goes from "
                f"{format_duration(p50_us)} to {format_duration(last_p50_us)}."
            )
            return


def _levels(report: Report) -> list[tuple[float, float, float]]:
    """(users, ok rate, P50 in microseconds) of tenths of the most users, as medians of their seconds, ascending."""
    if report.plan.open:
        return []
    groups: dict[int, list[Second]] = {}
    for row in report.timeline:
        if row.users and row.p50_us is not None and row.covered_us >= 1_000_000 // 2:
            groups.setdefault(round(_LEVELS * row.users / report.plan.max_users), []).append(row)
    return [
        (
            median(row.users or 0 for row in rows),
            median(row.ok for row in rows),
            median(row.p50_us or 0 for row in rows),
        )
        for level, rows in sorted(groups.items())
        if level >= 1
    ]
