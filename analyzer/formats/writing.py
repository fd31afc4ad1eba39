"""The two reports of AI Writing Flow's heavy-load suite, with its five components.

A component is the run whose plan has its name, or else the phase of the run that has; `-` and `_` are alike.
It passed when nothing that judges it is broken or without data: the rules on its phase and those on all phases.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from analyzer.escape import shown
from analyzer.results_json import milliseconds, real
from analyzer.run_clock import iso, run_began, run_length_us
from analyzer.windows import Stretch, stretch
from loadproof.units import format_count, format_ratio
from loadproof.verdict.result import RuleVerdict, Verdict

if TYPE_CHECKING:
    from analyzer.model import Report, Second

COMPONENTS: Final = ("concurrent_load", "memory_pressure", "cpu_saturation", "capacity_limits", "recovery")
NAME: Final = "ai_writing_flow_v2_heavy_load_stress_report"
CAPACITY_SUCCESS: Final = 0.7
"""Share of ok requests down to which the suite calls a number of operations sustained."""


@dataclass(frozen=True)
class Component:
    name: str
    seen: Stretch | None
    """None where the run had no such part."""
    passed: bool | None
    capacity: int | None
    """Most users of a second in which at least `CAPACITY_SUCCESS` of the requests were ok."""

    @property
    def word(self) -> str:
        return "NOT RUN" if self.passed is None else "PASSED" if self.passed else "FAILED"

    @property
    def figure(self) -> str:
        """The component's own key figure."""
        if self.seen is None:
            return "no phase of this run has this name"
        if self.name == "capacity_limits":
            return f"Max Capacity {format_count(self.capacity)} concurrent operations"
        label = "Recovery Rate" if self.name == "recovery" else "success rate"
        return f"{label} {format_ratio(self.seen.success)}"


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
        },
        "component_results": {
            component.name: {
                "passed": component.passed,
                "total_operations": component.seen.requests if component.seen else None,
                "success_rate": real(component.seen.success) if component.seen else None,
                "max_capacity": component.capacity,
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
        f"AI WRITING FLOW V2 HEAVY LOAD STRESS REPORT: {shown(report.title, 60)}",
        "=" * 72,
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


def _system(report: Report) -> str:
    machine = report.manifest.get("machine")
    known = machine if isinstance(machine, dict) else {}
    processors, memory = known.get("processors"), known.get("memory_bytes")
    if not isinstance(processors, int) or not isinstance(memory, int):
        return "unknown"
    return f"{processors} CPUs, {memory / 2**30:.1f}GB RAM"


def _component(report: Report, name: str) -> Component:
    if _same(report.name, name):
        rows: list[Second] = list(report.timeline)
        passed = report.verdict in {Verdict.PASS, Verdict.WARN}
    else:
        phases = {phase.name for phase in report.plan.load if _same(phase.name, name)}
        if not phases:
            return Component(name, None, None, None)
        rows = [row for row in report.timeline if row.phase in phases]
        judging = [rule for rule in report.rules if rule.selector.get("phase") in {None, *phases}]
        bad = {RuleVerdict.FAIL, RuleVerdict.NO_DATA}
        passed = report.verdict is not Verdict.INVALID and not any(
            rule.verdict in bad and not rule.optional for rule in judging
        )
    held = [
        row.users
        for row in rows
        if row.users is not None
        and (share := stretch([row]).success) is not None
        and share >= CAPACITY_SUCCESS
    ]
    return Component(name, stretch(rows), passed, round(max(held)) if held else None)


def _same(one: str, other: str) -> bool:
    return one.replace("-", "_") == other
