"""Reports built by hand, one for every verdict and one full of hostile names."""

import math
from dataclasses import replace

from analyzer.faults import FaultTold
from analyzer.heat import bucket_of
from analyzer.hints import hints
from analyzer.model import (
    ArrivalTotals,
    CheckSample,
    CheckTotals,
    DurationTotals,
    EpochRow,
    ErrorTotals,
    Event,
    Generator,
    Group,
    Latency,
    LatencyMap,
    MetricTotals,
    Report,
    ResourceLine,
    ResourceTotals,
    Second,
    SeriesRow,
    Totals,
    WorkerRow,
)
from analyzer.rows import MetricRow, MetricRows
from loadproof.measure.interval import Outcome, Timed
from loadproof.plan.model import Phase, Plan, Region, RuleText
from loadproof.verdict.accounting import Books, EndpointBook, Gap
from loadproof.verdict.compared import Compared, ComparedEndpoint, Comparison, Word
from loadproof.verdict.drift import Drift, DriftWord
from loadproof.verdict.facts import GuardTrip, Stop
from loadproof.verdict.growth import Growth
from loadproof.verdict.result import Reason, RuleResult, RuleVerdict, Verdict
from loadproof.verdict.rule import Unit

HOSTILE = (
    "<script>alert(1)</script>",
    '=cmd|"/C calc"!A0',
    "+1-2@SUM(1)",
    "@here ping",
    "-2+3",
    "a|b|c `tick` **bold** [link](https://example.test)",
    "line one\nline two\r\n# heading",
    "right\u202eto-left\u2066mark",
    "bell\x07 null\x00 esc\x1b[31mred",
    "quote \" ' & amp; ]]> {{ 7*7 }}",
    "non\ufffecharacter",
    "x" * 300,
    "::error::planted %0A &lt;",
    "\u05e9\u05dc\u05d5\u05dd/\u0645\u0631\u062d\u0628\u0627",
)
"""What a target or a user class may call things."""


def latency(p50_us: int) -> Latency:
    return Latency(
        mean_us=p50_us * 1.25,
        p50_us=p50_us,
        p90_us=p50_us * 2,
        p95_us=p50_us * 3,
        p99_us=p50_us * 5,
        p99_9_us=p50_us * 9,
        max_us=p50_us * 14,
    )


