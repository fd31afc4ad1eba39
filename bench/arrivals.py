"""The open model: does the load keep to the plan, and is a stall of the target seen for what it is?

`rate`: 5,000 arrivals a second on one core against nginx, which counts them. `stall`: 1,000 a second against a target
that stands still for the last second of every ten. Of arrivals that are spread evenly, a tenth falls into the stall
and waits for what is left of it, so a share of 0.1 · (1 - x) waits longer than x seconds: P95 is 500 ms, P99 900 ms,
plus the service time. Stock Locust's nearest is `constant_pacing`, whose users cannot start while they wait.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plans
import results
from generators import BASE, OURS
from known_target import known_target
from nginx import nginx
from reported import WARM_UP_S, Reported, run_ours, run_stock
from results import Spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.measure.interval import Interval

HEADING = "## The open model"
RATE, RATE_USERS = 5_000, 500
STALL_RATE, STALL_USERS = 1_000, 2_000
STALL_PERIOD_S = 10


@dataclass(frozen=True)
class Found:
    reported: Reported
    planned_per_s: float
    seconds: int
    pacer_lag_p99_ms: float | None = None
    """Of loadproof only: Locust does not say."""
    starts: tuple[int, int] | None = None
    """Taken and dropped, of loadproof only."""
    true: dict[str, float] | None = None

    @property
    def rate_error(self) -> float:
        return self.reported.offered_per_s / self.planned_per_s - 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["rate", "stall"], action="append")
    parser.add_argument("--peers", help="some of loadproof, fasthttp, with commas; default both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of the rate")
    parser.add_argument("--periods", type=int, default=1, help=f"of {STALL_PERIOD_S} s, with a stall each")
    arguments = parser.parse_args()
    peers = (arguments.peers or "loadproof,fasthttp").split(",")
    parts = []
    if arguments.only is None or "rate" in arguments.only:
        generators = {
            name: function
            for name, function in {OURS: our_rate, f"{BASE}, {RATE_USERS} users": stock_rate}.items()
            if short(name) in peers
        }
        found = interleaved(generators, arguments.rounds, arguments.seconds)
        parts.append((f"{RATE:,} a second on one core, for {arguments.seconds} s a round", rate_table(found)))
    if arguments.only is None or "stall" in arguments.only:
        generators = {
            name: function
            for name, function in {
                OURS: our_stall,
                f"{BASE}, 10 users": lambda seconds: stock_stall(10, seconds),
                f"{BASE}, 100 users": lambda seconds: stock_stall(100, seconds),
            }.items()
            if short(name) in peers
        }
        found = interleaved(generators, arguments.rounds, arguments.periods * STALL_PERIOD_S)
        title = f"{STALL_RATE:,} a second against a target that stalls 1 s in every {STALL_PERIOD_S}"
        parts.append((title, stall_table(found)))
    text = "\n\n".join(f"### {title}\n\n{table}" for title, table in parts)
    print(text)
    if arguments.only is None and arguments.peers is None:
        results.write_section(HEADING, f"{results.conditions(arguments.rounds)}\n\n{text}")
    return 0


def short(name: str) -> str:
    return "loadproof" if name == OURS else "fasthttp"


def interleaved(
    generators: dict[str, Callable[[int], Found]], rounds: int, seconds: int
) -> dict[str, list[Found]]:
    found: dict[str, list[Found]] = defaultdict(list)
    names = list(generators)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            one = generators[name](seconds)
            found[name].append(one)
            lag = "" if one.pacer_lag_p99_ms is None else f", pacer lag P99 {one.pacer_lag_p99_ms:.3f} ms"
            print(
                f"{name}: {one.reported.offered_per_s:,.1f}/s offered, CPU {one.reported.cpu:.0%}, "
                f"P95 {one.reported.p95_ms:.1f}, P99 {one.reported.p99_ms:.1f} ms{lag}",
                flush=True,
            )
    return {name: found[name] for name in names}


def our_rate(seconds: int) -> Found:
    with nginx() as target:
        load = {"arrivals": f"{RATE}/s", "users": RATE_USERS}
        begun = target.requests() + 100
        reported, seen = run_ours(
            "get", target.url, load, seconds, lambda: target.requests() > begun, target.requests
        )
        return Found(reported, RATE, seconds, pacer_lag_p99_ms(seen), taken_and_dropped(seen))


def stock_rate(seconds: int) -> Found:
    with nginx() as target:
        begun = target.requests() + 100
        reported = run_stock(
            "paced_fast_http_user",
            target.url,
            RATE_USERS,
            seconds,
            lambda: target.requests() > begun,
            target.requests,
            BENCH_PACE_S=str(RATE_USERS / RATE),
        )
        return Found(reported, RATE, seconds)


def our_stall(seconds: int) -> Found:
    with known_target("--stall", "--skip-s", str(WARM_UP_S)) as target:
        load = {"arrivals": f"{STALL_RATE}/s", "users": STALL_USERS}
        reported, seen = run_ours("get", target.url, load, seconds, target.begun)
    return Found(reported, STALL_RATE, seconds, pacer_lag_p99_ms(seen), taken_and_dropped(seen), target.truth)


def stock_stall(users: int, seconds: int) -> Found:
    with known_target("--stall", "--skip-s", str(WARM_UP_S)) as target:
        pace = str(users / STALL_RATE)
        reported = run_stock(
            "paced_fast_http_user", target.url, users, seconds, target.begun, BENCH_PACE_S=pace
        )
    return Found(reported, STALL_RATE, seconds, true=target.truth)


def taken_and_dropped(seen: list[Interval]) -> tuple[int, int]:
    """What became of the steady phase's starts; RuntimeError when the run had none."""
    found = [one for interval in seen for key, one in interval.arrivals.items() if key.phase == plans.STEADY]
    if not found:
        raise RuntimeError("no arrival was recorded: the run was not an open one")
    return sum(one.taken for one in found), sum(one.no_user + one.late for one in found)


