"""Rules with a window: `for` every full window, `within` some window, `over` the last one.

Windows are runs of whole seconds and count what ended in them. A request that began in a judged phase and
ended after it still counts: the seconds after a stretch belong to it until the next judged one begins, under
`for` and `over`. For `within` they do not, as a drain of three quick answers would keep any limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from math import ceil, lcm
from typing import TYPE_CHECKING

from loadproof.measure.interval import Outcome
from loadproof.units import duration_text, format_count
from loadproof.verdict.case import Case, Measured, no_data, shown
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.latencies import Counted, Latencies
from loadproof.verdict.rates import active_user_us, completed
from loadproof.verdict.rule import Bound, Rule, Unit, WindowKind
from loadproof.verdict.samples import readings_of, subject
from loadproof.verdict.shares import errors_by_second, executed_checks
from loadproof.verdict.stall import merged_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadproof.verdict.selection import Selection

_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Series:
    """A statistic as two integers a second, which add up over a window."""

    cells: Callable[[Bound], dict[int, _Pair] | None]
    """None where the journals did not count against the bound."""
    holds: Callable[[Bound, _Pair], bool | None]
    """None for a window that says nothing."""
    value: Callable[[_Pair], Fraction | None]
    describe: Callable[[_Pair], str]
    filled: Callable[[_Pair, int], _Pair]
    """A window with so many more requests that are ok and fast."""
    counts: dict[int, int]
    """What is missing is measured in these."""
    dropped: dict[int, int] = field(default_factory=dict)
    """Second -> starts that were dropped in it, which the cells hold."""
    forgiven: Callable[[Bound, _Pair, int], _Pair] = lambda bound, cell, dropped: cell  # noqa: ARG005 nothing to forgive
    """A window with so many of its dropped starts taken as ok and fast."""
    is_throughput: bool = False
    """Every second counts, also an empty one, and only as far as it lies in the judged phases."""
    no_data: str | None = None
    """Why kept windows show nothing, in a clause."""


@dataclass(frozen=True)
class _Window:
    seconds: range
    cell: _Pair
    stuck: int | None
    """The first second without an answer whose oldest request in flight was older than the limit."""
    kept: bool | None


def measure_window(rule: Rule, case: Case) -> Measured:
    """A rule with a window; it has no confidence interval."""
    assert rule.window is not None
    selection = case.selection(rule)
    if rule.statistic.is_sampled and (nothing := readings_of(rule, case).nothing) is not None:
        return no_data(nothing)
    series = _series(rule, case, selection)
    if series is None:
        return case.nothing(rule)
    if series.no_data is not None and rule.window.kind is WindowKind.WITHIN:
        # The window that keeps the limit may be the one that nobody saw.
        return no_data(series.no_data)
    if series.cells(rule.limit) is None:
        limit = rule.value_text(rule.limit.value)
        return no_data(f"the journals did not count against {limit}, so no window can be judged")
    length = duration_text(rule.window.seconds * SECOND_US)
    windows = _Windows(rule, case, selection, series)
    if not windows.stretches:
        return no_data(f"the judged phases have no full window of {length}", too_few=True)
    found = windows.of(rule.limit)
    telling = [window for window in found if window.kept is not None]
    if not telling:
        return case.nothing(rule) if series.no_data is None else no_data(series.no_data)
    chosen = windows.telling_one(telling, rule.limit)
    which = {
        WindowKind.FOR: f"in the worst of {format_count(len(telling))} windows of {length}",
        WindowKind.WITHIN: f"in the best of {format_count(len(telling))} windows of {length}",
        WindowKind.OVER: f"in the last {length}",
    }[rule.window.kind]
    text = f"{which}, from second {chosen.seconds.start}, {series.describe(chosen.cell)}"
    if chosen.stuck is not None:
        text = (
            f"{which}, from second {chosen.seconds.start}, nothing was answered in second {chosen.stuck} while a "
            "request had been waiting for longer than the limit"
        )
    value = series.value(chosen.cell)
    return Measured(
        text,
        None if value is None else float(value),
        sum(series.counts.get(second, 0) for _, seconds in windows.stretches for second in seconds),
        windows.holds,
        windows.stands,
        no_data=series.no_data,
    )


class _Windows:
    """The windows of one rule."""

    def __init__(self, rule: Rule, case: Case, selection: Selection, series: _Series) -> None:
        assert rule.window is not None
        self._rule = rule
        self._case = case
        self._selection = selection
        self._series = series
        self._kind = rule.window.kind
        self._length = rule.window.seconds
        self._flow = merged_flow(case.evidence, selection.region)
        stretches = case.timeline.stretches(selection.phases)
        inside = [
            stretch.full_seconds if series.is_throughput else stretch.touched_seconds for stretch in stretches
        ]
        if case.delay_us is not None:
            begin = -(-case.delay_us // SECOND_US)
            inside = [range(max(seconds.start, begin), max(seconds.stop, begin)) for seconds in inside]
        last = max((*series.counts, *series.dropped), default=0)
        self.stretches: list[tuple[range, range]] = []
        """(seconds inside, the same with those after it that still belong to it); only full windows' worth."""
        for index, seconds in enumerate(inside):
            if len(seconds) < self._length:
                continue
            following = inside[index + 1].start if index + 1 < len(inside) else last + 1
            # What came in after the end of a run that goes on is of seconds that are not known yet.
            is_known = not case.facts.goes_on or index + 1 < len(inside)
            extends = is_known and not series.is_throughput
            stop = max(seconds.stop, following) if extends else seconds.stop
            self.stretches.append((seconds, range(seconds.start, stop)))

    def holds(self, bound: Bound) -> bool | None:
        return self._verdict([window.kept for window in self.of(bound)])

    def stands(self, bound: Bound) -> bool:
        """Windows with what is missing filled in; a wait is one only if no worker was absent."""
        case, region = self._case, self._selection.region
        best = case.shortfall.best_rate(self._series.counts, region)
        spare = case.shortfall.in_flight(region)
        planned = case.shortfall.planned_workers(region)
        kept = []
        for window in self.of(bound):
            seconds = window.seconds
            if self._rule.statistic.name == "users":
                missing_us = case.shortfall.user_us(seconds.start, seconds.stop, region)
                filled = self._series.filled(window.cell, missing_us)
            else:
                missing = ceil(case.shortfall.load(seconds.start, seconds.stop, region) * best)
                dropped = sum(self._series.dropped.get(second, 0) for second in seconds)
                filled = self._series.filled(
                    self._series.forgiven(bound, window.cell, dropped), missing + spare
                )
            is_stuck = any(
                self._is_stuck(second, bound) and self._flow[second].workers >= planned for second in seconds
            )
            kept.append(False if is_stuck else self._series.holds(bound, filled))
        return self._verdict(kept) is False

    def of(self, bound: Bound) -> list[_Window]:
        cells = self._series.cells(bound)
        if cells is None:
            return []
        found = []
        for number, (inside, extended) in enumerate(self.stretches):
            if self._kind is WindowKind.OVER:
                if number < len(self.stretches) - 1:
                    continue
                spans: Iterable[range] = (range(inside.stop - self._length, extended.stop),)
            else:
                every = inside if self._kind is WindowKind.WITHIN else extended
                spans = (
                    range(first, first + self._length) for first in every[: len(every) - self._length + 1]
                )
            sums = [list(accumulate((cells.get(s, (0, 0))[i] for s in extended), initial=0)) for i in (0, 1)]
            stuck = [second for second in extended if self._is_stuck(second, bound)]
            for span in spans:
                first, last = span.start - extended.start, span.stop - extended.start
                cell = (sums[0][last] - sums[0][first], sums[1][last] - sums[1][first])
                waiting = next((second for second in stuck if second in span), None)
                kept = False if waiting is not None else self._series.holds(bound, cell)
                found.append(_Window(span, cell, waiting, kept))
        return found

    def telling_one(self, windows: list[_Window], bound: Bound) -> _Window:
        """The worst window under `for`, the best under `within`, the last under `over`."""

        def badness(window: _Window) -> tuple[bool, Fraction]:
            if self._rule.statistic.quantile is not None:
                n, over = window.cell
                share = Fraction(over, n) if n else Fraction(0)
                return window.stuck is not None, share if bound.operator.caps else -share
            value = self._series.value(window.cell) or Fraction(0)
            return window.stuck is not None, value if bound.operator.caps else -value

        if self._kind is WindowKind.OVER:
            return windows[-1]
        return max(windows, key=badness) if self._kind is WindowKind.FOR else min(windows, key=badness)

    def _verdict(self, kept: list[bool | None]) -> bool | None:
        telling = [one for one in kept if one is not None]
        if not telling:
            return None
        return any(telling) if self._kind is WindowKind.WITHIN else all(telling)

    def _is_stuck(self, second: int, bound: Bound) -> bool:
        now = self._flow.get(second)
        if now is None or not self._rule.statistic.is_latency or not bound.operator.caps:
            return False
        if now.first_done_us is not None or not now.in_flight or now.oldest_start_us is None:
            return False
        return now.closed_us - now.oldest_start_us > bound.counted_us


