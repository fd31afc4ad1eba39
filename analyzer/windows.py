"""Stretches of a run, a phase or a fault's window, as the source systems' reports sum them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.happenings import fault_spans
from analyzer.layers import end_s
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    recovery_s: float | None
    """From the fault's end to the first second of which all requests were ok; None where none came."""


def fault_windows(report: Report) -> tuple[FaultWindow, ...]:
    """Every stretch in which a fault was injected, by time."""
    found = []
    counted = {fault for row in report.series for fault in row.faults}
    for begin, to, name in fault_spans(report.events, end_s(report)):
        during = [row for row in report.timeline if begin <= row.second < to]
        well = (
            row.second
            for row in report.timeline
            if row.second >= to and row.ok and not row.failed + row.unfinished
        )
        healed = next(well, None)
        found.append(
            FaultWindow(
                name,
                begin,
                to,
                _requests_in(report, name, during) if name in counted else stretch(during),
                None if healed is None else max(0.0, healed - to),
            )
        )
    return tuple(found)


def _requests_in(report: Report, fault: str, during: Iterable[Second]) -> Stretch:
    """As the workers counted them: whatever lay in its window with any part, and not what ended in its seconds."""
    rows = [row for row in report.series if fault in row.faults]
    ok = sum(row.requests for row in rows if row.outcome is Outcome.OK)
    return Stretch(ok, sum(row.requests for row in rows) - ok, stretch(during).peak_users)
