"""What must be alike for two runs to be compared: all that makes latencies beside the build of the target."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadproof.plan.model import Plan
    from loadproof.verdict.result import Reason

_SHOWN: Final = 60


def conditions(
    plan: Plan, manifest: Mapping[str, Any], invalid: Sequence[Reason] = (), *, smoke: bool = False
) -> dict[str, str]:
    """By what each is called. Names, titles, rules, the seed and how long a stop waits do not matter."""
    told = plan.model_dump(mode="json")
    load = [
        {key: value for key, value in phase.items() if value not in (None, False)} for phase in told["load"]
    ]
    found = {
        "target": plan.target,
        "load": _text([told["arrival_process"], load]),
        "scenarios": _text(told["scenarios"]),
        "flows": _digest(told["flows"]) if plan.flows else "",
        "suite": str(manifest.get("suite_sha256") or plan.suite or plan.locustfile or "")[:12],
        "regions and workers": _text(
            [[region["name"], region["workers"], region["weight"]] for region in told["regions"]]
        ),
        "smoke run": "yes" if smoke else "",
        "evidence": f"INVALID, as {invalid[0].text}" if invalid else "",
    }
    machine = manifest.get("machine")
    if isinstance(machine, dict):
        found["machine"] = f"{machine.get('processors')} processors, {machine.get('architecture')}"
    return found


def unlike(run: Mapping[str, str], baseline: Mapping[str, str], name: str) -> list[str]:
    """A sentence for each that differs; what only one of them tells is no difference, but for the evidence."""
    sentences = []
    for side, found in (("this run", run), (name, baseline)):
        if found.get("evidence"):
            sentences.append(f"{side} is {found['evidence']}: it shows nothing of its target")
    for what in run:
        if what == "evidence" or what not in baseline or run[what] == baseline[what]:
            continue
        here, there = run[what] or "none", baseline[what] or "none"
        values = f": {here} against {there}" if max(len(here), len(there)) <= _SHOWN else ""
        sentences.append(f"{name} differs in its {what}{values}")
    return sentences


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)


def _digest(value: object) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:12]
