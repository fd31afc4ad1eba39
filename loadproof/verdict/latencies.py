"""Latency rules: every request due counts, also the one that had no answer.

An ok request counts at its latency. A timeout is slower than any limit, and so is a request that was still
unfinished when it was older than the limit. One that we ended ourselves while it was younger says nothing:
it is left out and counted. Failed requests belong to `error_ratio`; a fast refusal is not a fast answer.
With `outcome=` in the selector a rule looks at that outcome alone, in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from loadproof.measure.histogram import Histogram, highest_equivalent
from loadproof.measure.interval import Outcome
from loadproof.units import format_count
from loadproof.verdict.case import Case, Measured, no_data, shown
from loadproof.verdict.evidence import COUNT, OVER, TOTAL
from loadproof.verdict.intervals import (
    MIN_SECONDS,
    design_effect,
    least_samples,
    mean_interval,
    quantile_ranks,
)
from loadproof.verdict.rule import Bound, Unit

if TYPE_CHECKING:
    from loadproof.verdict.rule import Rule
    from loadproof.verdict.selection import Requests, Selection

MEAN_LEFT_OUT: Final = Fraction(1, 100)
"""Largest share of left-out requests under a mean, which has no q to derive it from."""
_ANSWERED: Final = (Outcome.OK, Outcome.FAILED)


@dataclass(frozen=True)
class Counted:
    """The samples of a rule against one latency."""

    n: int
    over: int
    left_out: int

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

    def __init__(self, case: Case, selection: Selection) -> None:
        self.limits_us = case.evidence.limits_us
        self._requests: Requests = case.requests(selection)
        chosen = selection.outcome
        self._answered = tuple(known for known in _ANSWERED if known is (chosen or Outcome.OK))
        self._timeouts = (Outcome.TIMEOUT,) if chosen in {None, Outcome.TIMEOUT} else ()
        self._unfinished = (Outcome.UNFINISHED,) if chosen in {None, Outcome.UNFINISHED} else ()

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
        return self.answered.count + self.timeouts.count + self.unfinished.count

    def counted(self, us: int) -> tuple[Counted, Counted]:
        """The counts against a latency with the fewest and with the most requests over it."""
        found = []
        for end in (0, 1):
            old = self._requests.over(self._unfinished, us)[end]
            over = self._requests.over(self._answered, us)[end] + self.timeouts.count + old
            n = self.answered.count + self.timeouts.count + old
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
        return table

    def seconds(self, index: int) -> tuple[list[int], list[int]]:
        """(requests over the index-th limit, requests) for every second from the first to the last with any."""
        table = self.by_second(index)
        over = {second: row[1] for second, row in table.items()}
        return calendar(over, {second: row[0] for second, row in table.items()})

    @property
    def seconds_with_samples(self) -> int:
        return len({*self._answered_rows, *self._timeout_rows})

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


def measure_quantile(rule: Rule, case: Case) -> Measured:
    """p50 to p99.99, and max as the quantile 1."""
    quantile = rule.statistic.quantile
    assert quantile is not None
    selection = case.selection(rule)
    latencies = Latencies(case, selection)
    if latencies.total == 0:
        return case.nothing(rule)
    limit_us = rule.limit.counted_us
    most = latencies.counted(limit_us)[1]
    if most.n == 0:
        return _all_ended_by_us(latencies)
    too_many_left_out = most.left_out > (1 - quantile) / 10 * (most.n + most.left_out)
    needed = 1
    has_interval = quantile < 1 and latencies.seconds_with_samples >= MIN_SECONDS
    if quantile < 1:
        # Whether a limit is proven is a matter of the share beyond it, and so is whether there are samples
        # enough: a target whose slowest second is far below the limit has shown what was asked. How far the
        # value itself may be off is a matter of its own surroundings, where requests come in clusters more.
        at_limit = latencies.effect_at(limit_us) if has_interval else Fraction(1)
        needed = ceil(least_samples(quantile) * at_limit)
    doubts: tuple[str, ...] = ()
    if latencies.seconds_with_samples < MIN_SECONDS:
        doubts = (few_seconds(latencies.seconds_with_samples),)

    def holds(bound: Bound) -> bool | None:
        ends = latencies.counted(bound.counted_us)
        spared = ends[0].left_out if too_many_left_out else 0
        kept = {end.kept(quantile, bound, spared) for end in ends}
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        missing = case.missing(latencies.completed, selection)
        return not any(end.kept(quantile, bound, missing) for end in latencies.counted(bound.counted_us))

    def is_close(bound: Bound) -> bool:
        if not has_interval:
            return False
        low, high = latencies.counted(bound.counted_us)
        ranks = quantile_ranks(quantile, high.n, latencies.effect_at(bound.counted_us))
        if ranks is None or bound.operator.caps:
            return ranks is None or high.over > high.n - ranks[1]
        return low.n - low.over >= ranks[0]

    why = None
    if too_many_left_out:
        why = _left_out(rule, most, (1 - quantile) / 10)
    elif most.n < needed:
        alike = ", as slow ones came together" if needed > least_samples(quantile) else ""
        why = f"only {format_count(most.n)} of {format_count(needed)} samples that {rule.statistic} needs{alike}"
    value = latencies.value_at(ceil(quantile * most.n))
    confidence = None
    if has_interval:
        effect = max(latencies.effect_near(quantile), at_limit)
        ranks = quantile_ranks(quantile, most.n, effect) or quantile_ranks(quantile, most.n, at_limit)
        if ranks is not None:
            confidence = (latencies.value_at(ranks[0]) if ranks[0] else 0.0, latencies.value_at(ranks[1]))
    # A bucket's upper end must never be shown on the wrong side of a limit that exact counts decided.
    held = holds(rule.limit)
    if held is rule.limit.operator.caps:
        value = min(value, limit_us)
        if confidence is not None and held and not is_close(rule.limit):
            confidence = (min(confidence[0], limit_us), min(confidence[1], limit_us))
    beyond = most.over if rule.limit.operator.caps else most.n - most.over
    text = (
        f"{rule.statistic} is {shown(Unit.DURATION, value)}, with {format_count(beyond)} of "
        f"{format_count(most.n)} requests beyond the limit"
    )
    if most.left_out:
        text += f" and {format_count(most.left_out)} left out that we ended ourselves"
    return Measured(
        text,
        value,
        most.n,
        holds,
        stands,
        confidence,
        is_close,
        doubts,
        no_data=why,
        too_few=why is not None and not too_many_left_out,
    )


def measure_mean(rule: Rule, case: Case) -> Measured:
    """The mean latency of every request due.

    A request without an answer counts with its age, at least with the limit; that bounds the mean from below.
    From above it is bounded as if each had taken the whole run.
    """
    selection = case.selection(rule)
    latencies = Latencies(case, selection)
    if latencies.total == 0:
        return case.nothing(rule)
    most = latencies.counted(rule.limit.counted_us)[1]
    if most.n == 0:
        return _all_ended_by_us(latencies)
    run_us = max(case.timeline.planned_us, case.evidence.end_us)

    def ends(bound: Bound) -> tuple[int, int, int]:
        """(n, least sum, largest sum) of the latencies."""
        us = bound.counted_us
        high = latencies.counted(us)[1]
        unanswered = high.n - latencies.answered.count
        old = unanswered - latencies.timeouts.count
        slower = us + 1
        ages = max(latencies.timeouts.total, latencies.timeouts.count * slower)
        ages += max(latencies.unfinished.total - high.left_out * us, old * slower)
        return (
            high.n,
            latencies.answered.total + ages,
            latencies.answered.total + max(ages, unanswered * run_us),
        )

    def holds(bound: Bound) -> bool | None:
        n, least, largest = ends(bound)
        kept = {bound.holds(Fraction(total, n)) for total in (least, largest)}
        return kept.pop() if len(kept) == 1 else None

    def stands(bound: Bound) -> bool:
        n, least, _ = ends(bound)
        return not bound.holds(Fraction(least, n + case.missing(latencies.completed, selection)))

    n, least, _ = ends(rule.limit)
    value = least / n
    confidence = None
    doubts: tuple[str, ...] = ()
    if latencies.seconds_with_samples < MIN_SECONDS:
        doubts = (few_seconds(latencies.seconds_with_samples),)
    elif latencies.answered.count:
        spread = squares(latencies.answered)
        low, high = mean_interval(
            latencies.answered.total, spread, latencies.answered.count, latencies.mean_effect()
        )
        shift = value - latencies.answered.total / latencies.answered.count
        confidence = (max(0.0, low + shift), high + shift)

    def is_close(bound: Bound) -> bool:
        if confidence is None:
            return False
        return not bound.holds(Fraction(confidence[1] if bound.operator.caps else confidence[0]))

    why = None
    if most.left_out > MEAN_LEFT_OUT * (most.n + most.left_out):
        why = _left_out(rule, most, MEAN_LEFT_OUT)
    text = f"mean is {shown(Unit.DURATION, value)} over {format_count(n)} requests"
    unanswered = n - latencies.answered.count
    if unanswered:
        text += f", {format_count(unanswered)} of which had no answer and count with their age at least"
    return Measured(
        text,
        value,
        n,
        holds,
        stands,
        confidence,
        is_close,
        doubts,
        no_data=why,
        unclear="it depends on how long the requests without an answer would have taken",
    )


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


def _all_ended_by_us(latencies: Latencies) -> Measured:
    return no_data(
        f"all {format_count(latencies.total)} requests were ended by us while younger than the limit"
    )


def _left_out(rule: Rule, most: Counted, spare: Fraction) -> str:
    left_out, due = format_count(most.left_out), format_count(most.n + most.left_out)
    can_spare = f"can spare one in {format_count(ceil(1 / spare))}" if spare else "can spare none"
    return f"{left_out} of {due} requests were ended by us while younger than the limit; {rule.statistic} {can_spare}"
