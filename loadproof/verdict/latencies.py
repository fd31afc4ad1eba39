"""Latency rules: every request due counts, also the one that had no answer.

An ok request counts at its latency. A timeout is slower than any limit, and so is a request that was still
unfinished when it was older than the limit, and a start of an open plan that was dropped. One that we ended
ourselves while it was younger says nothing: it is left out and counted. Failed requests belong to
`error_ratio`; a fast refusal is not a fast answer.
With `outcome=` in the selector a rule looks at that outcome alone, in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import Histogram, highest_equivalent
from loadproof.measure.interval import Outcome
from loadproof.units import format_count
from loadproof.verdict.case import Case, Measured, no_data
from loadproof.verdict.clusters import design_effect
from loadproof.verdict.intervals import MIN_SECONDS
from loadproof.verdict.tallies import COUNT, OVER, TOTAL

if TYPE_CHECKING:
    from loadproof.verdict.rule import Bound, Rule
    from loadproof.verdict.selection import Requests, Selection

_ANSWERED: Final = (Outcome.OK, Outcome.FAILED)


@dataclass(frozen=True)
class Counted:
    """The samples of a rule against one latency."""

    n: int
    over: int
    left_out: int

    def forgiven(self, slow: int) -> Counted:
        """The same with so many that are over it taken as fast."""
        return replace(self, over=self.over - slow)

    def kept(self, quantile: Fraction, bound: Bound, fast: int = 0) -> bool:
        """Whether the quantile keeps the bound if `fast` more requests had been fast. Exact.

        The quantile is the sample of rank ceil(q n), which lies above a latency exactly if more than
        n - rank samples do.
        """
        n = self.n + fast
        is_above = self.over > n - ceil(quantile * n)
        return is_above is not bound.operator.caps


class Latencies:
    """The requests of one selection as latency rules see them."""

    def __init__(self, case: Case, selection: Selection, limit: Bound | None = None) -> None:
        self.limits_us = case.evidence.limits_us
        self._stop_timeout_us = case.evidence.stop_timeout_us
        self._requests: Requests = case.requests(selection)
        chosen = selection.outcome
        self._answered = tuple(known for known in _ANSWERED if known is (chosen or Outcome.OK))
        self._timeouts = (Outcome.TIMEOUT,) if chosen in {None, Outcome.TIMEOUT} else ()
        self._unfinished = (Outcome.UNFINISHED,) if chosen in {None, Outcome.UNFINISHED} else ()
        self.dropped: dict[int, int] = self._requests.dropped if chosen is None else {}
        """Second -> starts that were dropped in it."""
        self._limit_us = None if limit is None else limit.counted_us
        self.outlived: dict[int, int] = {}
        """Under a `limit` that caps: second -> requests of a fault that ended in it, and outlived it by more."""
        if limit is not None and limit.operator.caps and chosen is None:
            outcomes = (*self._answered, *self._timeouts, *self._unfinished)
            self.outlived = self._requests.outlived(outcomes, limit.counted_us)

    @cached_property
    def answered(self) -> Histogram:
        return self._requests.histogram(self._answered)

    @cached_property
    def timeouts(self) -> Histogram:
        return self._requests.histogram(self._timeouts)

    @cached_property
    def unfinished(self) -> Histogram:
        return self._requests.histogram(self._unfinished)

    @property
    def total(self) -> int:
        return self.answered.count + self.timeouts.count + self.unfinished.count + self.without_request

    @cached_property
    def dropped_count(self) -> int:
        return sum(self.dropped.values())

    @cached_property
    def outlived_count(self) -> int:
        return sum(self.outlived.values())

    def outlived_most_us(self, unanswered_us: int) -> int:
        """How long the outlived went on after their faults at most, together; `unanswered_us` for each without an answer."""
        if not self.outlived or self._limit_us is None:
            return 0
        answered = sum(self._requests.outlived(self._answered, self._limit_us).values())
        known_us = self._requests.outlived_most_us(self._answered, self._limit_us)
        return known_us + (self.outlived_count - answered) * unanswered_us

    @property
    def without_request(self) -> int:
        """What counts as slower than the limit, and is no request of the selection."""
        return self.dropped_count + self.outlived_count

    @property
    def without_request_text(self) -> str:
        """A clause on these; empty without any."""
        text = ""
        if self.dropped_count:
            text += f", where {format_count(self.dropped_count)} starts were dropped"
        if self.outlived_count:
            text += f", where {format_count(self.outlived_count)} requests of a fault outlived it by more than the limit"
        return text

    def dropped_us(self, us: int) -> int:
        """What a dropped start counts in a mean that is held against `us`: as one unfinished at the stop timeout."""
        return max(us + 1, self._stop_timeout_us)

    def counted(self, us: int) -> tuple[Counted, Counted]:
        """The counts against a latency with the fewest and with the most requests over it."""
        found = []
        without_answer = self.timeouts.count + self.without_request
        for end in (0, 1):
            old = self._requests.over(self._unfinished, us)[end]
            over = self._requests.over(self._answered, us)[end] + without_answer + old
            n = self.answered.count + without_answer + old
            found.append(Counted(n, over, self.unfinished.count - old))
        return found[0], found[1]

    def value_at(self, rank: int) -> float:
        """The sample of a rank; infinite among those without an answer."""
        if rank > self.answered.count:
            return inf
        value = self.answered.quantile(Fraction(max(rank, 1), self.answered.count))
        assert value is not None
        return value

    @cached_property
    def completed(self) -> dict[int, int]:
        """Second -> requests that ended in it, of the outcomes that count."""
        rows = self._requests.rows((*self._answered, *self._timeouts, *self._unfinished))
        return {second: row[COUNT] for second, row in rows.items()}

    def by_second(self, index: int) -> dict[int, tuple[int, int, int]]:
        """Second -> (requests due, those over the index-th limit, sum of their latencies).

        Who had no answer counts with its age, at least with a microsecond more than the limit.
        """
        slower = self.limits_us[index] + 1
        table: dict[int, tuple[int, int, int]] = {}

        def add(second: int, n: int, over: int, total: int) -> None:
            have = table.get(second, (0, 0, 0))
            table[second] = (have[0] + n, have[1] + over, have[2] + total)

        for second, row in self._answered_rows.items():
            add(second, row[COUNT], row[OVER + index], row[TOTAL])
        for second, row in self._timeout_rows.items():
            add(second, row[COUNT], row[COUNT], max(row[TOTAL], row[COUNT] * slower))
        for second, row in self._unfinished_rows.items():
            old = row[OVER + index]
            young_us = (row[COUNT] - old) * (slower - 1)
            add(second, old, old, max(row[TOTAL] - young_us, old * slower))
        for second, count in self.dropped.items():
            add(second, count, count, count * self.dropped_us(slower - 1))
        for second, count in self.outlived.items():
            add(second, count, count, count * slower)
        return table

    def seconds(self, index: int) -> tuple[list[int], list[int]]:
        """(requests over the index-th limit, requests) for every second from the first to the last with any."""
        table = self.by_second(index)
        over = {second: row[1] for second, row in table.items()}
        return calendar(over, {second: row[0] for second, row in table.items()})

    @property
    def seconds_with_samples(self) -> int:
        return len({*self._answered_rows, *self._timeout_rows, *self.dropped, *self.outlived})

    def effect_at(self, us: int) -> Fraction:
        """Design effect of the share over a latency; 1 where nothing, or all, is over it.

        For a latency that journals did not count, that of the counted one with the nearest share over it.
        """
        if us in self.limits_us:
            return self._effect_of(self.limits_us.index(us))
        most = self.counted(us)[1]
        return self._nearest_effect(Fraction(most.over, most.n)) if most.n and most.over else Fraction(1)

    def effect_near(self, quantile: Fraction) -> Fraction:
        """Design effect around a quantile: at the counted latency whose share over it is nearest to 1 - q.

        If nothing is over or under any of them, the effect on the mean stands in.
        """
        return self._nearest_effect(1 - quantile)

    def _nearest_effect(self, share: Fraction) -> Fraction:
        shares = {}
        for index in range(len(self.limits_us)):
            over, counts = self.seconds(index)
            if 0 < sum(over) < sum(counts):
                shares[index] = Fraction(sum(over), sum(counts))
        if not shares:
            return self.mean_effect()
        return self._effect_of(min(shares, key=lambda index: abs(shares[index] - share)))

    def _effect_of(self, index: int) -> Fraction:
        over, counts = self.seconds(index)
        return design_effect(over, counts, sum(over))

    def mean_effect(self) -> Fraction:
        sums = {second: row[TOTAL] for second, row in self._answered_rows.items()}
        counts = {second: row[COUNT] for second, row in self._answered_rows.items()}
        return design_effect(*calendar(sums, counts), squares(self.answered))

    @cached_property
    def _answered_rows(self) -> dict[int, list[int]]:
        return self._requests.rows(self._answered)

    @cached_property
    def _timeout_rows(self) -> dict[int, list[int]]:
        return self._requests.rows(self._timeouts)

    @cached_property
    def _unfinished_rows(self) -> dict[int, list[int]]:
        return self._requests.rows(self._unfinished)


def calendar(sums: dict[int, int], counts: dict[int, int]) -> tuple[list[int], list[int]]:
    """Both by second from the first to the last of `counts`, zeros between."""
    seconds = [second for second, count in counts.items() if count]
    if not seconds:
        return [], []
    every = range(min(seconds), max(seconds) + 1)
    return [sums.get(second, 0) for second in every], [counts.get(second, 0) for second in every]


def squares(histogram: Histogram) -> int:
    """Sum of the squared values, to the buckets' 0.1 %: good for an interval's width."""
    return sum(count * highest_equivalent(index) ** 2 for index, count in histogram.counts.items())


def few_seconds(seconds: int) -> str:
    noun = "second has" if seconds == 1 else "seconds have"
    return f"only {seconds} {noun} samples, and a confidence interval needs {MIN_SECONDS}"


def all_ended_by_us(latencies: Latencies) -> Measured:
    return no_data(
        f"all {format_count(latencies.total)} requests were ended by us while younger than the limit"
    )


def left_out_reason(rule: Rule, most: Counted, spare: Fraction) -> str:
    left_out, due = format_count(most.left_out), format_count(most.n + most.left_out)
    can_spare = f"can spare one in {format_count(ceil(1 / spare))}" if spare else "can spare none"
    return f"{left_out} of {due} requests were ended by us while younger than the limit; {rule.statistic} {can_spare}"
