"""What the target must answer, derived by the client from the policy that it wrote.

Written from the rules in docs/target.md, not from the target's code, and in another way where there is one:
patterns become regular expressions, values are compared by their JSON text, which keeps 1, "1" and true
apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MISSING: Final = object()
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_text = json.JSONEncoder().encode


def policy_digest(policy: dict[str, Any]) -> str:
    """SHA-256 of the policy's canonical JSON."""
    return hashlib.sha256(canonical(policy).encode()).hexdigest()


def expected_decision(policy: dict[str, Any], action: dict[str, Any]) -> tuple[str, bool, list[int]]:
    """The decision, whether the resource matches, and the positions of the conditions that hold."""
    fits = pattern(policy["resource"]).fullmatch(action["resource"]) is not None
    conditions = policy["conditions"]
    held = [number for number in range(len(conditions)) if holds(conditions[number], action)]
    decision = policy["effect"] if fits and len(held) == len(conditions) else "not_applicable"
    return decision, fits, held


def pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in glob), re.DOTALL)


def holds(condition: dict[str, Any], action: dict[str, Any]) -> bool:
    found: Any = action
    for step in condition["attribute"].split("."):
        found = found.get(step, _MISSING)
        if found is _MISSING:
            return False
    return _OPERATORS[condition["operator"]](found, condition["value"])


def _among(found: Any, values: list[Any]) -> bool:
    return _text(found) in map(_text, values)


def _integer(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool)


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, list):
        return _among(value, found)
    return isinstance(found, str) and isinstance(value, str) and found.find(value) >= 0


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "equals": lambda found, value: _text(found) == _text(value),
    "not_equals": lambda found, value: _text(found) != _text(value),
    "in": _among,
    "not_in": lambda found, values: not _among(found, values),
    "less_than": lambda found, value: _integer(found) and found < value,
    "at_most": lambda found, value: _integer(found) and found <= value,
    "greater_than": lambda found, value: _integer(found) and found > value,
    "at_least": lambda found, value: _integer(found) and found >= value,
    "starts_with": lambda found, value: isinstance(found, str) and found[: len(value)] == value,
    "contains": _contains,
}
