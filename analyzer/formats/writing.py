"""The two reports of AI Writing Flow's heavy-load suite, with its five components.

A component is the run whose plan has its name, or else the phase of the run that has; `-` and `_` are alike.
It passed when nothing that judges it is broken or without data: the rules on its phase, those on a fault that
begins in it, and those on all phases.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer.escape import shown
from analyzer.results_json import milliseconds, real
from analyzer.run_clock import iso, run_began, run_length_us
from analyzer.windows import stretch
from loadproof.measure.interval import Outcome
from loadproof.units import format_count, format_ratio
from loadproof.verdict.result import RuleVerdict, Verdict
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.model import Report, Second
    from loadproof.verdict.result import RuleResult

COMPONENTS: Final = ("concurrent_load", "memory_pressure", "cpu_saturation", "capacity_limits", "recovery")
NAME: Final = "ai_writing_flow_v2_heavy_load_stress_report"
CAPACITY_SUCCESS: Final = 0.7
"""Share of ok requests down to which the suite calls a number of operations sustained."""
AFTERWARDS: Final = frozenset({"recovery_time", "overshoot", "residue"})
"""Statistics that tell of the time after a fault: without a selector they judge the component `recovery`."""


@dataclass(frozen=True)
class Component:
    name: str
    operations: int | None
    """Requests of its phases, without warm-up; of `recovery` those that met no fault. None where the run had no such part."""
    ok: int
    passed: bool | None
    capacity: int | None
    """What the plan's search found. Without one, most requests in flight at the end of a second in which at least
    `CAPACITY_SUCCESS` of the requests were ok."""

    recovery_s: float | None = None
    """The longest of the faults that begin in it, from a fault's end; None without one that is known."""

    @property
    def success(self) -> float | None:
        return self.ok / self.operations if self.operations else None

    @property
    def word(self) -> str:
        return "NOT RUN" if self.passed is None else "PASSED" if self.passed else "FAILED"

    @property
    def figure(self) -> str:
        """The component's own key figure."""
        if self.operations is None:
            return "no phase of this run has this name"
        if self.name == "capacity_limits":
            return f"Max Capacity {format_count(self.capacity)} concurrent operations"
        if self.name != "recovery":
            return f"success rate {format_ratio(self.success)}"
        back = "" if self.recovery_s is None else f", back after {self.recovery_s:.1f} s"
        return f"Recovery Rate {format_ratio(self.success)}{back}"


def files(report: Report) -> dict[str, bytes]:
    text = json.dumps(document(report), indent=2, ensure_ascii=True, allow_nan=False)
    return {f"{NAME}.json": f"{text}\n".encode("ascii"), f"{NAME}.txt": plain(report)}


def components(report: Report) -> tuple[Component, ...]:
    return tuple(_component(report, name) for name in COMPONENTS)


def document(report: Report) -> dict[str, Any]:
    books, of = report.books, report.totals.latency
    machine = report.manifest.get("machine")
    return {
        "metrics": {
            "overall_success_rate": real(books.ok / books.started) if books.started else None,
            "total_operations": books.started,
            "successful_operations": books.ok,
            "failed_operations": books.started - books.ok,
            "duration_seconds": real(run_length_us(report) / 1_000_000),
            "operations_per_second": real(report.totals.rate_per_s),
            "memory_increase_mb": _memory_increase_mb(report),
        },
        "component_results": {
            component.name: {
                "status": component.word,
                "passed": component.passed,
                "total_operations": component.operations,
                "successful_operations": None if component.operations is None else component.ok,
                "success_rate": real(component.success),
                "max_capacity": component.capacity,
                "recovery_time_seconds": real(component.recovery_s),
                "key_figure": component.figure,
            }
            for component in components(report)
        },
        "statistics": {
            "response_time_ms": None
            if of is None
            else {
                "mean": milliseconds(of.mean_us),
                "p50": milliseconds(of.p50_us),
                "p95": milliseconds(of.p95_us),
                "p99": milliseconds(of.p99_us),
                "max": milliseconds(of.max_us),
            },
            "resources": {
                resource.name: {
                    "min": real(resource.min),
                    "mean": real(resource.mean),
                    "max": real(resource.max),
                }
                for resource in report.resources
            },
        },
        "system_info": machine if isinstance(machine, dict) else {},
        "configuration": report.plan.model_dump(mode="json", exclude={"rules": {"__all__": {"position"}}}),
        "generated": iso(run_began(report)),
        "verdict": report.verdict.value,
        "recommendations": list(_recommendations(report)),
    }


