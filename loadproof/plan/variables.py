"""Environment variables that change a plan: ours, and beside them those of the system that a suite stands for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.plan.node import Mapping, Scalar

if TYPE_CHECKING:
    import collections.abc

OURS: Final = {
    "target": "LOADPROOF_TARGET",
    "users": "LOADPROOF_USERS",
    "duration": "LOADPROOF_DURATION",
    "prometheus": "LOADPROOF_PROMETHEUS",
}
OF_SUITES: Final[dict[str, dict[str, str]]] = {
    "governance": {
        "target": "ACGS_TARGET_HOST",
        "duration": "ACGS_TEST_DURATION",
        "rate": "ACGS_TARGET_RPS",
        "compliance": "CONSTITUTIONAL_COMPLIANCE_MONITORING",
    },
    "survival": {
        "target": "AZORA_API_URL",
        "duration": "STRESS_TEST_DURATION",
        "users": "MAX_CONCURRENCY",
    },
}
"""Suite -> what is changed -> the name that its source system uses."""
_MINUTES: Final = frozenset({"STRESS_TEST_DURATION"})
_URLS: Final = frozenset({"ACGS_TARGET_HOST"})


class Variable(NamedTuple):
    """One that is set, with its text as a plan would write it."""

    name: str
    text: str


def suite_of(root: Mapping) -> str | None:
    """The suite that a plan's tree names, whatever else is wrong with it."""
    entry = root.entries.get("suite")
    return entry.node.text if entry is not None and isinstance(entry.node, Scalar) else None


def variable(key: str, suite: str | None, environ: collections.abc.Mapping[str, str]) -> Variable | None:
    """The variable that sets `key`: ours, else the suite's own; None when neither is set, or is empty."""
    for name in (OURS.get(key), OF_SUITES.get(suite or "", {}).get(key)):
        if name is not None and (text := environ.get(name, "").strip()):
            return Variable(name, _as_plan(name, text))
    return None


def _as_plan(name: str, text: str) -> str:
    if name in _MINUTES and re.fullmatch(r"\d+(?:\.\d+)?", text):
        return f"{text}m"
    return f"http://{text}" if name in _URLS and "://" not in text else text
