"""results.json: the report for machines.

Numbers are numbers, units stand in the names, what is not known is null. A rule's value, limit and confidence
are in its own `unit`: `ms`, `ratio`, `per_s`, `bytes` or `count`; a bound that is not finite is null. Reals
keep nine significant digits, so that the libraries of different machines print the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from analyzer.windows import fault_windows
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.faults import FaultTold
    from analyzer.model import CheckTotals, Group, Latency, Report, Share, Totals
    from loadproof.verdict.compared import Compared, Comparison
    from loadproof.verdict.drift import Drift
    from loadproof.verdict.growth import Growth
    from loadproof.verdict.result import RuleResult
    from loadproof.verdict.searched import Searched

SCHEMA_VERSION: Final = 1


def render(report: Report) -> bytes:
    # ASCII only: no control or direction mark of a hostile name reaches a terminal that shows the file.
    text = json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False)
    return f"{text}\n".encode("ascii")


def document(report: Report) -> dict[str, Any]:
    """The document as plain values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": report.run,
        "name": report.name,
        "title": report.title,
        "verdict": report.verdict.value,
        "reasons": [
            {"verdict": reason.verdict.value, "code": reason.code, "text": reason.text}
            for reason in report.reasons
        ],
        "advice": list(report.advice),
        "hints": list(report.hints),
        "rules": [rule_document(rule) for rule in report.rules],
        "judged_phases": list(report.judged_phases),
        "offered": {
            "by_scenario": _shares(report.offered.scenarios),
            "by_region": _shares(report.offered.regions),
            "by_phase": {
                phase.name: {
                    "planned_start_s": real(phase.planned_start_us / 1_000_000),
                    "start_s": None if phase.start_us is None else real(phase.start_us / 1_000_000),
                    "planned_user_s": real(phase.planned_user_us / 1_000_000),
                    "offered_user_s": real(phase.offered_user_us / 1_000_000),
                    "planned_starts": real(phase.planned_starts),
                    "taken_starts": phase.starts_taken,
                    "dropped_starts": phase.starts_dropped,
                }
                for phase in report.offered.phases
            },
        },
        "totals": _totals(report.totals),
        "by_scenario": _groups(report.by_scenario),
        "by_region": _groups(report.by_region),
        "by_name": _groups(report.by_name),
        "by_phase": _groups(report.by_phase),
        "checks": {check.name: _check(check) for check in report.checks},
        "metrics": {
            metric.name: {
                "count": metric.count,
                "mean": real(metric.mean),
                "min": real(metric.min),
                "max": real(metric.max),
            }
            for metric in report.metrics
        },
        "durations": [
            {
                "timed": row.timed.value,
                "name": row.name,
                "count": row.count,
                "duration_ms": latency_document(row.latency),
            }
            for row in report.durations
        ],
        "errors": [
            {
                "scenario": error.scenario,
                "method": error.method,
                "name": error.name,
                "message": error.message,
                "count": error.count,
                "first_s": error.first_s,
                "last_s": error.last_s,
            }
            for error in report.errors
        ],
        "accounting": _accounting(report),
        "generator": {
            "cpu_ratio_max": real(report.generator.cpu_ratio_max),
            "pacer_lag_ms_p99": milliseconds(report.generator.pacer_lag_p99_us),
            "receive_lag_ms_p99": milliseconds(report.generator.receive_lag_p99_us),
            "clock_offset_ms_max": milliseconds(report.generator.clock_offset_us_max),
            "user_wait_ms_p99": milliseconds(report.generator.user_wait_p99_us),
            "clock": {"kernel": report.generator.stamped, "own": report.generator.unstamped},
        },
        "stop": None
        if report.stop is None
        else {
            "by": report.stop.by,
            "why": report.stop.why,
            "at_ms": milliseconds(report.stop.at_us),
            "rule": report.stop.rule,
        },
        "absences": [
            {
                "worker": away.who,
                "from_ms": milliseconds(away.from_us),
                "until_ms": milliseconds(away.until_us),
                "why": away.why,
            }
            for away in report.absences
        ],
        "faults": [
            {
                "name": window.name,
                "from_s": real(window.from_s),
                "to_s": real(window.to_s),
                "requests": window.during.requests,
                "ok_ratio": real(window.during.success),
                **_recovery(window.told),
            }
            for window in fault_windows(report)
        ],
        "guards": [
            {
                "guard": trip.guard,
                "level": trip.level,
                "at_ms": milliseconds(trip.at_us),
                "why": trip.why,
            }
            for trip in report.guards
        ],
        "search": None if report.search is None else _search(report.search),
        "resources": {
            resource.name: {
                "samples": resource.samples,
                "min": real(resource.min),
                "mean": real(resource.mean),
                "max": real(resource.max),
            }
            for resource in report.resources
        },
        "drift": [_drift(row) for row in report.drift],
        "comparison": None if report.comparison is None else comparison(report.comparison),
        "notes": list(report.notes),
        # A rule's place in the file names the folder, which differs between machines.
        "plan": report.plan.model_dump(mode="json", exclude={"rules": {"__all__": {"position"}}}),
        "manifest": report.manifest,
    }


