"""The search for the highest load that a target sustains: which load to try next, and what the tries show.

Each probe of a load ends with a word: it held, it broke, or it says nothing of the target. The search climbs by
doubling until a probe breaks, goes back to a load that was fine, to see whether the target is fine again, and then
narrows the capacity down by a Bayes filter: a probe near the capacity may go either way, any probe may be wrong, and
the capacity may sink from one to the next. So one noisy probe never decides; what it says against others is asked
again. Probabilistic bisection: Horstein, Sequential transmission using noiseless feedback, IEEE Trans. Inf. Theory 9,
1963; Waeber, Frazier and Henderson, SIAM J. Control Optim. 51, 2013.

It is a function of the words alone: the same words give the same search.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

RISE: Final = 2
"""From one load to the next while nothing has broken."""
WRONG: Final = 0.04
"""How often a probe far from the capacity goes the wrong way."""
BLURS: Final = (0.25, 0.5, 1.0)
"""Times the precision: how far around the capacity probes may go either way, as the scale of a logistic curve."""
SINKING: Final = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04)
"""How much of the capacity may be lost from one probe to the next."""
STEADY: Final = 0.9
"""How much is believed beforehand that none is."""
HALF: Final = 0.5
"""Levels are whole: that one holds and the next does not is a capacity in between them, told apart in their middle."""
SURE: Final = 0.95
CAUTION: Final = 0.4
"""How probable it may be that the load that a search names lies above the capacity."""
RETURNS: Final = 4
"""Probes in which a target may be fine again after it broke."""
UNMADE: Final = 3
"""So many probes in a row that say nothing of the target mean that the generator cannot make this load."""
DISTURBED: Final = 8
"""The same where it has made it before."""
MOST_PROBES: Final = 80


class Word(StrEnum):
    HELD = "held"
    BROKE = "broke"
    NOTHING = "nothing"
    """The generator was the limit, or something else came between."""


class Ending(StrEnum):
    """Why a search is over."""

    FOUND = "found"
    CEILING = "ceiling"
    """The highest load that may be tried held."""
    LOWEST_BREAKS = "lowest_breaks"
    NOT_RECOVERED = "not_recovered"
    """After it had broken, the target was not fine again at a load that it had held."""
    GENERATOR = "generator"
    """It was the limit before the target."""
    UNDECIDED = "undecided"
    """So many probes contradict each other."""
    TIME = "time"
    """The plan gave it no more."""
    STOPPED = "stopped"


CUT_OFF: Final = frozenset({Ending.UNDECIDED, Ending.TIME, Ending.STOPPED})
"""Endings that somebody else brings about than the words."""


@dataclass(frozen=True)
class Probe:
    level: int
    word: Word


@dataclass(frozen=True)
class Asked:
    """What a search looks for: levels are whole, from `lowest` to `highest`."""

    lowest: int
    highest: int
    precision: float
    """Relative width of the interval with which it is content."""
    confirm: int
    """Probes in a row that must hold at the load that it names."""


class Believed:
    """What probes show of the capacity now: probabilities over its logarithm, how fast it sinks, and how blurred it is."""

    def __init__(self, asked: Asked) -> None:
        step = asked.precision / 10
        self._logs = np.arange(log(asked.lowest / 8), log(asked.highest * 4), step)
        """Of the capacity at the first probe."""
        self._blurs = asked.precision * np.array(BLURS)
        self._rates = np.array(SINKING)
        beforehand = np.where(self._rates == 0, STEADY, (1 - STEADY) / (len(SINKING) - 1))
        self._weights = np.zeros((len(BLURS), len(SINKING), len(self._logs))) + np.log(beforehand)[:, None]
        self._probes = 0
        self._weigh()

    def tell(self, probe: Probe) -> None:
        if probe.word is not Word.NOTHING:
            above = self._logs - self._sunk[:, None] - log(probe.level - HALF)
            held = WRONG + (1 - 2 * WRONG) / (
                1 + np.exp(np.minimum(-above / self._blurs[:, None, None], 500))
            )
            self._weights += np.log(held if probe.word is Word.HELD else 1 - held)
        self._probes += 1
        self._weigh()

    def _weigh(self) -> None:
        self._sunk = self._rates * max(0, self._probes - 1)
        shares = np.exp(self._weights - self._weights.max()).sum(axis=0)
        self._shares: NDArray[np.float64] = shares / shares.sum()
        by_rate = self._shares.sum(axis=1)
        self.sinks = float(by_rate[1:].sum())
        """How probable it is that the capacity sinks."""
        self.rate = float(by_rate @ self._rates)
        """The share of the capacity that is expected to be lost with each probe."""
        logs = (self._logs - self._sunk[:, None]).ravel()
        order = np.argsort(logs, kind="stable")
        self._now = logs[order], np.cumsum(self._shares.ravel()[order])
        self._sunk = self._rates * self._probes

    @property
    def sunk(self) -> float:
        """The share of the first capacity that is expected to be lost by now."""
        return 1 - exp(-self.rate * max(0, self._probes - 1))

    def quantile(self, q: float) -> float:
        logs, below = self._now
        return exp(float(logs[min(int(np.searchsorted(below, q)), len(logs) - 1)]))

    def at_least(self, level: int) -> float:
        """How probable it is that the capacity now is no lower."""
        logs, below = self._now
        index = int(np.searchsorted(logs, log(level - HALF)))
        return 1.0 - (float(below[index - 1]) if index else 0.0)


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    capacity: int | None
    """The highest load that is believed to be sustained and did hold; None where there is none."""
    low: float | None
    """With `high` the 95 % interval of the capacity; 0 and None where nothing bounds it."""
    high: float | None
    ending: Ending
    recovered: bool | None
    """Whether the target was fine again after it broke; None where it never broke, or nobody looked."""
    sinks: bool
    sunk: float
    """Which share of the capacity was lost in the course of the search; 0 unless it sinks."""
    confirmed: int
    """Probes in a row, the last, that held at `capacity`."""


class Search:
    """`level` is the load to try, None when the search is over; `tell` it how that went."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.probes: list[Probe] = []
        self.ending: Ending | None = None
        self.recovered: bool | None = None
        self._ceiling = asked.highest
        self._unreached: int | None = None
        """The lowest load at which the generator was the limit."""
        self._fine: list[int] = []
        """Loads that held on the way up, ascending."""
        self._returning = 0
        """Probes at a load that was fine since the first break, as long as none held."""
        self._candidate: int | None = None
        self._believed = Believed(asked)
        self.level: int | None = asked.lowest

    def tell(self, word: Word) -> None:
        """How the probe of `level` ended."""
        assert self.level is not None
        probe = Probe(self.level, word)
        self.probes.append(probe)
        self._believed.tell(probe)
        self.level = self._after(probe)
        if len(self.probes) >= MOST_PROBES:
            self.give_up(Ending.UNDECIDED)

    def give_up(self, ending: Ending) -> None:
        """Nothing more will be told."""
        if self.ending is None:
            self.ending = ending
            self.level = None

    def _after(self, probe: Probe) -> int | None:
        if probe.word is Word.NOTHING:
            return self._after_nothing(probe)
        if not any(known.word is Word.BROKE for known in self.probes):
            return self._climb(probe)
        if self.recovered is None:
            return self._come_back(probe)
        return self._narrow(probe)

    def _after_nothing(self, probe: Probe) -> int | None:
        below = [known.level for known in self.probes if known.word is Word.HELD]
        was_made = bool(below) and max(below) >= probe.level
        # A load that was made before can be made again, once what disturbs the generator is over.
        patience = DISTURBED if was_made else UNMADE
        if len(self.probes) < patience or any(known != probe for known in self.probes[-patience:]):
            return probe.level
        if was_made or not below:
            self.ending = Ending.GENERATOR
            return None
        self._unreached = probe.level
        self._ceiling = max(*below, (max(below) + probe.level) // 2)
        return self._ceiling

    def _climb(self, probe: Probe) -> int | None:
        self._fine.append(probe.level)
        if probe.level < self._ceiling:
            return min(RISE * probe.level, self._ceiling)
        if self._in_a_row(self._ceiling) < self.asked.confirm:
            return self._ceiling
        self.ending = Ending.CEILING if self._unreached is None else Ending.GENERATOR
        return None

    def _come_back(self, probe: Probe) -> int | None:
        """To a load that was fine, at once: is it fine again?"""
        if probe.word is Word.HELD:
            self.recovered = True
            return self._narrow(probe)
        if not self._fine:
            if len(self.probes) > 1:
                self.ending = Ending.LOWEST_BREAKS
                return None
            return probe.level
        if self._returning == RETURNS:
            self.recovered = False
            self.ending = Ending.NOT_RECOVERED
            return None
        self._returning += 1
        # What held once may lie so close to the capacity that it breaks now and then: half of it does not.
        return self._fine[max(0, len(self._fine) - self._returning)]

    def _narrow(self, probe: Probe) -> int | None:
        asked, believed = self.asked, self._believed
        low, middle, high = (believed.quantile(q) for q in (0.025, 0.5, 0.975))
        if low > self._ceiling:
            middle = self._ceiling
        if believed.quantile(0.975) < asked.lowest:
            self.ending = Ending.LOWEST_BREAKS
            return None
        width = (3 if self._sinks else 2) * asked.precision
        is_wide = high - low > 1 + width * middle
        if is_wide and low < self._ceiling:
            self._candidate = None
            return self._lower_after_break(probe, self._telling(middle))
        candidate = self._candidate
        if candidate is None or believed.at_least(candidate) < 0.6 or probe.word is Word.BROKE:
            lost = believed.rate if self._sinks else 0.0
            candidate = self._candidate = self._within(believed.quantile(CAUTION) * (1 - lost))
        needed = 1 if self._sinks else asked.confirm
        if self._in_a_row(candidate) >= needed:
            unseen = Ending.CEILING if self._unreached is None else Ending.GENERATOR
            self.ending = unseen if is_wide else Ending.FOUND
            return None
        return self._lower_after_break(probe, candidate)

    def _lower_after_break(self, probe: Probe, level: int) -> int:
        if probe.word is Word.HELD or level < probe.level:
            return level
        return self._within(min(probe.level - 1, probe.level * (1 - self.asked.precision / 4)))

    def _telling(self, middle: float) -> int:
        """Of the whole loads around the middle the one of which it is least known whether it holds."""
        near = [self._within(middle + away) for away in (-1, 0, 1)]
        return min(near, key=lambda level: abs(self._believed.at_least(level) - 0.5))

    def _within(self, level: float) -> int:
        return max(self.asked.lowest, min(self._ceiling, round(level)))

    def _in_a_row(self, level: int) -> int:
        """Probes that held there or above since the last that did not."""
        count = 0
        for known in reversed(self.probes):
            if known.word is not Word.HELD or known.level < level:
                break
            count += 1
        return count

    @property
    def _sinks(self) -> bool:
        believed = self._believed
        return believed.sinks >= SURE and believed.sunk >= self.asked.precision / 2

    def found(self) -> Found:
        """What is known by now; `ending` is STOPPED while the search goes on."""
        believed = self._believed
        ending = self.ending or Ending.STOPPED
        held = {probe.level for probe in self.probes if probe.word is Word.HELD}
        broke = any(probe.word is Word.BROKE for probe in self.probes)
        low: float | None = None
        high: float | None = None
        capacity = None
        if ending not in {Ending.NOT_RECOVERED, Ending.LOWEST_BREAKS}:
            fits = [level for level in held if believed.at_least(level) >= 0.5]
            capacity = self._candidate if ending is Ending.FOUND else max(fits, default=None)
        if held or broke:
            low = (
                0.0
                if not held
                else float(min(round(believed.quantile(0.025)), capacity or self.asked.highest))
            )
            high = float(max(round(believed.quantile(0.975)), capacity or 0)) if broke else None
        if ending is Ending.CEILING and capacity is not None:
            high = None
        return Found(
            capacity,
            low,
            high,
            ending,
            self.recovered,
            self._sinks,
            believed.sunk if self._sinks else 0.0,
            0 if capacity is None else self._in_a_row(capacity),
        )


def replayed(asked: Asked, probes: Iterable[Probe], ending: Ending | None) -> Search:
    """A search that was told these words; where a word is another than it was, later levels stay those that were tried.

    `ending` is how it ended for those who carried it out; None while it goes on. A result that the words do not bear out
    is none.
    """
    search = Search(asked)
    for probe in probes:
        search.level = probe.level
        search.ending = None
        search.tell(probe.word)
    if ending is not None:
        search.give_up(ending if ending in CUT_OFF else Ending.UNDECIDED)
    return search
