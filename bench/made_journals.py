"""A run folder of a long, large run, written in seconds: what `loadproof report` is measured with.

    python bench/made_journals.py FOLDER [--seconds 3600] [--rate 27800] [--workers 16]

As given it is an hour of 27,800 requests a second, 100 million in all: 16 workers in 4 regions, 5 scenarios of 4
endpoints each, lognormal latencies with medians from 2 to 40 ms, every fourth endpoint with a time to first byte
of its own, and 0.2 % failures at every third. The format is that of a real run, and every record passes its
reader's checks. Each series of a second is drawn from a few hundred that were made of random latencies before, so
it is as costly to read as any other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from msgspec import msgpack

from loadproof.measure.codec import INTERVAL, encode
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Fin, Header, Outcome
from loadproof.measure.packing import pack
from loadproof.measure.record import MAGIC, frame
from loadproof.measure.wire import FORMAT_VERSION, OUTCOMES, WireInterval, WireSeries
from loadproof.plan.model import Phase, Plan, Region, RuleText
from loadproof.plan.writer import dump_plan
from loadproof.verdict.grammar import latency_limits_us, parse_rule

RUN: Final = "made-up"
SCENARIOS: Final = ("Reader", "Writer", "Searcher", "Buyer", "Auditor")
ENDPOINTS_EACH: Final = 4
REGIONS: Final = ("ap-southeast-1", "eu-west-1", "us-east-1", "us-west-2")
RULES: Final = (
    "p95 <= 250ms, goal < 200ms",
    "p99 <= 500ms",
    "p99.9 <= 1s",
    "mean <= 100ms",
    "error_ratio <= 1%",
    "check(fresh) >= 99%",
    *(f"p95{{scenario={name}}} <= 250ms" for name in SCENARIOS),
    "p99 <= 500ms for 10s",
)
USERS: Final = 3_200
WARM_UP_SHARE: Final = 12
"""The first of so many parts of the run is warm-up."""
VARIANTS: Final = 400
_SECOND_US: Final = 1_000_000
_ENCODER: Final = msgpack.Encoder()


@dataclass(frozen=True)
class Drawn:
    """The packed latencies of one endpoint in one second of one worker."""

    count: int
    packed: bytes
    over: list[int]
    first_byte: bytes | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=3_600)
    parser.add_argument("--rate", type=int, default=27_800)
    parser.add_argument("--workers", type=int, default=16)
    arguments = parser.parse_args()
    requests = make(arguments.folder, arguments.seconds, arguments.rate, arguments.workers)
    size = sum(path.stat().st_size for path in (arguments.folder / "journals").iterdir())
    print(f"{arguments.folder}: {requests:,} requests, {size / 1e6:,.0f} MB of journals")


def make(folder: Path, seconds: int, rate: int, workers: int) -> int:
    """Write the run folder; returns how many requests it tells of."""
    plan = plan_of(seconds, workers)
    limits = latency_limits_us([parse_rule(text) for text in RULES])
    (folder / "journals").mkdir(parents=True)
    (folder / "plan.yaml").write_text(dump_plan(plan), encoding="utf-8")
    random = Random(11)
    each = rate / workers / len(SCENARIOS) / ENDPOINTS_EACH
    endpoints = [
        [draw(random, each, 2_000 * 1.17**number, number, limits) for _ in range(VARIANTS)]
        for number in range(len(SCENARIOS) * ENDPOINTS_EACH)
    ]
    failed = [draw(random, 1, 900, 1, limits) for _ in range(VARIANTS)]
    lags = [pack(histogram_of(lags_of(random, round(rate / workers)))) for _ in range(VARIANTS)]
    names = [
        f"{region}-{number:02}" for region in REGIONS for number in range(1, workers // len(REGIONS) + 1)
    ]
    total = 0
    for name in names:
        path = folder / "journals" / f"{name}-0.journal"
        total += write_journal(path, name, plan, limits, Random(name), (endpoints, failed, lags))
    manifest = {
        "run": RUN,
        "workers": [{"worker": name, "region": name[:-3]} for name in names],
        "epochs": [
            {"worker": name, "region": name[:-3], "epoch": 0, "joined_us": 0, "how": "fin"} for name in names
        ],
        "closed": True,
        "run_length_us": seconds * _SECOND_US,
        "limits_us": list(limits),
        "plan_sha256": hashlib.sha256((folder / "plan.yaml").read_bytes()).hexdigest(),
        "locust_counted": total,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        for second in range(seconds):
            sample = {"at_us": second * _SECOND_US, "name": "target.cpu", "value": 0.25}
            file.write(f"{json.dumps(sample)}\n")
    (folder / "events.jsonl").touch()
    return total


def plan_of(seconds: int, workers: int) -> Plan:
    warm_up_us = seconds * _SECOND_US // WARM_UP_SHARE

    def phase(name: str, length_us: int, *, warmup: bool) -> Phase:
        return Phase(name=name, duration_us=length_us, users_from=USERS, users_to=USERS, warmup=warmup)

    return Plan(
        name="made-up",
        title="A made-up run",
        suite="governance",
        locustfile=None,
        target="embedded",
        load=(
            phase("ramp", warm_up_us, warmup=True),
            phase("steady", seconds * _SECOND_US - warm_up_us, warmup=False),
        ),
        scenarios=dict.fromkeys(SCENARIOS, 1.0),
        regions=tuple(Region(name=name, workers=workers // len(REGIONS)) for name in REGIONS),
        rules=tuple(RuleText(text=text) for text in RULES),
    )


def draw(random: Random, mean: float, median_us: float, number: int, limits: tuple[int, ...]) -> Drawn:
    count = max(1, round(random.gauss(mean, mean**0.5)))
    latencies = [int(median_us * random.lognormvariate(0, 0.6)) + 50 for _ in range(count)]
    first_byte = [us * 2 // 3 for us in latencies] if number % 4 == 0 else None
    return Drawn(
        count,
        pack(histogram_of(latencies)),
        [sum(us > limit for us in latencies) for limit in limits],
        None if first_byte is None else pack(histogram_of(first_byte)),
    )


def lags_of(random: Random, count: int) -> list[int]:
    return [int(random.lognormvariate(4, 0.7)) for _ in range(count)]


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def write_journal(
    path: Path,
    worker: str,
    plan: Plan,
    limits: tuple[int, ...],
    random: Random,
    drawn: tuple[list[list[Drawn]], list[Drawn], list[bytes]],
) -> int:
    """One worker's journal; returns its requests."""
    endpoints, failures, lags = drawn
    warm_up_s = plan.load[0].duration_us // _SECOND_US
    texts = [*SCENARIOS, "ramp", "steady", "GET", "fresh", "HTTP 503"]
    texts += [
        f"/{scenario.lower()}/{number}/:id" for scenario in SCENARIOS for number in range(ENDPOINTS_EACH)
    ]
    at = {text: place for place, text in enumerate(texts)}
    shares = len(SCENARIOS) * sum(region.workers for region in plan.regions)
    with path.open("wb") as file:
        digest = hashlib.sha256()

        def write(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        write(MAGIC)
        write(frame(encode(Header(FORMAT_VERSION, RUN, worker, worker[:-3], 0, limits))))
        intervals = ok = failed = 0
        for second in range(plan.duration_us // _SECOND_US):
            phase = at["ramp" if second < warm_up_s else "steady"]
            series, checks, exchanges, errors = [], [], [], []
            in_second = failed_in_second = 0
            for number, variants in enumerate(endpoints):
                scenario, name = number // ENDPOINTS_EACH, at["HTTP 503"] + 1 + number
                key = (scenario, at["GET"], name)
                one = random.choice(variants)
                series.append(_series(key, Outcome.OK, phase, one))
                in_second += one.count
                answered = one.count
                if number % 3 == 0 and random.random() < 0.006 * one.count / 3:
                    other = random.choice(failures)
                    series.append(_series(key, Outcome.FAILED, phase, other))
                    failed_in_second += other.count
                    answered += other.count
                    errors.append((scenario, at["GET"], name, at["HTTP 503"], other.count))
                exchanges.append((at["GET"], name, answered, 0, 0))
                if number % ENDPOINTS_EACH == 0:
                    checks.append((scenario, at["fresh"], phase, one.count, 0, 0))
            start_us = second * _SECOND_US
            wire = WireInterval(
                second=second,
                start_us=start_us,
                length_us=_SECOND_US,
                users=[(scenario, USERS // shares) for scenario in range(len(SCENARIOS))],
                user_us=[(scenario, USERS * _SECOND_US // shares) for scenario in range(len(SCENARIOS))],
                started=in_second + failed_in_second,
                in_flight=0,
                oldest_us=None,
                first_done_us=start_us + 900,
                last_done_us=start_us + 999_000,
                series=series,
                exchanges=exchanges,
                checks=checks,
                metrics=[],
                errors=errors,
                task_errors=[],
                undeclared=[],
                untracked=0,
                evidence=[],
                pacer_lag=random.choice(lags),
                receive_lag=random.choice(lags),
                user_wait=b"",
                arrivals=[],
                durations=[],
                stamped=in_second + failed_in_second,
                unstamped=0,
                cpu_us=300_000,
                throttled_us=None,
                steal_us=0,
                texts=[text.encode() for text in texts],
            )
            write(frame(INTERVAL + _ENCODER.encode(wire)))
            intervals += 1
            ok += in_second
            failed += failed_in_second
        file.write(frame(encode(Fin(intervals, ok + failed, ok, failed, 0, digest.digest()))))
    return ok + failed


def _series(key: tuple[int, int, int], outcome: Outcome, phase: int, one: Drawn) -> WireSeries:
    return WireSeries(
        *key,
        OUTCOMES.index(outcome),
        phase,
        one.packed,
        one.over,
        one.count * 900,
        one.count * 200,
        one.first_byte,
    )


if __name__ == "__main__":
    main()
