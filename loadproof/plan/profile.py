"""The load profile: how many users are due, as pure functions of elapsed time.

A phase is the half-open stretch [start, end) of the run clock in microseconds. Within it users stand on the
straight line from `users_from` to `users_to`, rounded to whole users, halves up; from the last end on, and
before 0, there are none. Where somebody has edited the users of a run (`EditedLoad`), the latest edit before the instant
takes the line's place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loadproof.plan.edits import users_edits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Phase


class PhaseSpan(NamedTuple):
    """A phase and where it lies on the run clock: [start_us, end_us)."""

    phase: Phase
    start_us: int
    end_us: int


def phase_spans(load: Sequence[Phase]) -> tuple[PhaseSpan, ...]:
    spans = []
    start = 0
    for phase in load:
        spans.append(PhaseSpan(phase, start, start + phase.duration_us))
        start += phase.duration_us
    return tuple(spans)


def phase_at(load: Sequence[Phase], t_us: int) -> Phase | None:
    """The phase that holds the instant; None before the run and from its end on."""
    for phase, start, end in phase_spans(load):
        if start <= t_us < end:
            return phase
    return None


def users_at(load: Sequence[Phase], t_us: int) -> int:
    """Users due at the instant."""
    for edit in reversed(users_edits(load)):
        if edit.at_us <= t_us:
            return edit.load if t_us < _end_us(load) else 0
    for phase, start, end in phase_spans(load):
        if start <= t_us < end:
            return _users_within(phase, t_us - start)
    return 0


def user_us_between(load: Sequence[Phase], from_us: int, to_us: int) -> int:
    """Planned user-microseconds in [from_us, to_us): the sum of `users_at` over every microsecond in it.

    It is the exact integral of the step function that is asked of the workers, not of the line under it, so
    it adds up over adjacent ranges.
    """
    total = 0
    end_us = _end_us(load)
    for edit in reversed(users_edits(load)):
        total += edit.load * max(0, min(to_us, end_us) - max(from_us, edit.at_us))
        to_us = end_us = min(to_us, end_us, edit.at_us)
    for phase, start, end in phase_spans(load):
        first, last = max(from_us, start) - start, min(to_us, end) - start
        if first < last:
            total += _users_until(phase, last) - _users_until(phase, first)
    return total


def first_rise_us(load: Sequence[Phase]) -> int:
    """How long the load rises from its start, over all phases that do one after the other; 0 if it starts level."""
    end = 0
    for phase in load:
        if phase.users_to <= phase.users_from:
            break
        end += phase.duration_us
    return end


def next_change_us(load: Sequence[Phase], t_us: int) -> int | None:
    """The first instant after `t_us` whose users differ from those at `t_us`; None if they never change."""
    users, end = users_at(load, t_us), _end_us(load)
    is_edited = any(edit.at_us <= t_us for edit in users_edits(load))
    planned = None if is_edited else _next_planned_change_us(load, t_us, users)
    for edit in users_edits(load):
        if edit.at_us <= t_us:
            continue
        if edit.at_us >= end or (planned is not None and planned < edit.at_us):
            break
        if edit.load != users:
            return edit.at_us
        is_edited, planned = True, None
    if is_edited:
        return end if users and t_us < end else None
    return planned


def _next_planned_change_us(load: Sequence[Phase], t_us: int, users: int) -> int | None:
    end = 0
    for phase, start, end in phase_spans(load):
        if end <= t_us + 1:
            continue
        since = max(t_us + 1 - start, 0)
        if _users_within(phase, since) != users:
            return start + since
        change = _next_change_within(phase, since)
        if change is not None:
            return start + change
    return end if users else None


def _end_us(load: Sequence[Phase]) -> int:
    return sum(phase.duration_us for phase in load)


def _users_within(phase: Phase, since_us: int) -> int:
    numerator, denominator = _line(phase, since_us), 2 * phase.duration_us
    return numerator // denominator


def _line(phase: Phase, since_us: int) -> int:
    """Numerator of (users on the line + 1/2) over twice the duration: floored division rounds halves up."""
    rise = phase.users_to - phase.users_from
    return 2 * (phase.users_from * phase.duration_us + rise * since_us) + phase.duration_us


def _users_until(phase: Phase, until_us: int) -> int:
    """Sum of the users at 0, 1, ... until_us - 1 microseconds into the phase."""
    return _floor_sum(
        until_us, 2 * phase.duration_us, 2 * (phase.users_to - phase.users_from), _line(phase, 0)
    )


def _next_change_within(phase: Phase, since_us: int) -> int | None:
    rise = 2 * (phase.users_to - phase.users_from)
    if rise == 0:
        return None
    users = _users_within(phase, since_us)
    start, step = _line(phase, 0), 2 * phase.duration_us
    # Up: the first x with start + rise * x >= step * (users + 1). Down: the first with ... < step * users.
    change = -((start - step * (users + 1)) // rise) if rise > 0 else (start - step * users) // -rise + 1
    return change if change < phase.duration_us else None


def _floor_sum(count: int, modulus: int, slope: int, start: int) -> int:
    """Sum of floor((slope * i + start) / modulus) for i in 0 .. count - 1, in a logarithm of steps.

    Whole parts are summed in closed form; what is left counts lattice points under a line, and reflecting
    that line swaps slope and modulus as in Euclid's algorithm (Graham, Knuth, Patashnik: Concrete
    Mathematics, 3.5).
    """
    total = 0
    while count > 0:
        total += (slope // modulus) * (count * (count - 1) // 2) + (start // modulus) * count
        slope %= modulus
        start %= modulus
        top = slope * count + start
        if top < modulus:
            break
        # Columns i that reach each level j, counted from the right, are again floors of a line.
        count, start, modulus, slope = top // modulus, top % modulus, slope, modulus
    return total