def _series(rule: Rule, case: Case, selection: Selection) -> _Series | None:
    """The statistic of a rule in seconds; None when there is nothing of it at all."""
    name = rule.statistic.name
    assert rule.window is not None
    seconds = rule.window.seconds
    if rule.statistic.is_latency:
        return _latency_series(rule, case, selection)
    if rule.statistic.is_sampled:
        return _sampled_series(rule, case)
    if name in {"rate", "count"}:
        ok = completed(case, selection, any_phase=True)
        if ok is None:
            return None
        if name == "count":
            return _count_series(rule, ok, selection.outcome or Outcome.OK)
        return _Series(
            lambda _: {second: (count, 0) for second, count in ok.items()},
            lambda bound, cell: bound.holds(Fraction(cell[0], seconds)),
            lambda cell: Fraction(cell[0], seconds),
            lambda cell: f"the rate was {shown(Unit.RATE, cell[0] / seconds)}",
            lambda cell, more: (cell[0] + more, 0),
            ok,
            is_throughput=True,
        )
    if name == "users":
        active = active_user_us(case, selection)
        if not active:
            return None
        return _Series(
            lambda _: {second: (user_us, 0) for second, user_us in active.items()},
            lambda bound, cell: bound.holds(Fraction(cell[0], seconds * SECOND_US)),
            lambda cell: Fraction(cell[0], seconds * SECOND_US),
            lambda cell: f"{shown(Unit.NUMBER, round(cell[0] / seconds / SECOND_US, 2))} users were active",
            lambda cell, more: (cell[0] + more, 0),
            active,
            is_throughput=True,
        )
    is_check = name == "check"
    dropped = {} if is_check else case.requests(selection).dropped
    if is_check:
        table = {
            second: (row[0], row[0] + row[1])
            for second, row in executed_checks(rule, case, selection).items()
        }
    else:
        table = errors_by_second(case.requests(selection))
    what = f"{rule.statistic} passed" if is_check else "errors were"
    if not table:
        return None
    return _Series(
        lambda _: table,
        lambda bound, cell: bound.holds(Fraction(*cell)) if cell[1] else None,
        lambda cell: Fraction(*cell) if cell[1] else None,
        lambda cell: f"{what} {format_count(cell[0])} of {format_count(cell[1])}",
        lambda cell, more: (cell[0] + more if is_check else cell[0], cell[1] + more),
        {second: cell[1] - dropped.get(second, 0) for second, cell in table.items()},
        dropped,
        lambda _, cell, dropped: (cell[0] - dropped, cell[1]),
    )


