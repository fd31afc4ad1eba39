"""A second look into the journals: how many requests of each endpoint lay beyond its own quantiles, by second.

Journals count exactly against the limits of the plan alone. How much the seconds of a run differ around a median is
seen only once the median is known, so the journals are read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loadproof.measure.histogram import bucket_index
from loadproof.measure.interval import Endpoint, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.seconds import Source


@dataclass
class Beyond:
    """Ok requests of one endpoint, a row a second: how many, then how many beyond each of its quantiles."""

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


def endpoints_beyond(
    sources: Iterable[Source], phases: frozenset[str], at: Mapping[Endpoint, tuple[int, ...]]
) -> dict[Endpoint, Beyond]:
    """For the endpoints of `at`, whose quantiles are the highest values of their buckets, in ascending order."""
    last = {endpoint: [bucket_index(us) for us in quantiles] for endpoint, quantiles in at.items()}
    found: dict[Endpoint, Beyond] = {}
    for source in sources:
        for interval in source.intervals:
            for key, series in interval.series.items():
                endpoint = Endpoint(key.method, key.name)
                if key.outcome is not Outcome.OK or key.phase not in phases or endpoint not in last:
                    continue
                indexes = last[endpoint]
                beyond = found.setdefault(endpoint, Beyond(len(indexes)))
                row = beyond.rows.setdefault(interval.second, [0] * (1 + len(indexes)))
                row[0] += series.histogram.count
                for bucket, count in series.histogram.counts.items():
                    for place, index in enumerate(indexes, start=1):
                        if bucket <= index:
                            break
                        row[place] += count
    return found