def real(value: float | None) -> float | int | None:
    """A finite number with nine significant digits; None for what is not known or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.9g}")


def milliseconds(microseconds: float | None) -> float | None:
    if microseconds is None or not math.isfinite(microseconds):
        return None
    return round(microseconds / 1_000, 3)


def rule_document(rule: RuleResult) -> dict[str, Any]:
    number = milliseconds if rule.unit == "us" else real
    bounds = rule.limit if isinstance(rule.limit, tuple) else None
    return {
        "rule": rule.rule,
        "statistic": rule.statistic,
        "selector": dict(sorted(rule.selector.items())),
        "unit": "ms" if rule.unit == "us" else rule.unit,
        "value": number(rule.value),
        "operator": rule.operator,
        "limit": [number(bound) for bound in bounds] if bounds else number(rule.limit),  # type: ignore[arg-type]
        "goal": rule.goal,
        "margin": real(rule.margin),
        "samples": rule.samples,
        "confidence": None if rule.confidence is None else [number(bound) for bound in rule.confidence],
        "verdict": rule.verdict.value,
        "reason": rule.reason,
        "optional": rule.optional,
        "implied": rule.implied,
        "abort": rule.abort,
        "per": rule.per,
    }


def _drift(row: Drift) -> dict[str, Any]:
    number = milliseconds if row.unit == "us" else real

    def rate(growth: Growth | None) -> dict[str, float | None] | None:
        if growth is None:
            return None
        return {"value": number(growth.value), "low": number(growth.low), "high": number(growth.high)}

    return {
        "name": row.name,
        "unit": "ms" if row.unit == "us" else row.unit.value,
        "samples": row.samples,
        "level": None if row.per_hour is None else number(row.per_hour.level),
        "warmup_s": None if row.per_hour is None else real(sum(row.per_hour.settled_us) / 1_000_000),
        "per_hour": rate(row.per_hour),
        "per_1000_requests": rate(row.per_requests),
        "word": row.word.value,
        "reason": row.reason,
        "reaches": row.reaches,
        "reached_in_s": None if row.in_us is None else real(row.in_us / 1_000_000),
    }


def comparison(found: Comparison) -> dict[str, Any]:
    """The section of that name, which `loadproof compare --json` prints alone."""
    return {
        "baselines": list(found.baselines),
        "word": found.word.value,
        "text": found.text,
        "tests": found.tests,
        "unlike": list(found.unlike),
        "notes": list(found.notes),
        "rules": [_compared(row) for row in found.rules],
        "endpoints": [
            {
                "name": endpoint.name,
                "requests": endpoint.requests,
                "word": endpoint.word.value,
                "rows": [_compared(row) for row in endpoint.rows],
            }
            for endpoint in found.endpoints
        ],
    }


def _search(found: Searched) -> dict[str, Any]:
    return {
        "capacity": real(found.capacity),
        "unit": "users" if found.unit is Unit.NUMBER else "per_s",
        "interval": [real(end) for end in found.interval],
        "at_least": found.at_least,
        "limited_by": found.limited_by,
        "shape": None if found.shape is None else found.shape.value,
        "sunk": real(found.found.sunk),
        "recovered": found.found.recovered,
        "recovery_s": real(found.recovery_s),
        "confirmed": found.found.confirmed,
        "unproven": list(found.unproven),
        "ending": found.found.ending.value,
        "ended_because": found.because,
        "text": found.text,
        "probes": [
            {
                "load": real(load),
                "from_s": real(probe.step.from_us / 1_000_000),
                "to_s": real(probe.step.to_us / 1_000_000),
                "ended": probe.word.value,
                "why": probe.why,
                "broken": list(probe.broken),
                "unproven": list(probe.unproven),
                "requests": probe.requests,
                "rate_per_s": real(probe.rate_per_s),
                "p95_ms": milliseconds(probe.p95_us),
                "error_ratio": real(probe.error_ratio),
            }
            for probe, load in zip(found.probes, found.loads, strict=True)
        ],
    }


def _compared(row: Compared) -> dict[str, Any]:
    number = milliseconds if row.unit == "us" else real
    return {
        "what": row.what,
        "unit": "ms" if row.unit == "us" else row.unit,
        "value": number(row.value),
        "baseline": number(row.baseline),
        "change": real(row.change),
        "interval": None if row.interval is None else [real(end) for end in row.interval],
        "noise": real(row.noise),
        "p": real(row.p),
        "word": row.word.value,
        "reason": row.reason,
    }


def _recovery(told: FaultTold | None) -> dict[str, Any]:
    detection_us = None if told is None else told.detection_us
    recovery_us = None if told is None else told.recovery_us
    return {
        "detection_s": None if detection_us is None else real(detection_us / 1_000_000),
        "functionality": real(told.ok / told.requests) if told and told.requests else None,
        "functionality_by_scenario": {
            scenario: real(ok / requests) for scenario, ok, requests in (told.by_scenario if told else ())
        },
        "recovery_s": None if recovery_us is None else real(recovery_us / 1_000_000),
        "recovered": told.recovered if told else None,
        "overshoot": real(told.overshoot) if told else None,
        "budget_burnt": real(told.budget_burnt) if told else None,
        "residue": real(told.residue) if told else None,
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "requests": totals.requests,
        "failures": totals.failures,
        "timeouts": totals.timeouts,
        "unfinished": totals.unfinished,
        "rate_per_s": real(totals.rate_per_s),
        "peak_rate_per_s": real(totals.peak_rate_per_s),
        "error_ratio": real(totals.error_ratio),
        "bytes_received": totals.bytes_received,
        "bytes_sent": totals.bytes_sent,
        "latency_ms": latency_document(totals.latency),
        "first_byte_ms": latency_document(totals.first_byte),
    }


def latency_document(latency: Latency | None) -> dict[str, float | None]:
    names = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")
    return {name: None if latency is None else milliseconds(getattr(latency, f"{name}_us")) for name in names}


def _shares(shares: tuple[Share, ...]) -> dict[str, Any]:
    return {
        share.name: {"planned_share": real(share.planned), "offered_share": real(share.offered)}
        for share in shares
    }


def _groups(groups: Iterable[Group]) -> dict[str, Any]:
    return {group.name: _totals(group.totals) for group in groups}


def _check(check: CheckTotals) -> dict[str, Any]:
    return {
        "passed": check.passed,
        "failed": check.failed,
        "skipped": check.skipped,
        "ratio": real(check.ratio),
        "evidence": [
            {
                "worker": sample.worker,
                "scenario": sample.scenario,
                "at_ms": milliseconds(sample.at_us),
                "detail": sample.detail,
            }
            for sample in check.samples
        ],
    }


def _accounting(report: Report) -> dict[str, Any]:
    books = report.books
    return {
        "started": books.started,
        "ok": books.ok,
        "failed": books.failed,
        "unfinished": books.unfinished,
        "dropped_arrivals": report.arrivals.dropped,
        "dropped_no_user": report.arrivals.no_user,
        "dropped_late": report.arrivals.late,
        "exchanges_answered": books.answered,
        "exchanges_unanswered": books.unanswered,
        "exchanges_unconnected": books.unconnected,
        "target_counted": books.target_counted,
        "target_counted_note": report.target_counted_note,
        "locust_counted": books.locust_counted,
        "intervals_expected": books.intervals_expected,
        "intervals_present": books.intervals_present,
        "workers_planned": books.workers_planned,
        "workers_seen": books.workers_seen,
        "workers_lost": books.workers_lost,
        "untracked": books.untracked,
        "differences": list(books.differences),
        "endpoints": {
            book.endpoint: {
                "answered": book.answered,
                "unanswered": book.unanswered,
                "target_counted": book.counted,
            }
            for book in books.endpoints
        },
    }
