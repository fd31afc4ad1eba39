"""Reported latency against the true one: loadproof beside stock Locust.

The target knows the true latency of every request by its kernel's stamps (`known_target.py`). Two situations in
which a generator is tempted to report its own queue as the target's: most of its core is used, and all users are
due in one instant.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import generators
import results
from generators import BASE, OURS
from known_target import known_target
from reported import WARM_UP_S, Reported, run_ours, run_stock
from results import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADING = "## Reported latency against the true one"
BUSY_USERS, BUSY_DELAY_US = 500, 5_000
BUSY_SHARE = 0.7
FIRST_RATES = {OURS: 8_000, BASE: 1_500, "HttpUser": 500}
"""Requests a second at which no generator is near its limit; the rate for 70 % is found from there."""
BURST_USERS = 1_000
FILES = {BASE: "fast_http_user", "HttpUser": "http_user"}


@dataclass(frozen=True)
class Pair:
    reported: Reported
    true: dict[str, float]


SITUATIONS = {
    "busy": f"{BUSY_USERS} users, the target answers after {BUSY_DELAY_US / 1_000:g} ms, generator at {BUSY_SHARE:.0%} CPU",
    "burst": f"{BURST_USERS:,} users due in one instant each second, the target answers at once",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(SITUATIONS), action="append")
    parser.add_argument(
        "--peers", help="some of loadproof, fasthttp, http, with commas; default the first two"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    names = generators.chosen(arguments.peers or "loadproof,fasthttp")
    parts = []
    for situation, title in SITUATIONS.items():
        if arguments.only is None or situation in arguments.only:
            table = as_table(compare(situation, names, arguments.rounds, arguments.seconds))
            print(f"\n{title}\n\n{table}\n", flush=True)
            parts.append(f"### {title}\n\n{table}")
    if arguments.only is None and arguments.peers is None:
        results.write_section(HEADING, f"{results.conditions(arguments.rounds)}\n\n" + "\n\n".join(parts))
    return 0


def compare(situation: str, names: list[str], rounds: int, seconds: int) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = defaultdict(list)
    paces = {name: busy_pace_s(name) for name in names} if situation == "busy" else {}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            pair = busy(name, paces[name], seconds) if situation == "busy" else burst(name, seconds)
            found[name].append(pair)
            print(
                f"{situation} {name}: {pair.reported.requests} requests, CPU {pair.reported.cpu:.0%}, "
                f"P50 {pair.reported.p50_ms:.3f} for {pair.true['p50_ms']:.3f} ms, "
                f"P99 {pair.reported.p99_ms:.3f} for {pair.true['p99_ms']:.3f} ms",
                flush=True,
            )
    return {name: found[name] for name in names}


def busy_pace_s(name: str) -> float:
    """The users' pace at which this generator uses 70 % of its core, by the rule of three from a slower one."""
    pace_s = BUSY_USERS / FIRST_RATES[name]
    share = busy(name, pace_s, 3).reported.cpu
    return pace_s * share / BUSY_SHARE


def busy(name: str, pace_s: float, seconds: int) -> Pair:
    return run(
        name, "paced", BUSY_USERS, seconds, ("--delay-us", str(BUSY_DELAY_US)), BENCH_PACE_S=str(pace_s)
    )


def burst(name: str, seconds: int) -> Pair:
    return run(name, "burst", BURST_USERS, seconds, ())


def run(
    name: str, scenario: str, users: int, seconds: int, options: Sequence[str], **environment: str
) -> Pair:
    with known_target("--skip-s", str(WARM_UP_S), *options) as target:
        if name == OURS:
            load = {"users": users}
            reported, _ = run_ours(scenario, target.url, load, seconds, target.begun, **environment)
        else:
            file = f"{scenario}_{FILES[name]}"
            reported = run_stock(file, target.url, users, seconds, target.begun, **environment)
    return Pair(reported, target.truth)


def as_table(found: dict[str, list[Pair]]) -> str:
    """True and reported latency, and by how much the report is wrong, each over the rounds."""
    rows = []
    for name, pairs in found.items():
        wrong = {
            quantile: Spread.of(
                [getattr(pair.reported, quantile) - pair.true[quantile] for pair in pairs]
            ).text(3)
            for quantile in ("p50_ms", "p99_ms")
        }
        rows.append(
            [
                name,
                f"{Spread.of([pair.reported.cpu for pair in pairs]).median:.0%}",
                Spread.of([pair.true["p50_ms"] for pair in pairs]).text(3),
                wrong["p50_ms"],
                Spread.of([pair.true["p99_ms"] for pair in pairs]).text(3),
                wrong["p99_ms"],
            ]
        )
    head = ["generator", "CPU", "true P50, ms", "reported minus true", "true P99, ms", "reported minus true"]
    return results.markdown(head, rows)


if __name__ == "__main__":
    sys.exit(main())
