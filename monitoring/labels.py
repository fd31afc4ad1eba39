"""Labels with a bound: whatever workers send, the exporter's answer does not grow without end."""

from __future__ import annotations

from collections import Counter
from typing import Final

OTHER: Final = "other"
LENGTH: Final = 200
MOST: Final = {"endpoint": 200, "scenario": 100, "check": 100, "metric": 100, "error": 200}
"""How many values of each are told apart; an endpoint is a method and a name."""


class Labels:
    """Knows the values so far; further ones are counted as other."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {label: {} for label in MOST}
        self.overflow: Counter[str] = Counter(dict.fromkeys(MOST, 0))
        """Label -> how often something was counted as other."""

    def bounded(self, label: str, *values: str) -> tuple[str, ...]:
        """The values themselves as they can be shown, or as many `other`."""
        known = self._known[label]
        found = known.get(values)
        if found is None:
            if len(known) >= MOST[label]:
                self.overflow[label] += 1
                return (OTHER,) * len(values)
            found = known[values] = tuple(map(_shown, values))
        return found


def _shown(value: str) -> str:
    """What can be written as UTF-8: two values that would read the same there must not stay two."""
    return value[:LENGTH].encode(errors="replace").decode()
