"""Where a series of runs changed its level.

The test is Pettitt's (Applied Statistics 28, 1979): ranks before a point against those after it, at the point where
they differ most. Ranks, because one run that went astray must not look like a change. Its distribution is taken from
permutations of the ranks, which is right for any number of runs. Several changes are found by binary segmentation
(Scott and Knott, Biometrics 30, 1974): each part is searched again as a series of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SEED: Final = 1979
_PER_ALPHA: Final = 20
"""Permutations beyond the level that is asked for: with so many a chance at that level is known to a quarter."""
_CELLS: Final = 4_000_000
"""Of permutations that are in memory at a time."""


@dataclass(frozen=True)
class ChangePoint:
    index: int
    """The first value after the change."""
    p: float
    """How likely so large a difference is where nothing changed."""


def change_points(values: Sequence[float], alpha: float) -> list[ChangePoint]:
    """All that are less likely than `alpha`, in order of the series."""
    found: list[ChangePoint] = []
    parts = [(0, len(values))]
    while parts:
        begin, end = parts.pop()
        point = _strongest(values[begin:end], alpha)
        if point is not None:
            at = begin + point.index
            found.append(ChangePoint(at, point.p))
            parts += [(begin, at), (at, end)]
    return sorted(found, key=lambda one: one.index)


def _strongest(values: Sequence[float], alpha: float) -> ChangePoint | None:
    n = len(values)
    permutations = ceil(_PER_ALPHA / alpha)
    if n < 2:
        return None
    differences = np.abs(_differences(_doubled_ranks(np.asarray(values, dtype=np.float64))[np.newaxis, :]))[0]
    index = int(differences.argmax())
    beaten = len(_null(n, permutations)) - int(
        np.searchsorted(_null(n, permutations), differences[index], side="left")
    )
    p = (1 + beaten) / (1 + permutations)
    return ChangePoint(index + 1, p) if p <= alpha else None


def _differences(doubled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pettitt's U at every point of each row: twice the ranks so far, less what they would sum to by chance."""
    n = doubled.shape[1]
    before = np.arange(1, n)
    so_far: NDArray[np.int64] = doubled.cumsum(axis=1)[:, :-1]
    found: NDArray[np.int64] = so_far - before * (n + 1)
    return found


def _doubled_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice the rank from 1 on, so that those of equal values, their mean, are whole."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    return (below + not_above + 1).astype(np.int64)


@lru_cache(maxsize=64)
def _null(n: int, permutations: int) -> NDArray[np.int64]:
    """The largest difference of so many permutations of n ranks, ascending; it depends on nothing else."""
    random = np.random.default_rng(_SEED)
    rows = max(1, _CELLS // n)
    largest = []
    for begin in range(0, permutations, rows):
        count = min(rows, permutations - begin)
        ranks = random.permuted(np.tile(2 * np.arange(1, n + 1), (count, 1)), axis=1)
        largest.append(np.abs(_differences(ranks)).max(axis=1))
    found = np.concatenate(largest)
    found.sort()
    return found
