"""A second look into the journals: how many requests of a group lay beyond its own quantiles, by second.

Journals count exactly against the limits of the plan alone. How much the seconds of a run differ around a median is
seen only once the median is known, so the journals are read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadproof.measure.histogram import bucket_index
from loadproof.measure.interval import Outcome
from loadproof.verdict.tallies import RegionSeries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.seconds import Source
    from loadproof.verdict.selection import Selection


@dataclass(frozen=True)
class Group:
    """Requests and their quantiles, ascending, each the highest value of its bucket."""

    selection: Selection
    at: tuple[int, ...]


@dataclass
class Beyond:
    """Requests of one group, a row a second: how many, then how many beyond each of its quantiles."""

    width: int
    rows: dict[int, list[int]] = field(default_factory=dict)

    @property
    def counts(self) -> list[int]:
        """By second from the first to the last that has any."""
        return [row[0] for row in self._every()]

    def over(self, index: int) -> list[int]:
        """The same of those beyond the index-th quantile."""
        return [row[1 + index] for row in self._every()]

    def _every(self) -> list[list[int]]:
        if not self.rows:
            return []
        none = [0] * (1 + self.width)
        return [self.rows.get(second, none) for second in range(min(self.rows), max(self.rows) + 1)]


def groups_beyond(sources: Iterable[Source], groups: Sequence[Group]) -> list[Beyond]:
    """Of each group its ok requests, and unless its outcome is ok its timeouts, which are beyond every quantile."""
    last = [[bucket_index(us) for us in group.at] for group in groups]
    found = [Beyond(len(group.at)) for group in groups]
    taken: dict[RegionSeries, list[int]] = {}
    for source in sources:
        for interval in source.intervals:
            for key, series in interval.series.items():
                if key.outcome not in {Outcome.OK, Outcome.TIMEOUT}:
                    continue
                where = RegionSeries(source.region, key)
                if where not in taken:
                    taken[where] = [
                        number for number, group in enumerate(groups) if group.selection.takes(where)
                    ]
                counts = series.histogram.counts
                for number in taken[where]:
                    if key.outcome is Outcome.TIMEOUT and groups[number].selection.outcome is Outcome.OK:
                        continue
                    row = found[number].rows.setdefault(interval.second, [0] * (1 + len(last[number])))
                    row[0] += series.histogram.count
                    for place, index in enumerate(last[number], start=1):
                        if key.outcome is Outcome.TIMEOUT:
                            row[place] += series.histogram.count
                        else:
                            row[place] += sum(count for bucket, count in counts.items() if bucket > index)
    return found