def pacer_lag_p99_ms(seen: list[Interval]) -> float:
    lags = (interval.pacer_lag for interval in seen if interval.second >= WARM_UP_S)
    (p99,) = plans.quantiles_ms(lags, 0.99)
    return p99


def rate_table(found: dict[str, list[Found]]) -> str:
    rows = []
    for name, ones in found.items():
        lags = [one.pacer_lag_p99_ms for one in ones if one.pacer_lag_p99_ms is not None]
        planned = RATE * ones[0].seconds
        known = [one.starts for one in ones if one.starts is not None]
        starts = {f"{taken:,} + {lost:,} of {planned:,}" for taken, lost in known}
        rows.append(
            [
                name,
                Spread.of([100 * one.rate_error for one in ones]).text(3),
                Spread.of([100 * one.reported.cpu for one in ones]).text(1),
                Spread.of(lags).text(3) if lags else "not told",
                "; ".join(sorted(starts)) or "not told",
            ]
        )
    head = [
        "generator",
        "rate at nginx against the plan, %",
        "CPU, % of a core",
        "pacer lag P99, ms",
        "starts taken + dropped",
    ]
    return results.markdown(head, rows)


def stall_table(found: dict[str, list[Found]]) -> str:
    rows = [["by the plan's arithmetic", "100", "500 + service", "900 + service", ""]]
    for name, ones in found.items():
        made = [100 * one.reported.requests / (one.planned_per_s * one.seconds) for one in ones]
        rows.append(
            [
                name,
                Spread.of(made).text(1),
                Spread.of([one.reported.p95_ms for one in ones]).text(1),
                Spread.of([one.reported.p99_ms for one in ones]).text(1),
                Spread.of([one.true["p99_ms"] for one in ones if one.true]).text(1),
            ]
        )
    head = [
        "generator",
        "requests made, % of the plan",
        "P95 reported, ms",
        "P99 reported, ms",
        "P99 at the target, ms",
    ]
    return results.markdown(head, rows)


if __name__ == "__main__":
    sys.exit(main())