def totals(ok: int, failures: int = 0, *, p50_us: int = 12_000, seconds: int = 30) -> Totals:
    return Totals(
        requests=ok + failures,
        ok=ok,
        failures=failures,
        timeouts=failures // 4,
        unfinished=0,
        rate_per_s=ok / seconds,
        peak_rate_per_s=ok / seconds * 1.07,
        error_ratio=failures / (ok + failures) if ok + failures else None,
        latency=latency(p50_us) if ok else None,
        bytes_received=ok * 512,
        bytes_sent=ok * 96,
        first_byte=latency(p50_us * 3 // 4) if ok else None,
    )


def timeline(
    ramp: int = 10, steady: int = 30, *, users: int = 100, fail_from: int | None = None
) -> tuple[Second, ...]:
    """A ramp to `users`, then gentle waves; from second `fail_from` on a part fails and all is slow."""
    rows = []
    for second in range(ramp + steady):
        active = min(users, users * (second + 1) / ramp)
        wave = 1 + 0.06 * math.sin(second / 3) + 0.03 * math.sin(second / 1.3)
        broken = fail_from is not None and second >= fail_from
        done = round(active * 4 * wave)
        failed = done // 5 if broken else 0
        p50 = round(12_000 * wave * (8 if broken else 1))
        rows.append(
            Second(
                second=second,
                phase="ramp" if second < ramp else "steady",
                users_planned=min(users, users * (second + 0.5) / ramp),
                users=active,
                in_flight=round(active * 0.2),
                covered_us=1_000_000,
                ok=done - failed,
                failed=failed,
                unfinished=0,
                p50_us=p50,
                p95_us=round(p50 * (3 + wave)),
                p99_us=round(p50 * (5 + 2 * wave)),
                pacer_lag_p99_us=round(430 * wave),
                receive_lag_p99_us=round(170 * wave * (4 if broken else 1)),
            )
        )
    return tuple(rows)


def latency_map(seconds: tuple[Second, ...]) -> LatencyMap:
    """Two modes a second, the slow one four times as slow and a fifth of the requests."""
    columns = []
    for second in seconds:
        if second.p50_us is not None and second.ok:
            fast, slow = bucket_of(second.p50_us), bucket_of(second.p50_us * 4)
            columns.append((second.second, ((fast, second.ok - second.ok // 5), (slow, second.ok // 5))))
    return LatencyMap(1, tuple(columns))


def resource_lines(seconds: int = 40) -> tuple[ResourceLine, ...]:
    """Half of the target's processors, a third of the generator's."""
    return (
        ResourceLine("generator.cpu", tuple((second, 0.33) for second in range(seconds))),
        ResourceLine("target.cpu", tuple((second, 0.5) for second in range(seconds))),
        ResourceLine("target.rss", tuple((second, 64e6) for second in range(seconds))),
    )


def grown(texts: tuple[str, ...]) -> tuple[Drift, ...]:
    """A leak of each name, then what is steady, what shrinks and what has too few samples."""
    leak = Growth(212e6, 205e6, 220e6, 42e6, 1.47e6, (2_000_000,), 25_000_000)
    slow = Growth(73_700.0, 71_200.0, 76_300.0, 42e6, 1.47e6, (2_000_000,), 25_000_000)
    still = Growth(0.0, -144.0, 144.0, 60.0, 0.0, (0,), 25_000_000)
    sure = "the 95 % interval lies on one side of 0"
    return (
        *(
            Drift(text, Unit.BYTES, 25, leak, slow, DriftWord.GROWS, sure, f"the guard {text}", 4_000_000_000)
            for text in texts
        ),
        Drift("target.open_files", Unit.NUMBER, 25, still, still, DriftWord.STEADY, "not by one"),
        Drift("p95", Unit.DURATION, 25, still, still, DriftWord.SHRINKS, sure),
        Drift(
            "target.state", Unit.BYTES, 7, None, None, DriftWord.UNCLEAR, "7 of 20 samples at a constant load"
        ),
    )


def compared(texts: tuple[str, ...]) -> Comparison:
    """Of three baselines, with an endpoint a text: a slower one, and one of which nothing can be told."""
    slower = Compared(
        "p95",
        "us",
        46_000.0,
        36_000.0,
        0.2778,
        (0.21, 0.35),
        0.1,
        0.0004,
        Word.WORSE,
        "beyond noise and chance",
    )
    unknown = Compared(
        "error_ratio", "ratio", None, 0.0, None, None, 0.005, None, Word.CANNOT_TELL, "no request in this run"
    )
    return Comparison(
        texts[:3],
        Word.WORSE,
        f"worse: p95 of {texts[0]}",
        (slower,),
        tuple(ComparedEndpoint(text, 100, Word.WORSE, (slower, unknown)) for text in texts),
        texts[:1],
        texts[-1:],
        tests=12,
    )


def plan(*, ramp_s: int = 10, steady_s: int = 30, users: int = 100) -> Plan:
    return Plan(
        name="enterprise",
        title="Enterprise load test",
        suite="governance",
        locustfile=None,
        target="http://127.0.0.1:8080",
        load=(
            Phase(name="ramp", duration_us=ramp_s * 1_000_000, users_from=0, users_to=users, warmup=True),
            Phase(name="steady", duration_us=steady_s * 1_000_000, users_from=users, users_to=users),
        ),
        scenarios={"PolicyGovernanceUser": 60.0, "IntegrityUser": 40.0},
        regions=(Region(name="us-east-1", workers=1, max_users=1000), Region(name="eu-west-1")),
        rules=(
            RuleText(text="p95 <= 250ms, goal < 60ms"),
            RuleText(text="error_ratio <= 1%"),
            RuleText(text="rate >= 300/s"),
            RuleText(text="check(hash_consistency) >= 100%"),
        ),
        seed=7,
    )


def rules() -> tuple[RuleResult, ...]:
    return (
        RuleResult(
            rule="p95 <= 250ms, goal < 60ms",
            statistic="p95",
            selector={},
            unit="us",
            value=36_000.0,
            operator="<=",
            limit=250_000.0,
            goal="< 60ms",
            margin=0.856,
            samples=11_980,
            confidence=(35_200.0, 37_100.0),
            verdict=RuleVerdict.PASS,
            reason="36 ms is within 250 ms, and within the goal",
        ),
        RuleResult(
            rule="error_ratio <= 1%",
            statistic="error_ratio",
            selector={},
            unit="ratio",
            value=0.0,
            operator="<=",
            limit=0.01,
            goal=None,
            margin=1.0,
            samples=11_980,
            confidence=(0.0, 0.00031),
            verdict=RuleVerdict.PASS,
            reason="no request failed",
        ),
        RuleResult(
            rule="rate >= 300/s",
            statistic="rate",
            selector={},
            unit="per_s",
            value=399.3333333,
            operator=">=",
            limit=300.0,
            goal=None,
            margin=0.331111,
            samples=30,
            confidence=(392.1, 406.6),
            verdict=RuleVerdict.PASS,
            reason="399.33/s is at least 300/s",
        ),
        RuleResult(
            rule="check(hash_consistency) >= 100%",
            statistic="check(hash_consistency)",
            selector={},
            unit="ratio",
            value=1.0,
            operator=">=",
            limit=1.0,
            goal=None,
            margin=0.0,
            samples=11_980,
            confidence=(0.99969, 1.0),
            verdict=RuleVerdict.PASS,
            reason="a census: no violation in 11,980",
        ),
        RuleResult(
            rule="p99{phase=steady, scenario=IntegrityUser} <= 500ms for 10s",
            statistic="p99",
            selector={"phase": "steady", "scenario": "IntegrityUser"},
            unit="us",
            value=71_000.0,
            operator="<=",
            limit=500_000.0,
            goal=None,
            margin=0.858,
            samples=4_790,
            confidence=None,
            verdict=RuleVerdict.PASS,
            reason="the worst 10 s had 71 ms",
        ),
        RuleResult(
            rule="resource(target.cpu) in 50%..80%",
            statistic="resource(target.cpu)",
            selector={},
            unit="ratio",
            value=None,
            operator="in",
            limit=(0.5, 0.8),
            goal=None,
            margin=None,
            samples=None,
            confidence=None,
            verdict=RuleVerdict.NO_DATA,
            reason="no samples of target.cpu were written",
            optional=True,
        ),
        RuleResult(
            rule="stall <= 500ms",
            statistic="stall",
            selector={},
            unit="us",
            value=210_000.0,
            operator="<=",
            limit=500_000.0,
            goal=None,
            margin=0.58,
            samples=None,
            confidence=None,
            verdict=RuleVerdict.PASS,
            reason="the longest stall was 210 ms",
            implied=True,
        ),
    )


def passing(*, ramp_s: int = 10, steady_s: int = 30) -> Report:
    """A clean run of two workers."""
    seconds = timeline(ramp_s, steady_s)
    judged = sum(second.ok for second in seconds if second.phase == "steady")
    warmed = sum(second.ok for second in seconds if second.phase == "ramp")
    started = judged + warmed
    names = ("POST /policies/:id", "GET /audit/chain")
    return Report(
        run="enterprise-20240102T030405Z",
        name="enterprise",
        title="Enterprise load test",
        verdict=Verdict.PASS,
        reasons=(),
        rules=rules(),
        advice=(),
        judged_phases=("steady",),
        totals=totals(judged, seconds=steady_s),
        by_scenario=(
            Group("IntegrityUser", totals(judged * 2 // 5, seconds=steady_s, p50_us=9_000)),
            Group("PolicyGovernanceUser", totals(judged - judged * 2 // 5, seconds=steady_s, p50_us=15_000)),
        ),
        by_region=(
            Group("eu-west-1", totals(judged // 2, seconds=steady_s)),
            Group("us-east-1", totals(judged - judged // 2, seconds=steady_s)),
        ),
        by_name=(
            Group(names[1], totals(judged * 2 // 5, seconds=steady_s, p50_us=9_000)),
            Group(names[0], totals(judged - judged * 2 // 5, seconds=steady_s, p50_us=15_000)),
        ),
        by_phase=(
            Group("ramp", totals(warmed, seconds=ramp_s), warmup=True),
            Group("steady", totals(judged, seconds=steady_s)),
        ),
        series=(
            SeriesRow(
                "eu-west-1",
                "IntegrityUser",
                "GET",
                "/audit/chain",
                Outcome.OK,
                "steady",
                4_790,
                latency(9_000),
                2_452_480,
                459_840,
                latency(6_750),
            ),
            SeriesRow(
                "us-east-1",
                "PolicyGovernanceUser",
                "POST",
                "/policies/:id",
                Outcome.OK,
                "steady",
                7_190,
                latency(15_000),
                3_681_280,
                690_240,
                latency(11_250),
            ),
        ),
        timeline=seconds,
        metric_rows=MetricRows.of(
            MetricRow(
                second.second,
                "us-east-1",
                "PolicyGovernanceUser",
                "POST",
                "/policies/:id",
                "ok",
                second.phase or "",
                second.ok,
                15_250.5,
                12_000,
                36_000,
                60_000,
                168_000,
                second.ok * 512,
            )
            for second in seconds[:6]
        ),
        checks=(CheckTotals("hash_consistency", started, 0, 0, ()),),
        metrics=(MetricTotals("proof_steps", 812, 41.25, 3.0, 97.0),),
        errors=(),
        books=books(started),
        target_counted_note=None,
        stop=None,
        workers=(
            WorkerRow(
                "eu-west-1-01", "eu-west-1", True, started // 2, 50, 0.41, 0.33, 420, 180, 1_000_900, 0, 0
            ),
            WorkerRow(
                "us-east-1-01",
                "us-east-1",
                True,
                started - started // 2,
                50,
                0.44,
                0.35,
                510,
                190,
                1_001_200,
                0,
                0,
            ),
        ),
        epochs=(
            EpochRow(
                "eu-west-1-01",
                "eu-west-1",
                1,
                0,
                40_200_000,
                "fin",
                None,
                ramp_s + steady_s,
                True,
                None,
            ),
            EpochRow(
                "us-east-1-01",
                "us-east-1",
                1,
                0,
                40_200_000,
                "fin",
                None,
                ramp_s + steady_s,
                True,
                None,
            ),
        ),
        generator=Generator(0.44, 510, 190, 300, None, started - 17, 17, 25_000.0),
        drift=grown(("target.rss",)),
        resources=(
            ResourceTotals("generator.cpu", 40, 0.2, 0.38, 0.44),
            ResourceTotals("target.rss", 40, 61_000_000.0, 64_500_000.0, 70_000_000.0),
        ),
        events=(
            Event(
                0,
                "2024-01-02T03:04:05Z",
                "worker_joined",
                "us-east-1-01",
                "us-east-1-01 joined from us-east-1",
            ),
            Event(0, "2024-01-02T03:04:05Z", "phase", None, "ramp: 0 to 100 users in 10 s (warm-up)"),
            Event(10_000_000, "2024-01-02T03:04:15Z", "phase", None, "steady: 100 users for 30 s"),
            Event(
                40_000_000,
                "2024-01-02T03:04:45Z",
                "drain",
                None,
                "the plan's end: users stop, requests drain",
            ),
        ),
        notes=(),
        plan=plan(ramp_s=ramp_s, steady_s=steady_s),
        manifest=manifest(started),
        durations=(
            DurationTotals(Timed.RESOLVE, "api.example.test:443", 2, latency(400)),
            DurationTotals(Timed.CONNECT, "api.example.test:443", 100, latency(310)),
            DurationTotals(Timed.ROUND_TRIP, "/audit/stream", 4_211, latency(2_600)),
        ),
    )


def books(started: int, failed: int = 0) -> Books:
    halves = (started // 2, started - started // 2)
    return Books(
        started=started,
        ok=started - failed,
        failed=failed,
        unfinished=0,
        untracked=0,
        answered=started,
        unanswered=0,
        target_counted=started,
        by_endpoint=True,
        endpoints=(
            EndpointBook("GET /audit/chain", halves[0], 0, halves[0]),
            EndpointBook("POST /policies/:id", halves[1], 0, halves[1]),
        ),
        locust_counted=started,
        intervals_expected=80,
        intervals_present=80,
        workers_planned=2,
        workers_seen=2,
        workers_lost=0,
        gaps=(),
        differences=(),
    )


def manifest(requests: int) -> dict[str, object]:
    return {
        "schema_version": 1,
        "run": "enterprise-20240102T030405Z",
        "name": "enterprise",
        "title": "Enterprise load test",
        "started_utc": "2024-01-02T03:04:05Z",
        "ended_utc": "2024-01-02T03:04:46Z",
        "run_length_us": 40_200_000,
        "versions": {"loadproof": "0.1.0", "locust": "2.47.0", "python": "3.11.7"},
        "machine": {"system": "Linux 6.1", "processors": 2, "memory_bytes": 24_000_000_000},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "target": "http://127.0.0.1:8080",
        "embedded": True,
        "seed": 7,
        "smoke": False,
        "limits_us": [60_000, 250_000, 500_000],
        "plan_sha256": "a" * 64,
        "suite_sha256": "b" * 64,
        "command": ["loadproof", "run", "enterprise", "--users", "100"],
        "workers": [
            {"worker": "eu-west-1-01", "region": "eu-west-1"},
            {"worker": "us-east-1-01", "region": "us-east-1"},
        ],
        "epochs": [
            {
                "worker": "eu-west-1-01",
                "region": "eu-west-1",
                "epoch": 1,
                "joined_us": 0,
                "left_us": 40_200_000,
                "how": "fin",
                "why": None,
            },
            {
                "worker": "us-east-1-01",
                "region": "us-east-1",
                "epoch": 1,
                "joined_us": 0,
                "left_us": 40_200_000,
                "how": "fin",
                "why": None,
            },
        ],
        "stop": None,
        "target_counts": {"POST /policies/:id": requests},
        "target_counts_note": None,
        "locust_counted": requests,
        "closed": True,
        "verdict": "PASS",
        "requests": requests,
        "target_counted": requests,
    }


def warning() -> Report:
    """A run that keeps every limit and misses a goal."""
    base = passing()
    slow = replace(
        base.rules[0],
        value=71_500.0,
        margin=0.714,
        confidence=(66_000.0, 80_000.0),
        verdict=RuleVerdict.WARN,
        reason="71.5 ms is within 250 ms, but misses the goal < 60ms",
    )
    return replace(
        base,
        verdict=Verdict.WARN,
        reasons=(Reason(Verdict.WARN, "rule", f"{slow.rule}: {slow.reason}"),),
        rules=(slow, *base.rules[1:]),
        advice=("Read the rule's interval and its samples: the limit holds, the goal does not.",),
        manifest={**base.manifest, "verdict": "WARN"},
    )


def faults_told() -> tuple[FaultTold, ...]:
    """One fault that the target got over, and one that it did not."""
    healed = FaultTold(
        name="database-down",
        kind="switch",
        begin_us=25_000_000,
        end_us=30_000_000,
        ok=300,
        requests=400,
        by_scenario=(("IntegrityUser", 100, 100), ("PolicyGovernanceUser", 200, 300)),
        detection_us=1_000_000,
        recovered=True,
        recovery_us=3_000_000,
        watched_us=4_000_000,
        overshoot=0.75,
        residue=0.0125,
        budget_burnt=0.31,
        least=0.8,
        points=tuple((second, 1.0 if second < 25 or second > 32 else 0.25) for second in range(10, 34)),
    )
    ill = FaultTold(
        name="network",
        kind="network",
        begin_us=34_000_000,
        end_us=35_000_000,
        ok=0,
        requests=80,
        by_scenario=(("IntegrityUser", 0, 80),),
        detection_us=None,
        recovered=False,
        recovery_us=None,
        watched_us=5_000_000,
        overshoot=None,
        residue=1.0,
        budget_burnt=1.5,
        least=0.8,
        points=tuple((second, 1.0 if second < 34 else 0.0) for second in range(19, 40)),
    )
    return healed, ill


def fault_events() -> tuple[Event, ...]:
    """That tell of the same faults."""
    return tuple(
        Event(at_us, "2024-01-02T03:04:30Z", kind, told.name, "")
        for told in faults_told()
        for kind, at_us in (("fault_begins", told.begin_us), ("fault_ends", told.end_us))
    )


def failing() -> Report:
    """A run whose target breaks at second 25."""
    base = passing()
    seconds = timeline(fail_from=25)
    ok = sum(second.ok for second in seconds if second.phase == "steady")
    failed = sum(second.failed for second in seconds)
    warmed = sum(second.ok for second in seconds if second.phase == "ramp")
    broken = totals(ok, failed)
    p95 = replace(
        base.rules[0],
        value=math.inf,
        margin=None,
        confidence=(391_000.0, math.inf),
        verdict=RuleVerdict.FAIL,
        reason="more than 5 % of the requests had no answer in time",
    )
    errors = replace(
        base.rules[1],
        value=broken.error_ratio,
        margin=-9.0,
        confidence=(0.08, 0.12),
        verdict=RuleVerdict.FAIL,
        reason=f"{failed} of {broken.requests} requests failed",
    )
    check = replace(
        base.rules[3],
        value=0.999916,
        samples=11_980,
        margin=-0.000084,
        verdict=RuleVerdict.FAIL,
        reason="1 of 11,980 failed",
    )
    report = replace(
        base,
        verdict=Verdict.FAIL,
        reasons=tuple(
            Reason(Verdict.FAIL, "rule", f"{rule.rule}: {rule.reason}") for rule in (p95, errors, check)
        ),
        rules=(p95, errors, base.rules[2], check, *base.rules[4:]),
        advice=("Look at the errors by endpoint below; the first comes at 0:25.",),
        totals=broken,
        by_phase=(base.by_phase[0], Group("steady", broken)),
        timeline=seconds,
        checks=(
            CheckTotals(
                "hash_consistency",
                11_979,
                1,
                failed,
                (CheckSample("eu-west-1-01", "IntegrityUser", 25_310_000, "expected a1b2, got ffff"),),
            ),
        ),
        errors=(
            ErrorTotals("PolicyGovernanceUser", "POST", "/policies/:id", "HTTP 503", failed - 3),
            ErrorTotals("", "", "", "KeyError: 'proof'", 3),
        ),
        books=replace(books(ok + failed + warmed, failed), unconnected=12),
        arrivals=ArrivalTotals(ok + failed + warmed, 80, 3),
        generator=replace(base.generator, user_wait_p99_us=48_000),
        events=(*base.events, *fault_events()),
        faults=faults_told(),
        manifest={
            **base.manifest,
            "verdict": "FAIL",
            "requests": ok + failed + warmed,
            "target_counted": ok + failed + warmed,
        },
    )
    return replace(report, hints=hints(report))


def invalid() -> Report:
    """A run that lost a worker, was stopped by hand and never closed its manifest."""
    base = passing()
    seconds = tuple(
        replace(second, users=None, in_flight=None, ok=0, p50_us=None, p95_us=None, p99_us=None)
        if 20 <= second.second < 24
        else second
        for second in base.timeline
    )
    nothing = replace(
        base.rules[0],
        value=None,
        margin=None,
        samples=12,
        confidence=None,
        verdict=RuleVerdict.NO_DATA,
        reason="12 of 72 samples",
    )
    return replace(
        base,
        verdict=Verdict.INVALID,
        reasons=(
            Reason(
                Verdict.INVALID,
                "torn_epoch",
                "eu-west-1-01 epoch 1 has no end: the journal is cut at byte 8,190",
            ),
            Reason(Verdict.INVALID, "no_data", f"{nothing.rule} has no data: {nothing.reason}"),
            Reason(
                Verdict.INVALID,
                "stopped",
                "the run was stopped by guard after 38 s of 40 s: memory above 2 GB",
            ),
            Reason(
                Verdict.WARN, "generator_busy", "us-east-1-01 used 93 % of a core over 10 s from second 12"
            ),
        ),
        rules=(nothing, *base.rules[1:]),
        advice=(
            "Start the run again: a part of its measurements is missing, so that no rule can be trusted.",
        ),
        timeline=seconds,
        books=replace(
            base.books,
            target_counted=None,
            locust_counted=None,
            endpoints=tuple(replace(book, counted=None) for book in base.books.endpoints),
            intervals_present=71,
            workers_lost=1,
            gaps=(Gap("eu-west-1-01", "eu-west-1", 1, 31_000_000, "cut at byte 8,190"),),
            differences=("eu-west-1-01 started 5,000 requests and tells the end of 4,998",),
        ),
        target_counted_note="the target does not count requests (GET /counts answered 404)",
        stop=Stop("guard", "memory above 2 GB", 38_000_000),
        guards=(GuardTrip("target.memory", "stop", 38_000_000, "memory above 2 GB"),),
        workers=(
            base.workers[0],
            replace(
                base.workers[1],
                requests=0,
                users_max=None,
                cpu_ratio_max=None,
                cpu_ratio_mean=None,
                pacer_lag_p99_us=None,
                receive_lag_p99_us=None,
                longest_interval_us=None,
                throttled_us=None,
                steal_us=None,
            ),
        ),
        epochs=(
            replace(
                base.epochs[0],
                left_us=None,
                how=None,
                intervals=31,
                complete=False,
                damage="cut at byte 8,190",
            ),
            replace(base.epochs[1], how="lost", why="the connection closed and no journal came back"),
        ),
        notes=("events.jsonl: line 5 is cut; events after it are missing from the report",),
        manifest={
            **base.manifest,
            "ended_utc": None,
            "run_length_us": None,
            "closed": False,
            "target_counts": None,
            "locust_counted": None,
            "target_counted": None,
            "git": None,
            "verdict": "INVALID",
        },
    )


def hostile() -> Report:
    """A run where every name and text is one of `HOSTILE`."""
    base = failing()
    name = iter([text for _ in range(20) for text in HOSTILE])

    def result(rule: RuleResult) -> RuleResult:
        text = next(name)
        return replace(
            rule,
            rule=f"check({text}) >= 95%",
            statistic=f"check({text})",
            selector={"name": text},
            reason=f"because of {text}",
            goal=text,
        )

    load = tuple(phase.model_copy(update={"name": next(name)}) for phase in base.plan.load)
    hostile_plan = base.plan.model_copy(
        update={
            "name": next(name),
            "title": next(name),
            "load": load,
            "rules": tuple(RuleText(text=next(name)) for _ in HOSTILE),
            "regions": tuple(Region(name=next(name)) for _ in range(2)),
            "scenarios": dict.fromkeys(HOSTILE, 1.0),
            "target": "http://127.0.0.1:8080/<b>",
        }
    )
    return replace(
        base,
        run="hostile-20240102T030405Z",
        name=next(name),
        title=HOSTILE[0],
        reasons=tuple(Reason(Verdict.FAIL, "rule", text) for text in HOSTILE),
        rules=tuple(result(rule) for rule in base.rules),
        advice=HOSTILE[:3],
        judged_phases=(load[1].name,),
        by_scenario=tuple(Group(text, totals(100)) for text in HOSTILE),
        by_region=tuple(Group(text, totals(100)) for text in HOSTILE[:3]),
        by_name=tuple(Group(f"GET {text}", totals(100)) for text in (*HOSTILE, "y" * 10_240)),
        by_phase=tuple(Group(phase.name, totals(100)) for phase in load),
        series=tuple(
            SeriesRow(text, text, text, text, Outcome.OK, text, 10, latency(9_000), 1, 2, latency(7_000))
            for text in HOSTILE
        ),
        metric_rows=MetricRows.of(
            MetricRow(second, text, text, text, text, "ok", text, 1, 1.5, 1, 2, 3, 4, 5)
            for second, text in enumerate(HOSTILE)
        ),
        checks=tuple(
            CheckTotals(text, 1, 1, 0, (CheckSample(text, text, 1_000_000, text),)) for text in HOSTILE
        ),
        metrics=tuple(MetricTotals(text, 1, 1.0, 1.0, 1.0) for text in HOSTILE),
        faults=tuple(
            replace(
                base.faults[0], name=text, kind=text, by_scenario=((text, 1, 2), (text, 0, 1)), nothing=text
            )
            for text in HOSTILE
        ),
        errors=tuple(ErrorTotals(text, text, text, text, 7) for text in HOSTILE),
        durations=tuple(DurationTotals(Timed.LIFETIME, text, 1, latency(9_000)) for text in HOSTILE),
        workers=tuple(replace(base.workers[0], worker=text, region=text) for text in HOSTILE[:4]),
        epochs=tuple(
            replace(base.epochs[0], worker=text, region=text, how="lost", why=text, damage=text)
            for text in HOSTILE[:4]
        ),
        resources=tuple(ResourceTotals(text, 1, 0.1, 0.1, 0.1) for text in HOSTILE),
        drift=grown(HOSTILE),
        events=tuple(Event(None, text[:40], text[:40], text, text) for text in HOSTILE),
        notes=HOSTILE,
        plan=hostile_plan,
        manifest={
            **base.manifest,
            "title": HOSTILE[0],
            "command": list(HOSTILE),
            "target": "http://127.0.0.1:8080/<b>",
        },
    )


def aborted() -> Report:
    """A run that its abort rule ended at 0:32, after the target broke at 0:25."""
    base = failing()
    rule = "error_ratio <= 10% for 5s"
    why = "error ratio was 20 % from second 27 to 31"
    fired = replace(base.rules[1], rule=rule, limit=0.1, value=0.2, reason=why, abort=True, confidence=None)
    seconds = tuple(row for row in base.timeline if row.second < 33)
    return replace(
        base,
        reasons=(
            Reason(Verdict.FAIL, "abort", f"the abort rule {rule} ended the run after 32 s: {why}"),
            Reason(Verdict.FAIL, "rule", f"{rule}: {why}"),
            Reason(Verdict.INVALID, "stopped", "the run was stopped after 32 s of 40 s"),
        ),
        rules=(base.rules[0], fired, *base.rules[2:]),
        advice=("Begin with the most frequent error: HTTP 503 at POST /policies/:id.",),
        timeline=seconds,
        stop=Stop("abort", why, 32_000_000, rule),
        events=(
            *base.events[:-1],
            Event(32_000_000, "2024-01-02T03:04:37Z", "abort", rule, why),
            Event(32_000_100, "2024-01-02T03:04:37Z", "drain", None, "users stop, requests drain"),
        ),
        manifest={**base.manifest, "run_length_us": 33_000_000},
    )


def empty() -> Report:
    """A run of which nothing is left: no journal, no event, a manifest of nothing but its name."""
    base = passing()
    nothing = Totals(0, 0, 0, 0, 0, None, None, None, None, 0, 0, None)
    rules_ = tuple(
        replace(
            rule,
            value=None,
            margin=None,
            samples=None,
            confidence=None,
            verdict=RuleVerdict.NO_DATA,
            reason="no request was measured",
        )
        for rule in base.rules[:4]
    )
    return replace(
        base,
        verdict=Verdict.INVALID,
        reasons=(Reason(Verdict.INVALID, "no_evidence", "no journal holds a second of this run"),),
        rules=rules_,
        advice=("Look at run.log: no worker got as far as its first second.",),
        totals=nothing,
        by_scenario=(),
        by_region=(),
        by_name=(),
        by_phase=(),
        series=(),
        timeline=(),
        metric_rows=MetricRows(),
        checks=(),
        metrics=(),
        books=Books(
            *(0, 0, 0, 0, 0, 0, 0, None, False, (), None, 80, 0, 2, 0, 2),
            gaps=(Gap("eu-west-1-01", "eu-west-1", 1, 0, "its journal is missing"),),
            differences=(),
        ),
        workers=(),
        epochs=(),
        generator=Generator(None, None, None, None, None, 0, 0, 25_000.0),
        resources=(),
        drift=(),
        events=(),
        durations=(),
        manifest={},
    )


def huge() -> Report:
    """A failing run of 1,000 endpoints, 200 rules, 120 workers and 2,000 events."""
    base = failing()
    names = tuple(f"GET /endpoints/{number:04}" for number in range(1_000))
    p95 = base.rules[0]
    return replace(
        base,
        rules=tuple(
            replace(p95, rule=f"p95{{name={name}}} <= 250ms", selector={"name": name}) for name in names[:200]
        ),
        by_name=tuple(
            Group(name, totals(100 + number, number % 3, p50_us=1_000 + 37 * number % 9_001))
            for number, name in enumerate(names)
        ),
        series=tuple(replace(base.series[0], name=name) for name in names),
        metric_rows=MetricRows.of(
            MetricRow(number // 25, "eu-west-1", "User", "GET", name, "ok", "steady", 4, 1.5, 1, 2, 3, 4, 5)
            for number, name in enumerate(names)
        ),
        errors=tuple(ErrorTotals("User", "GET", name, "HTTP 500", 3, 1, 2) for name in names),
        books=replace(base.books, endpoints=tuple(EndpointBook(name, 100, 0, 100) for name in names)),
        workers=tuple(replace(base.workers[0], worker=f"eu-west-1-{number:03}") for number in range(120)),
        epochs=tuple(replace(base.epochs[0], worker=f"eu-west-1-{number:03}") for number in range(120)),
        events=tuple(
            Event(20_000 * number, "2024-01-02T03:04:05Z", "worker_lost", f"eu-west-1-{number:04}", "gone")
            for number in range(2_000)
        ),
    )


REPORTS = {
    "pass": passing,
    "warn": warning,
    "fail": failing,
    "invalid": invalid,
    "aborted": aborted,
    "empty": empty,
    "huge": huge,
    "hostile": hostile,
}
