"""Was the load the plan's: shares of scenarios and regions, and each phase's beginning and load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.model import Offered, PhaseOffered, Share
from loadproof.plan.arrivals import volume_before
from loadproof.plan.profile import phase_spans, user_us_between
from loadproof.verdict.shortfall import seen_user_us

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.model import Event
    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence

SECOND_US = 1_000_000


def offered(plan: Plan, evidence: Evidence, events: tuple[Event, ...]) -> Offered:
    """Shares are of active user time, of an open plan of starts, over the whole run.

    A region's planned share is by weight or workers.
    """
    by_scenario: dict[str, int] = {}
    by_region = {region.name: 0 for region in plan.regions}
    if plan.open:
        amounts = [
            (key.region, key.arrival.scenario, sum(table.sums())) for key, table in evidence.arrivals.items()
        ]
    else:
        amounts = [
            (region, scenario, sum(seconds.values()))
            for (region, scenario), seconds in evidence.user_us.items()
        ]
    for region, scenario, amount in amounts:
        by_scenario[scenario] = by_scenario.get(scenario, 0) + amount
        by_region[region] = by_region.get(region, 0) + amount
    weights = {
        region.name: float(region.workers if region.weight is None else region.weight)
        for region in plan.regions
    }
    return Offered(
        scenarios=_shares(plan.scenarios or {}, by_scenario),
        regions=_shares(weights, by_region),
        phases=_phases(plan, evidence, events),
    )


def _shares(weights: Mapping[str, float], user_us: Mapping[str, int]) -> tuple[Share, ...]:
    """Without weights, as where a locustfile's own classes decide, the planned share is not known here."""
    total_weight, total_us = sum(weights.values()), sum(user_us.values())
    names = [*weights, *sorted(user_us.keys() - weights.keys())]
    return tuple(
        Share(
            name,
            weights[name] / total_weight if name in weights and total_weight else None,
            user_us.get(name, 0) / total_us if total_us else None,
        )
        for name in names
    )


def _phases(plan: Plan, evidence: Evidence, events: tuple[Event, ...]) -> tuple[PhaseOffered, ...]:
    began = {event.who: event.at_us for event in reversed(events) if event.kind == "phase"}
    spans = phase_spans(plan.load)
    seen = seen_user_us(evidence, -(-spans[-1].end_us // SECOND_US))
    found = []
    for phase, start_us, end_us in spans:
        # Whole seconds: a second that two phases share belongs to neither side's sum.
        full = range(-(-start_us // SECOND_US), end_us // SECOND_US)
        planned = user_us_between(plan.load, full.start * SECOND_US, full.stop * SECOND_US)
        starts: dict[str, Any] = {}
        if plan.open:
            rows = [
                table.sums() for key, table in evidence.arrivals.items() if key.arrival.phase == phase.name
            ]
            starts = {
                "planned_starts": volume_before(plan.load, end_us) - volume_before(plan.load, start_us),
                "starts_taken": sum(row[0] for row in rows),
                "starts_dropped": sum(row[1] + row[2] for row in rows),
            }
        found.append(
            PhaseOffered(
                phase.name,
                start_us,
                began.get(phase.name),
                planned,
                sum(seen[full.start : full.stop]),
                **starts,
            )
        )
    return tuple(found)
