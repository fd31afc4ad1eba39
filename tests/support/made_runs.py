"""Run folders as the master leaves them, made of requests that an oracle knows."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from reporting import manifest, plan

from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import (
    CheckCounts,
    CheckKey,
    DurationKey,
    Endpoint,
    ErrorKey,
    Exchanges,
    Header,
    Interval,
    Outcome,
    Series,
    SeriesKey,
    Timed,
)
from loadproof.measure.journal import FORMAT_VERSION, JournalWriter
from loadproof.plan.model import Plan, RuleText
from loadproof.plan.profile import user_us_between, users_at
from loadproof.plan.writer import dump_plan
from loadproof.verdict.grammar import latency_limits_us, parse_rule


@dataclass(frozen=True)
class Request:
    """One request of a made-up run, as an oracle sees it."""

    second: int
    region: str
    scenario: str
    method: str
    name: str
    outcome: Outcome
    phase: str
    us: int

    @property
    def first_byte_us(self) -> int:
        """A GET's answer comes whole in one read."""
        return self.us * 2 // 3 if self.method == "POST" else self.us


RUN_RULES = (
    "p95 <= 250ms, goal < 200ms",
    "error_ratio <= 5%",
    "rate >= 50/s",
    "check(hash_consistency) >= 100%",
)
RUN_REGIONS = ("eu-west-1", "us-east-1")


def run_plan(rules: tuple[str, ...] = RUN_RULES) -> Plan:
    return plan().model_copy(update={"rules": tuple(RuleText(text=text) for text in rules)})


def make_requests(
    *, seed: int = 7, fail_from: int | None = None, slow_from: int | None = None
) -> list[Request]:
    """What users of two regions did over 40 s, with a heavy tail of latencies."""
    random = Random(seed)
    found = []
    for second in range(40):
        phase = "ramp" if second < 10 else "steady"
        for region in RUN_REGIONS:
            for _ in range(min(50, 5 * second + 5)):
                scenario, method, name = random.choice(
                    (
                        ("PolicyGovernanceUser", "POST", "/policies/:id"),
                        ("IntegrityUser", "GET", "/audit/chain"),
                    )
                )
                us = int(random.lognormvariate(9.4, 0.7))
                broken = fail_from is not None and second >= fail_from and random.random() < 0.4
                late = slow_from is not None and second >= slow_from
                outcome = Outcome.FAILED if broken else Outcome.OK
                found.append(
                    Request(second, region, scenario, method, name, outcome, phase, us * (40 if late else 1))
                )
    return found


def make_interval(second: int, requests: list[Request], share: float, limits_us: tuple[int, ...]) -> Interval:
    """One worker's second with its requests and its share of the planned users."""
    interval = Interval(second=second, start_us=second * 1_000_000, length_us=1_000_000)
    load, weights = plan().load, plan().scenarios
    active_us = user_us_between(load, interval.start_us, interval.start_us + 1_000_000)
    users = users_at(load, interval.start_us + 999_999)
    for scenario, weight in weights.items():
        part = share * weight / sum(weights.values())
        interval.user_us[scenario] = int(active_us * part)
        interval.users[scenario] = round(users * part)
    interval.started = len(requests)
    interval.cpu_us, interval.throttled_us, interval.steal_us = 300_000, None, 0
    # One answer of each second came without the kernel's stamp.
    interval.unstamped = min(1, len(requests))
    interval.stamped = len(requests) - interval.unstamped
    for number in range(20):
        interval.pacer_lag.record(100 + number)
        interval.receive_lag.record(50 + number)
    if requests:
        interval.first_done_us, interval.last_done_us = interval.start_us + 1, interval.start_us + 999_999
        first = requests[0]
        connect = DurationKey(first.scenario, Timed.CONNECT, "127.0.0.1:8080", first.phase)
        interval.durations[connect] = Histogram()
        interval.durations[connect].record(300 + second)
        interval.exchanges[Endpoint(first.method, first.name)] = Exchanges(unconnected=1)
    for request in requests:
        key = SeriesKey(request.scenario, request.method, request.name, request.outcome, request.phase)
        series = interval.series.setdefault(key, Series(Histogram(), [0] * len(limits_us)))
        series.histogram.record(request.us)
        series.over = [
            over + (request.us > limit) for over, limit in zip(series.over, limits_us, strict=True)
        ]
        if request.method == "POST":
            series.first_byte = series.first_byte or Histogram()
            series.first_byte.record(request.first_byte_us)
        series.bytes_received += 512
        series.bytes_sent += 96
        endpoint = Endpoint(request.method, request.name)
        interval.exchanges.setdefault(endpoint, Exchanges()).answered += 1
        check = interval.checks.setdefault(
            CheckKey(request.scenario, "hash_consistency", request.phase), CheckCounts()
        )
        if request.outcome is Outcome.OK:
            check.passed += 1
        else:
            check.skipped += 1
            error = ErrorKey(request.scenario, request.method, request.name, "503 Service Unavailable")
            interval.errors[error] = interval.errors.get(error, 0) + 1
    return interval


def make_run(folder: Path, requests: list[Request], *, rules: tuple[str, ...] = RUN_RULES) -> Path:
    """A run folder as the master leaves it after a clean end of `requests`."""
    run = run_plan(rules)
    limits = latency_limits_us([parse_rule(text) for text in rules])
    (folder / "journals").mkdir(parents=True)
    (folder / "plan.yaml").write_text(dump_plan(run), encoding="utf-8")
    for region in RUN_REGIONS:
        worker = f"{region}-01"
        own = [request for request in requests if request.region == region]
        writer = JournalWriter(
            folder / "journals" / f"{worker}-1.journal",
            Header(FORMAT_VERSION, "made-up", worker, region, 1, limits),
        )
        for second in range(41):
            writer.append(make_interval(second, [one for one in own if one.second == second], 0.5, limits))
        ok = sum(one.outcome is Outcome.OK for one in own)
        writer.finish(started=len(own), ok=ok, failed=len(own) - ok, unfinished=0)
        writer.close()
    counted: dict[str, int] = {}
    for one in requests:
        endpoint = f"{one.method} {one.name}"
        counted[endpoint] = counted.get(endpoint, 0) + 1
    made = manifest(len(requests)) | {
        "run": "made-up",
        "run_length_us": 41_000_000,
        "limits_us": list(limits),
        "plan_sha256": hashlib.sha256((folder / "plan.yaml").read_bytes()).hexdigest(),
        "target_counts": counted,
        "locust_counted": len(requests),
    }
    for key in ("verdict", "requests", "target_counted"):
        del made[key]
    (folder / "manifest.json").write_text(json.dumps(made), encoding="utf-8")
    events = [(0, "phase", None, "phase ramp begins"), (10_000_000, "phase", None, "phase steady begins")]
    with (folder / "events.jsonl").open("w", encoding="utf-8") as file:
        for at_us, kind, who, text in events:
            line = {"at_us": at_us, "utc": "2024-01-02T03:04:05.000Z", "kind": kind, "who": who, "text": text}
            file.write(json.dumps(line) + "\n")
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        for second in range(41):
            file.write(json.dumps({"at_us": second * 1_000_000, "name": "target.cpu", "value": 0.25}) + "\n")
    return folder