def _count_series(rule: Rule, counts: dict[int, int], outcome: Outcome) -> _Series:
    """What is missing went well: under a cap it adds nothing, as it would only break it."""
    caps = rule.limit.operator.caps
    return _Series(
        lambda _: {second: (count, 0) for second, count in counts.items()},
        lambda bound, cell: bound.holds(cell[0]),
        lambda cell: Fraction(cell[0]),
        lambda cell: f"there were {format_count(cell[0])} {outcome} requests",
        lambda cell, more: cell if caps else (cell[0] + more, 0),
        counts,
        is_throughput=True,
    )


def _sampled_series(rule: Rule, case: Case) -> _Series:
    """Of a window the mean."""
    readings = readings_of(rule, case)
    scale = lcm(*(total.denominator for total, _ in readings.by_second.values()))
    table = {second: (int(total * scale), count) for second, (total, count) in readings.by_second.items()}

    def mean(cell: _Pair) -> Fraction | None:
        return Fraction(cell[0], cell[1] * scale) if cell[1] else None

    def holds(bound: Bound, cell: _Pair) -> bool | None:
        value = mean(cell)
        return None if value is None else bound.holds(value)

    return _Series(
        lambda _: table,
        holds,
        mean,
        lambda cell: f"the mean of {subject(rule)} was {shown(rule.unit, mean(cell))}",
        lambda cell, _: cell,
        {second: cell[1] for second, cell in table.items()},
        is_throughput=True,
        no_data=readings.incomplete,
    )


def _latency_series(rule: Rule, case: Case, selection: Selection) -> _Series | None:
    latencies = Latencies(case, selection)
    if not latencies.total:
        return None
    quantile = rule.statistic.quantile
    column = 1 if quantile is not None else 2

    def cells(bound: Bound) -> dict[int, _Pair] | None:
        if bound.counted_us not in latencies.limits_us:
            return None
        table = latencies.by_second(latencies.limits_us.index(bound.counted_us))
        return {second: (row[0], row[column]) for second, row in table.items()}

    def holds(bound: Bound, cell: _Pair) -> bool | None:
        n, amount = cell
        if n == 0:
            return None
        if quantile is None:
            return bound.holds(Fraction(amount, n))
        return Counted(n, amount, 0).kept(quantile, bound)

    def forgiven(bound: Bound, cell: _Pair, dropped: int) -> _Pair:
        each = 1 if quantile is not None else latencies.dropped_us(bound.counted_us)
        return cell[0], cell[1] - dropped * each

    def describe(cell: _Pair) -> str:
        n, amount = cell
        if quantile is None:
            return f"the mean was {shown(Unit.DURATION, amount / n if n else None)} over {format_count(n)} requests"
        beyond = amount if rule.limit.operator.caps else n - amount
        return f"{format_count(beyond)} of {format_count(n)} requests were beyond the limit"

    return _Series(
        cells,
        holds,
        lambda cell: Fraction(cell[1], cell[0]) if quantile is None and cell[0] else None,
        describe,
        lambda cell, more: (cell[0] + more, cell[1]),
        latencies.completed,
        latencies.dropped,
        forgiven,
    )
