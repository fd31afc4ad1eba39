"""The search of a run, from the folder alone: its probes as the master carried them out, judged by the journals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadproof.plan.search import searched_from_us, steps_of
from loadproof.verdict.probes import Step, evidence_of, judge_probe
from loadproof.verdict.search import Ending
from loadproof.verdict.searched import searched

if TYPE_CHECKING:
    from analyzer.folder import RunFolder
    from analyzer.manifest import SearchNote
    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import RunFacts


def with_search(folder: RunFolder, facts: RunFacts) -> RunFacts:
    """The facts with what the run's search found; as they are where there was none. Reads the journals once more."""
    note = folder.manifest.search if folder.manifest else None
    if folder.plan.search is None or note is None or facts.smoke:
        return facts
    if not _can_be(note, folder.asked):
        folder.notes.append(
            "manifest.json is damaged: its probes cannot have been made, so its search is left out"
        )
        return facts
    grain = steps_of(folder.plan).grain
    probes = [
        (step, evidence_of(folder.plan, grain, step, folder.limits_us))
        for probe in note.probes
        for step in [Step(probe.level, probe.at_us, probe.from_us, probe.to_us, probe.guard, probe.guarded)]
    ]
    of_second: dict[int, Evidence] = {
        second: evidence for step, evidence in probes for second in step.seconds
    }
    for source in folder.sources():
        for interval in source.intervals:
            evidence = of_second.get(interval.second)
            if evidence is not None:
                evidence.add(source.worker, source.region, interval)
    known = [judge_probe(evidence, step, facts) for step, evidence in probes]
    ending = Ending(note.ending) if note.ending in list(Ending) else None
    return replace(facts, searched=searched(folder.plan, known, ending))


def _can_be(note: SearchNote, plan: Plan) -> bool:
    """Whether they are loads of this search, one after the other in its phase, until it ended."""
    steps = steps_of(plan)
    until_us = searched_from_us(plan) or 0
    for probe in note.probes:
        is_in_order = until_us <= probe.at_us <= probe.from_us < probe.to_us <= plan.duration_us
        if not is_in_order or not steps.lowest <= probe.level <= steps.highest:
            return False
        until_us = probe.from_us
    return note.ended_us is None or not note.probes or note.probes[-1].to_us <= note.ended_us
