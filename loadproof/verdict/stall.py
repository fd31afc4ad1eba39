"""Stalls: how long requests were in flight and the target answered none of them.

A closed model hides a dead target from percentiles: its users wait, so few requests are slow. The stall is
what shows it. Workers tell per interval when the first and the last answer came, and how old the oldest
request in flight was at its end. Between the last answer of one second and the first of a later one that is
exact; a pause that begins and ends within one interval cannot be seen, and is shorter than a second.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from loadproof.units import format_duration
from loadproof.verdict.case import Case, Measured
from loadproof.verdict.evidence import SECOND_US, Evidence
from loadproof.verdict.timeline import Stretch

if TYPE_CHECKING:
    from loadproof.verdict.rule import Bound, Rule
    from loadproof.verdict.tallies import Flow

_END_OF_TIME: Final = 1 << 62


def merged_flow(evidence: Evidence, region: str | None) -> dict[int, Flow]:
    """Second -> what all workers of a region (None: of all) had in hand, in order of time."""
    merged: dict[int, Flow] = {}
    for home, seconds in evidence.flow.items():
        if region in {None, home}:
            for second, flow in seconds.items():
                if second in merged:
                    merged[second] += flow
                else:
                    merged[second] = copy(flow)
    return dict(sorted(merged.items()))


def stalls(flow: dict[int, Flow]) -> list[Stretch]:
    """Every pause between answers, in order, from seconds in order of time.

    A pause begins with the last answer, or with the oldest request in flight if that began later, and ends
    with the next answer. Requests that time out without an answer do not end it while others are in flight.
    """
    found: list[Stretch] = []
    last_done: int | None = None
    since: int | None = None
    closed = 0
    for now in flow.values():
        if now.first_done_us is not None:
            if since is not None:
                found.append(Stretch(since, now.first_done_us))
                since = None
            last_done = now.last_done_us
        if now.in_flight and now.oldest_start_us is not None:
            if since is None:
                since = now.oldest_start_us if last_done is None else max(last_done, now.oldest_start_us)
        elif since is not None:
            found.append(Stretch(since, closed))
            since = None
        closed = now.closed_us
    if since is not None:
        found.append(Stretch(since, closed))
    return [pause for pause in found if pause.length_us > 0]


def measure_stall(rule: Rule, case: Case) -> Measured:
    """The longest pause, as far as it lies in the judged phases or the drain after the last of them."""
    selection = case.selection(rule)
    flow = merged_flow(case.evidence, selection.region)
    since_us = case.delay_us or 0
    stretches = [
        Stretch(max(stretch.from_us, since_us), stretch.to_us)
        for stretch in case.stretches(selection)
        if stretch.to_us > since_us
    ]
    if stretches and stretches[-1].to_us == case.timeline.end_us:
        stretches[-1] = Stretch(stretches[-1].from_us, _END_OF_TIME)
    had_requests = any(
        now.started or now.in_flight or now.first_done_us is not None
        for second, now in flow.items()
        if any(
            stretch.from_us < (second + 1) * SECOND_US and second * SECOND_US < stretch.to_us
            for stretch in stretches
        )
    )
    if not had_requests:
        return case.nothing(rule)
    inside = [
        Stretch(max(pause.from_us, stretch.from_us), min(pause.to_us, stretch.to_us))
        for pause in stalls(flow)
        for stretch in stretches
    ]
    longest = max(inside, key=lambda pause: pause.length_us, default=Stretch(0, 0))
    length = max(0, longest.length_us)
    doubts: tuple[str, ...] = ()
    if rule.limit.operator.caps and rule.limit.value < SECOND_US:
        doubts = ("a stall within one second cannot be seen, so no limit below 1 s can be proven",)
    text = f"the longest stall is {format_duration(length)}"
    if length:
        text += f", from {format_duration(longest.from_us)} into the run"

    def stands(bound: Bound) -> bool:
        # The answers of an absent worker could have fallen into the pause.
        return not case.shortfall.has_absent_workers and not bound.holds(length)

    return Measured(
        text,
        length,
        sum(now.started for now in flow.values()),
        lambda bound: bound.holds(length),
        stands,
        doubts=doubts,
    )
