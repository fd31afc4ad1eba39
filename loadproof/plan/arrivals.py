"""The open model's intended starts, as pure functions of the plan's load.

The rate of a phase moves on a straight line from `arrivals_from` to `arrivals_to`; its integral since the run's
beginning is the *volume*, in arrivals. Constant arrivals are evenly spaced in volume: arrival n, from 0, is due
when the volume reaches n + 1/2. Poisson arrivals are exponential steps in volume with mean 1 (time rescaling:
Daley and Vere-Jones, An Introduction to the Theory of Point Processes, 7.4). Both are then inverted to run
time, rounded down to whole microseconds.

Whatever is constant is exact: a rate is a whole number of arrivals in 10^12 µs, so twice the volume times 10^12
is whole at the end of every phase, and within one a quadratic with whole coefficients over its duration. An
arrival is due within [0, end of the run); one whose volume is reached at the very end is none.
"""

from __future__ import annotations

from math import isqrt
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.plan.edits import rate_edits
from loadproof.plan.model import RATE_PERIOD_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadproof.plan.model import Phase

_HALF: Final = RATE_PERIOD_S * 1_000_000
"""Half an arrival, in the units of `_Piece.before`: twice the volume times 10^12."""


class _Piece(NamedTuple):
    """A phase, or a part of one between edits of the rate: the rate is `rate` + `rise` · x / `duration` at x µs after `start`."""

    start: int
    duration: int
    rate: int
    rise: int
    before: int
    """Volume before the phase, in halves of 10^-12 of an arrival."""
    after: int


def arrivals_before(load: Sequence[Phase], t_us: int) -> int:
    """Constant arrivals due in [0, `t_us`)."""
    for piece in reversed(_pieces(load)):
        x = min(t_us - piece.start, piece.duration)
        if x <= 0:
            continue
        # Volume at x against n + 1/2, both times 2 · 10^12 · duration.
        over = _times_duration(piece, x) - _HALF * piece.duration
        step = 2 * _HALF * piece.duration
        due = max(0, -(-over // step))
        # One that is due when the volume stops growing is due before now.
        stands_still = piece.rate == 0 == piece.rise
        return due + 1 if stands_still and over >= 0 and over % step == 0 else due
    return 0


def times_of(load: Sequence[Phase], numbers: Iterable[int]) -> Iterator[int]:
    """The instants of these constant arrivals, which must ascend; ends at the first that the run does not have."""
    pieces = _pieces(load)
    end = _end(pieces)
    position = 0
    for n in numbers:
        target = (2 * n + 1) * _HALF
        while position < len(pieces) and target > pieces[position].after:
            position += 1
        if position == len(pieces) or (t_us := _reached_within(pieces[position], target)) >= end:
            return
        yield t_us


def poisson_times(
    load: Sequence[Phase], seed: int | None, worker: str, share: float, from_us: int = 0
) -> Iterator[int]:
    """The instants of one worker's Poisson arrivals from `from_us` on, in µs of run time, ascending.

    `share` is the worker's part of the plan's rate, above 0 and at most 1; together the workers' arrivals are
    again a Poisson process, at the plan's rate. The process has no memory: when a share changes, begin anew
    from that instant. The same arguments give the same instants.
    """
    random = Random(f"{seed}:{worker}")
    pieces = _pieces(load)
    volume = volume_before(load, from_us) + random.expovariate(share)
    while (t_us := _reached(pieces, round(volume * 2 * _HALF))) is not None:
        yield t_us
        volume += random.expovariate(share)


def volume_before(load: Sequence[Phase], t_us: int) -> float:
    """The integral of the rate over [0, `t_us`): the arrivals that are expected by then, not rounded."""
    for piece in reversed(_pieces(load)):
        x = min(t_us - piece.start, piece.duration)
        if x > 0:
            return _times_duration(piece, x) / (2 * _HALF * piece.duration)
    return 0.0


def _pieces(load: Sequence[Phase]) -> list[_Piece]:
    edits = rate_edits(load)
    since = edits[0].at_us if edits else None
    pieces = []
    start = volume = 0
    for phase in load:
        rate, last = phase.arrivals_from or 0, phase.arrivals_to or 0
        whole = _Piece(
            start, phase.duration_us, rate, last - rate, volume, volume + (rate + last) * phase.duration_us
        )
        start += phase.duration_us
        if since is not None and start > since:
            if (length := since - whole.start) > 0:
                # Up to the first edit, by a rate that is whole at its end: half an arrival in 10^12 µs off at most.
                until = rate + (last - rate) * length // phase.duration_us
                after = volume + (rate + until) * length
                pieces.append(_Piece(whole.start, length, rate, until - rate, volume, after))
                volume = after
            break
        pieces.append(whole)
        volume = whole.after
    end = sum(phase.duration_us for phase in load)
    for number, edit in enumerate(edits):
        until_us = edits[number + 1].at_us if number + 1 < len(edits) else end
        length = min(until_us, end) - max(0, edit.at_us)
        if length > 0:
            after = volume + 2 * edit.load * length
            pieces.append(_Piece(max(0, edit.at_us), length, edit.load, 0, volume, after))
            volume = after
    return pieces


def _end(pieces: Sequence[_Piece]) -> int:
    return pieces[-1].start + pieces[-1].duration if pieces else 0


def _times_duration(piece: _Piece, x: int) -> int:
    """The volume at x µs into the phase, in the units of `_Piece.before`, times the phase's duration."""
    return (piece.before + 2 * piece.rate * x) * piece.duration + piece.rise * x * x


def _reached(pieces: Sequence[_Piece], target: int) -> int | None:
    end = _end(pieces)
    if target <= 0:
        return 0 if end else None
    for piece in pieces:
        if piece.before < target <= piece.after:
            t_us = _reached_within(piece, target)
            return t_us if t_us < end else None
    return None


def _reached_within(piece: _Piece, target: int) -> int:
    """The instant, rounded down, at which the volume of a phase that has it reaches `target`."""
    need = target - piece.before
    if piece.rise == 0:
        return piece.start + need // (2 * piece.rate)
    # rise · x² + 2 · rate · duration · x = need · duration; the root's floor is exact with whole square roots.
    middle = piece.rate * piece.duration
    square = middle * middle + piece.rise * need * piece.duration
    if piece.rise > 0:
        return piece.start + (isqrt(square) - middle) // piece.rise
    root = isqrt(square - 1) + 1 if square > 0 else 0
    return piece.start + (middle - root) // -piece.rise
