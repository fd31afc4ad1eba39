"""The faults of a run as its report tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadproof.verdict.evidence import SECOND_US
from loadproof.verdict.fault_shares import budget_burnt, functionality
from loadproof.verdict.recovery import HELD_S, recoveries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.verdict.case import Case
    from loadproof.verdict.recovery import Recovery

BEFORE_S: Final = 15
"""Seconds before a fault that its picture begins with."""
AFTER_S: Final = 10
"""Seconds after its recovery that it ends with."""


@dataclass(frozen=True)
class FaultTold:
    """One fault of the plan that was begun: how the target took it, and how it got well; see `docs/recovery.md`."""

    name: str
    kind: str
    begin_us: int
    end_us: int | None
    """None where the run ended before it did."""
    ok: int
    requests: int
    """That lay in its window with any part; dropped starts are among them."""
    by_scenario: tuple[tuple[str, int, int], ...]
    """(scenario, ok, requests)."""
    detection_us: int | None
    recovered: bool | None
    """None where that could not be told; `nothing` may say why."""
    recovery_us: int | None
    watched_us: int
    """From its end to the next fault's begin or the run's end."""
    overshoot: float | None
    residue: float | None
    budget_burnt: float | None
    nothing: str | None = None
    least: float | None = None
    """How much of the ok requests for the load before must be there to be as before."""
    points: tuple[tuple[int, float], ...] = ()
    """(second, ok requests for the load as a share of before) around the fault."""


def faults_told(case: Case) -> tuple[FaultTold, ...]:
    return tuple(_told(case, recovery) for recovery in recoveries(case).values())


def _told(case: Case, recovery: Recovery) -> FaultTold:
    name = recovery.fault
    fault = next(fault for fault in case.plan.faults if fault.name == name)
    ok, requests = functionality(case, name)
    burnt, _ = budget_burnt(case, name)
    end_us = recovery.end_us
    return FaultTold(
        name=name,
        kind=fault.kind,
        begin_us=recovery.begin_us,
        end_us=end_us,
        ok=ok,
        requests=requests,
        by_scenario=tuple(_by_scenario(case, name)),
        detection_us=None if recovery.mixed_with is not None else recovery.detection_us,
        recovered=recovery.recovered,
        recovery_us=recovery.recovery_us,
        watched_us=0 if end_us is None else recovery.watched_until_us - end_us,
        overshoot=None if recovery.overshoot is None else recovery.overshoot.value,
        residue=None if recovery.residue is None else recovery.residue.value,
        budget_burnt=None if burnt is None else float(burnt),
        nothing=recovery.nothing,
        least=None if recovery.band is None else recovery.band.least_ok / recovery.band.ok.value,
        points=tuple(_points(recovery)),
    )


def _by_scenario(case: Case, name: str) -> Iterator[tuple[str, int, int]]:
    scenarios = {key.series.scenario for key in case.evidence.totals if name in key.series.faults}
    scenarios |= {key.arrival.scenario for key in case.evidence.arrivals if name in key.arrival.faults}
    for scenario in sorted(scenarios):
        yield scenario, *functionality(case, name, scenario)


def _points(recovery: Recovery) -> Iterator[tuple[int, float]]:
    band, pulse = recovery.band, recovery.pulse
    if band is None or pulse is None:
        return
    well_us = recovery.recovered_us
    last_us = recovery.watched_until_us if well_us is None else well_us + (HELD_S + AFTER_S) * SECOND_US
    first = max(0, recovery.begin_us // SECOND_US - BEFORE_S)
    stop = min(last_us, recovery.watched_until_us) // SECOND_US
    for second, told in enumerate(pulse.seconds(first, stop), first):
        if told.load > 0:
            yield second, told.ok / told.load / band.ok.value
