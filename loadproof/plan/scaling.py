"""A plan made larger, smaller, longer or shorter: pure functions from plan to plan, rules untouched."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from loadproof.errors import Mistake, PlanError
from loadproof.plan.model import RATE_PERIOD_S, Phase, Plan
from loadproof.plan.node import did_you_mean, quoted
from loadproof.plan.search import LONGER, SHORTEST_HOLD_S, too_short
from loadproof.units import duration_text, format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Fault

SECOND_US: Final = 1_000_000
"""A phase that we make is never shorter: an interval is one second, and load is offered in steps of it."""
MIN_POOL: Final = 10
MAX_POOL: Final = 5_000
_OPEN: Final = "the load of an open plan is its arrivals, not users"


def scale_users(plan: Plan, users: int) -> Plan:
    """Every number of users times `users` / peak, halves rounded up, so that the peak is exactly `users`.

    Raises PlanError for an open plan.
    """
    if plan.open:
        raise _mistake(
            _OPEN, "use --set load.0.arrivals=100/s, or --set load.0.users=50 for those who serve them"
        )
    peak = plan.max_users

    def scaled(number: int) -> int:
        return (2 * number * users + peak) // (2 * peak)

    load = tuple(
        phase.model_copy(update={"users_from": scaled(phase.users_from), "users_to": scaled(phase.users_to)})
        for phase in plan.load
    )
    search = plan.search
    if search is not None:
        ends = {"lowest": search.lowest, "highest": search.highest}
        scaled_ends = {key: max(1, scaled(end)) for key, end in ends.items() if end is not None}
        search = search.model_copy(update=scaled_ends)
    return plan.model_copy(update={"load": load, "search": search})


def scale_duration(plan: Plan, duration_us: int) -> Plan:
    """Every phase by the same factor, so that they last exactly `duration_us` together, and faults with them.

    A search's own times too, in whole seconds. Raises PlanError when that would leave a phase less than one second,
    or a search less than two probes.
    """
    durations = [phase.duration_us for phase in plan.load]
    scaled = apportion(duration_us, durations)
    shortest = min(durations)
    if duration_us != plan.duration_us and min(scaled) < SECOND_US:
        seconds = ceil(Fraction(plan.duration_us, shortest))
        name = plan.load[durations.index(shortest)].name
        message = f"phase {quoted(name)} would last less than one second"
        raise _mistake(message, f"at least {duration_text(seconds * SECOND_US)} is needed")
    load = tuple(
        phase.model_copy(update={"duration_us": length})
        for phase, length in zip(plan.load, scaled, strict=True)
    )
    faults = tuple(_stretched(fault, duration_us, plan.duration_us) for fault in plan.faults)
    search = plan.search
    if search is not None:
        times = {"settle_us": search.settle_us, "hold_us": search.hold_us}
        search = search.model_copy(
            update={
                key: max(least * SECOND_US, time_us * duration_us // plan.duration_us)
                for (key, time_us), least in zip(times.items(), (1, SHORTEST_HOLD_S), strict=True)
                if time_us is not None
            }
        )
        if (short := too_short(search, load[-1])) is not None:
            raise _mistake(short, LONGER)
    return plan.model_copy(update={"load": load, "faults": faults, "search": search})


def _stretched(fault: Fault, duration_us: int, planned_us: int) -> Fault:
    """Both ends are rounded down, so that what followed on another fault still does; at least a microsecond is left."""
    at_us, until_us = (end * duration_us // planned_us for end in (fault.at_us, fault.until_us))
    return fault.model_copy(update={"at_us": at_us, "for_us": max(1, until_us - at_us)})


def with_spawn_rate(plan: Plan, users_per_s: float) -> Plan:
    """The plan with its first rise at `users_per_s`, taking at least one second; its total length stays.

    If the first phase with users rises, it is made as long as its rise, and the next phase gets the time or
    gives it (a phase `hold` is added where there is none). If it starts at its full number, a warm-up phase
    `ramp` from 0 is put before it and takes its time from it. Raises PlanError when the rise leaves the phase
    that gives less than one second, and for an open plan.
    """
    if plan.open:
        raise _mistake(_OPEN, "let them rise: --set load.0.arrivals=0..100/s")
    if plan.search is not None and len(plan.load) == 1:
        raise _mistake("the search climbs by itself, from a small load", "leave it out")
    load = list(plan.load)
    first = next(index for index, phase in enumerate(load) if phase.users_from or phase.users_to)
    phase = load[first]
    rises = phase.users_to > phase.users_from
    users = phase.users_to - phase.users_from if rises else phase.users_from
    rise_us = max(SECOND_US, ceil(Fraction(users) * SECOND_US / Fraction(users_per_s)))
    if rises and rise_us == phase.duration_us:
        return plan
    if not rises:
        name = _free_name("ramp", load)
        ramp = Phase(name=name, duration_us=rise_us, users_from=0, users_to=users, warmup=True)
        giver = first
    elif first + 1 < len(load):
        ramp = phase.model_copy(update={"duration_us": rise_us})
        giver = first + 1
    else:
        ramp = phase.model_copy(update={"duration_us": rise_us})
        name = _free_name("hold", load)
        load.append(phase.model_copy(update={"name": name, "users_from": phase.users_to, "duration_us": 0}))
        giver = first + 1
    available_us = load[giver].duration_us + (phase.duration_us if rises else 0)
    left_us = available_us - rise_us
    if left_us < SECOND_US:
        message = f"{format_count(users)} users take {duration_text(rise_us)} at this rate"
        room_us = available_us - SECOND_US
        if room_us < SECOND_US:
            raise _mistake(f"{message}, and the plan has no time for it", "make the plan longer")
        slowest = ceil(Fraction(users * SECOND_US, room_us))
        hint = f"the plan has {duration_text(room_us)} for them: use {format_count(slowest)} a second or more"
        raise _mistake(message, hint)
    load[giver] = load[giver].model_copy(update={"duration_us": left_us})
    load[first : first + rises] = [ramp]
    return plan.model_copy(update={"load": tuple(load)})


def keep_regions(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with only these regions, which then carry all users; PlanError for a name that it lacks."""
    known = [region.name for region in plan.regions]
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known) or f"the plan has {', '.join(known)}"
        raise _mistake(f"the plan has no region {quoted(unknown[0])}", hint)
    kept = tuple(region for region in plan.regions if region.name in names)
    if all(region.weight == 0 for region in kept):
        raise _mistake("the regions that are left have weight 0", "keep one with a weight above 0")
    return plan.model_copy(update={"regions": kept})


