"""Was the load generator fit: its own lag, its seconds, its processor."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.plan.search import searched_from_us
from loadproof.units import format_duration, format_ratio
from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.result import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loadproof.verdict.case import Case
    from loadproof.verdict.rule import Rule
    from loadproof.verdict.tallies import WorkerSecond

SATURATED: Final = "generator_saturated"
BUSY: Final = "generator_busy"
STEAL: Final = "machine_steal"
LONGEST_INTERVAL_US: Final = 2 * SECOND_US
LAG_FLOOR_US: Final = 5_000
STREAK: Final = 10
"""Seconds that a lag must last, or a load be averaged over."""
BUSY_CPU: Final = Fraction(90, 100)
MUCH_STEAL: Final = Fraction(5, 100)


def lag_limit_us(rules: Sequence[Rule]) -> Fraction:
    """max(5 ms, 10 % of the tightest latency limit)."""
    limits = [rule.limit.value for rule in rules if rule.statistic.is_latency and not rule.is_open]
    tightest = min(limits, default=Fraction(0))
    return max(Fraction(LAG_FLOOR_US), tightest / 10)


def generator_reasons(case: Case, rules: Sequence[Rule]) -> Iterator[Reason]:
    """INVALID where the generator was saturated, WARN where it was close to it."""
    limit_us = lag_limit_us(rules)
    # A search tells for each of its probes whether the generator was fit, and takes none for the target's in which
    # it was not.
    until_us = searched_from_us(case.plan)
    for name, worker in sorted(case.evidence.workers.items()):
        seconds = sorted(worker.seconds, key=lambda second: (second.start_us, second.second))
        if until_us is not None:
            seconds = [second for second in seconds if second.start_us < until_us]
        if not seconds:
            continue
        yield from _lag_reasons(name, seconds, limit_us)
        slowest = max(seconds, key=lambda second: second.length_us)
        if slowest.length_us > LONGEST_INTERVAL_US:
            yield _saturated(
                f"{name} was so busy that second {slowest.second} took it {format_duration(slowest.length_us)}"
            )
        throttled_us = sum(second.throttled_us or 0 for second in seconds)
        if throttled_us:
            yield _saturated(
                f"the CPU quota of {name}'s container held it back for {format_duration(throttled_us)} in total"
            )
        share, since = _highest(seconds, lambda second: second.cpu_us)
        if share >= BUSY_CPU:
            text = f"{name} used {format_ratio(float(share))} of a core over {STREAK} s from second {since}"
            yield Reason(Verdict.WARN, BUSY, text)
        share, since = _highest(seconds, lambda second: second.steal_us or 0)
        if share > MUCH_STEAL:
            text = (
                f"the machine of {name} lost {format_ratio(float(share))} of a core to other tenants over "
                f"{STREAK} s from second {since}"
            )
            yield Reason(Verdict.WARN, STEAL, text)


def _lag_reasons(name: str, seconds: list[WorkerSecond], limit_us: Fraction) -> Iterator[Reason]:
    lags: dict[str, Callable[[WorkerSecond], int | None]] = {
        "pacer_lag": lambda second: second.pacer_lag_us,
        "receive_lag": lambda second: second.receive_lag_us,
    }
    for lag, value in lags.items():
        worst: list[WorkerSecond] = []
        streak: list[WorkerSecond] = []
        for second in seconds:
            lag_us = value(second)
            if lag_us is None:
                # A second that measured nothing neither ends a streak nor makes it longer.
                continue
            streak = [*streak, second] if lag_us > limit_us else []
            if len(streak) > len(worst):
                worst = streak
        if len(worst) >= STREAK or sum(second.length_us for second in worst) >= STREAK * SECOND_US:
            most = max(value(second) or 0 for second in worst)
            yield _saturated(
                f"the P99 of {lag} on {name} stayed above {format_duration(float(limit_us))} from second "
                f"{worst[0].second} to {worst[-1].second} and reached {format_duration(most)}"
            )


def _highest(seconds: list[WorkerSecond], spent: Callable[[WorkerSecond], int]) -> tuple[Fraction, int]:
    """The largest share of the time over `STREAK` intervals in a row, and the second where they begin."""
    best, since = Fraction(0), 0
    for first in range(len(seconds) - STREAK + 1):
        window = seconds[first : first + STREAK]
        length_us = sum(second.length_us for second in window)
        share = Fraction(sum(map(spent, window)), length_us) if length_us else Fraction(0)
        if share > best:
            best, since = share, window[0].second
    return best, since


def _saturated(text: str) -> Reason:
    return Reason(Verdict.INVALID, SATURATED, text)
