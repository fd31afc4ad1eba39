"""How the target must score an action, derived from the principles that it lists, by the rules in docs/target.md."""

from __future__ import annotations

from typing import Any

from locustfiles.governance.evaluator import holds, pattern

Document = dict[str, Any]


def score_fault(principles: list[Document], action: Document, answer: Document) -> str | None:
    """What is wrong with an answer of `POST /constitution/compliance`; None if it is right.

    `principles` are the listed items of the version that the answer names.
    """
    expected = [_finding(item["id"], item["principle"], action) for item in principles]
    for ours, theirs in zip(expected, answer["findings"], strict=True):
        if ours != theirs:
            return f"we find {ours}, it {theirs}"
    total = sum(finding["weight"] for finding in expected)
    reached = total - sum(finding["weight"] for finding in expected if not finding["satisfied"])
    score = {"numerator": reached, "denominator": total, "value": reached / total}
    if answer["score"] != score:
        return f"we score {score}"
    if answer["threshold"] != {"numerator": 19, "denominator": 20}:
        return "the threshold is 19/20"
    compliant = 20 * reached >= 19 * total
    return None if answer["compliant"] is compliant else f"compliant is {compliant}"


def _finding(identity: int, principle: Document, action: Document) -> Document:
    missing = [path for path in principle["required_attributes"] if _found(action, path) in (None, "", [])]
    matched = [
        at
        for at, prohibited in enumerate(principle["prohibited_patterns"])
        if isinstance(found := _found(action, prohibited["attribute"]), str)
        and pattern(prohibited["pattern"]).fullmatch(found)
    ]
    held = [at for at, condition in enumerate(principle["prohibited_conditions"]) if holds(condition, action)]
    return {
        "principle_id": identity,
        "name": principle["name"],
        "weight": principle["weight"],
        "satisfied": missing == matched == held == [],
        "missing_attributes": missing,
        "matched_patterns": matched,
        "held_conditions": held,
    }


def _found(action: Document, path: str) -> Any:
    if path.startswith("attributes."):
        return action["attributes"].get(path.removeprefix("attributes."))
    return action[path]
