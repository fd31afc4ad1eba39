"""Stretches of a run, a phase or a fault's window, as the source systems' reports sum them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.happenings import fault_spans
from analyzer.layers import end_s
from loadproof.measure.interval import Outcome
from loadproof.verdict.evidence import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.faults import FaultTold
    from analyzer.model import Report, Second


@dataclass(frozen=True)
class Stretch:
    """Counts of what ended in some seconds, or of what lay in them with any part."""

    ok: int
    failed: int
    """With timeouts and unfinished."""
    peak_users: float | None

    @property
    def requests(self) -> int:
        return self.ok + self.failed

    @property
    def success(self) -> float | None:
        """Share of ok requests; None without any request."""
        return self.ok / self.requests if self.requests else None


def stretch(seconds: Iterable[Second]) -> Stretch:
    rows = list(seconds)
    users = [row.users for row in rows if row.users is not None]
    failed = sum(row.failed + row.unfinished for row in rows)
    return Stretch(sum(row.ok for row in rows), failed, max(users, default=None))


@dataclass(frozen=True)
class FaultWindow:
    name: str
    from_s: float
    to_s: float
    during: Stretch
    told: FaultTold | None
    """What is known of how it was taken and recovered from; None of a fault that is not the plan's."""

    @property
    def recovery_s(self) -> float | None:
        """None where the target never recovered, or that could not be told."""
        if self.told is None or self.told.recovery_us is None:
            return None
        return self.told.recovery_us / SECOND_US


def fault_windows(report: Report) -> tuple[FaultWindow, ...]:
    """Every stretch in which a fault was injected, by time."""
    found = []
    told = {fault.name: fault for fault in report.faults}
    counted = {fault for row in report.series for fault in row.faults}
    for begin, to, name in fault_spans(report.events, end_s(report)):
        during = [row for row in report.timeline if begin <= row.second < to]
        found.append(
            FaultWindow(
                name,
                begin,
                to,
                _requests_in(report, name, during) if name in counted else stretch(during),
                told.get(name),
            )
        )
    return tuple(found)


def _requests_in(report: Report, fault: str, during: Iterable[Second]) -> Stretch:
    """As the workers counted them: whatever lay in its window with any part, and not what ended in its seconds."""
    rows = [row for row in report.series if fault in row.faults]
    ok = sum(row.requests for row in rows if row.outcome is Outcome.OK)
    return Stretch(ok, sum(row.requests for row in rows) - ok, stretch(during).peak_users)