def spread_workers(plan: Plan, workers: int) -> Plan:
    """The plan with `workers` workers in proportion to those planned, at least one a region.

    A region without a weight of its own keeps the share of users that its planned workers gave it. Raises
    PlanError for fewer workers than regions.
    """
    if workers < len(plan.regions):
        message = f"each of the {len(plan.regions)} regions needs a worker"
        raise _mistake(message, "`--region` leaves regions out")
    planned = [region.workers for region in plan.regions]
    # What is above the one that each has is shared by what they have above one, so that none grows
    # while others shrink.
    above = [count - 1 for count in planned] if workers <= sum(planned) else planned
    spread = [1 + extra for extra in apportion(workers - len(planned), above)]
    regions = tuple(
        region.model_copy(
            update={
                "workers": count,
                "weight": float(region.workers) if region.weight is None else region.weight,
            }
        )
        for region, count in zip(plan.regions, spread, strict=True)
    )
    return plan.model_copy(update={"regions": regions})


def shrink_workers(plan: Plan, processes: int) -> tuple[Plan, str | None]:
    """The plan for a machine that runs at most `processes` workers, and a sentence if that changed it.

    Never less than one worker a region, even where that is more than `processes`; shares of users stay.
    """
    planned = sum(region.workers for region in plan.regions)
    workers = max(processes, len(plan.regions))
    if workers >= planned:
        return plan, None
    shrunk = spread_workers(plan, workers)
    by_region = ", ".join(
        f"{now.name} {now.workers} of {before.workers}"
        for now, before in zip(shrunk.regions, plan.regions, strict=True)
    )
    return shrunk, f"{workers} of {planned} planned workers fit this machine: {by_region}."


def with_pool(plan: Plan) -> Plan:
    """The plan with users in every open phase that names none: as many as its highest rate starts in a second.

    So they serve all while a task takes up to a second. At least `MIN_POOL`, at most `MAX_POOL`, and never more
    than the regions take.
    """
    pool = min(max(-(-plan.max_arrivals // RATE_PERIOD_S), MIN_POOL), MAX_POOL)
    room = capacity(plan)
    users = pool if room is None else min(pool, room)
    load = tuple(
        phase.model_copy(update={"users_from": users, "users_to": users})
        if phase.arrivals_from is not None and phase.users_from == 0
        else phase
        for phase in plan.load
    )
    return plan.model_copy(update={"load": load})


def capacity(plan: Plan) -> int | None:
    """How many users the regions take together; None if one has no cap."""
    total = 0
    for region in plan.regions:
        if region.max_users is None:
            return None
        total += region.max_users
    return total


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided in proportion to `weights` without loss (largest remainder; equal ones: the first)."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in by_remainder[: total - sum(shares)]:
        shares[index] += 1
    return shares


def _free_name(wanted: str, load: Sequence[Phase]) -> str:
    taken = {phase.name for phase in load}
    names = [wanted, *(f"{wanted}-{number}" for number in range(2, len(load) + 3))]
    return next(name for name in names if name not in taken)


def _mistake(message: str, hint: str) -> PlanError:
    return PlanError([Mistake(message, None, hint)])