def plain(report: Report) -> bytes:
    found = components(report)
    ran = [component for component in found if component.passed is not None]
    passed = sum(component.passed is True for component in ran)
    books = report.books
    success = books.ok / books.started if books.started else None
    began = run_began(report)
    lines = [
        "=" * 72,
        "AI WRITING FLOW V2 HEAVY LOAD STRESS REPORT",
        "=" * 72,
        f"Run: {shown(report.title, 60)}",
        f"Generated: {began.isoformat(timespec='seconds') if began else 'unknown'}",
        f"Duration: {run_length_us(report) / 1_000_000:.1f} s",
        f"System: {_system(report)}",
        "",
        "EXECUTIVE SUMMARY",
        "-" * 72,
        f"Overall Success Rate: {format_ratio(success)}",
        f"Components Passed: {passed}/{len(found)}",
        f"Total Operations: {format_count(books.started)}",
        f"Verdict: {report.verdict.value}",
        "",
        "COMPONENT RESULTS",
        "-" * 72,
        *(f"{component.name}: {component.word} ({component.figure})" for component in found),
        "",
        "RECOMMENDATIONS",
        "-" * 72,
        *(f"- {shown(text, 600)}" for text in _recommendations(report)),
    ]
    return ("\n".join(lines) + "\n").encode()


def _recommendations(report: Report) -> tuple[str, ...]:
    return (*report.advice, *report.hints) or (
        "Every rule holds: keep this run as the baseline of the next.",
    )


def _memory_increase_mb(report: Report) -> float | None:
    """From the least to the most resident memory of the target."""
    for resource in report.resources:
        if resource.name == "target.rss":
            return real((resource.max - resource.min) / 2**20)
    return None


def _system(report: Report) -> str:
    machine = report.manifest.get("machine")
    known = machine if isinstance(machine, dict) else {}
    processors, memory = known.get("processors"), known.get("memory_bytes")
    if not isinstance(processors, int) or not isinstance(memory, int):
        return "unknown"
    return f"{processors} CPUs, {memory / 2**30:.1f}GB RAM"


def _component(report: Report, name: str) -> Component:
    plan = report.plan
    if _same(report.name, name):
        judged = [phase.name for phase in plan.load if not phase.warmup]
        # After the stress is the last phase of such a plan.
        phases = set(judged[-1:] if name == "recovery" else judged)
        faults = {fault.name for fault in plan.faults}
        passed = report.verdict in {Verdict.PASS, Verdict.WARN}
    else:
        phases = {phase.name for phase in plan.load if _same(phase.name, name)}
        if not phases:
            return Component(name, None, 0, None, None)
        faults = _faults_in(report, phases)
        bad = {RuleVerdict.FAIL, RuleVerdict.NO_DATA}
        passed = report.verdict is not Verdict.INVALID and not any(
            rule.verdict in bad and not rule.optional and _judges(rule, name, phases, faults)
            for rule in report.rules
        )
    rows = [row for row in report.series if row.phase in phases and not (name == "recovery" and row.faults)]
    return Component(
        name,
        sum(row.requests for row in rows),
        sum(row.requests for row in rows if row.outcome is Outcome.OK),
        passed,
        _searched(report, phases) or _capacity(row for row in report.timeline if row.phase in phases),
        _longest_recovery(report, faults),
    )


def _faults_in(report: Report, phases: set[str]) -> set[str]:
    """Names of the faults that begin in one of the phases."""
    found = set()
    begin_us = 0
    for phase in report.plan.load:
        end_us = begin_us + phase.duration_us
        if phase.name in phases:
            found |= {fault.name for fault in report.plan.faults if begin_us <= fault.at_us < end_us}
        begin_us = end_us
    return found


def _judges(rule: RuleResult, name: str, phases: set[str], faults: set[str]) -> bool:
    phase, fault = rule.selector.get("phase"), rule.selector.get("fault")
    if phase is not None:
        return phase in phases
    if fault in faults:
        return True
    if rule.statistic in AFTERWARDS:
        return name == "recovery" and fault is None
    return fault in {None, "none"}


def _longest_recovery(report: Report, faults: set[str]) -> float | None:
    took = [told.recovery_us for told in report.faults if told.name in faults]
    known = [us for us in took if us is not None]
    return max(known) / 1_000_000 if known else None


def _searched(report: Report, phases: set[str]) -> int | None:
    """The capacity in users; a search is in a plan's last phase."""
    found = report.search
    if found is None or found.unit is not Unit.NUMBER or report.plan.load[-1].name not in phases:
        return None
    return None if found.capacity is None else round(found.capacity)


def _capacity(rows: Iterable[Second]) -> int | None:
    held = [
        row.in_flight
        for row in rows
        if row.in_flight is not None
        and (share := stretch([row]).success) is not None
        and share >= CAPACITY_SUCCESS
    ]
    return max(held, default=None)


def _same(one: str, other: str) -> bool:
    return one.replace("-", "_") == other
