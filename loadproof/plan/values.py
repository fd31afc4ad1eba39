"""Nodes read as typed values; each that is not what its key needs becomes a mistake, and reading goes on."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Final, TypeAlias

from loadproof.errors import Position, UnitError
from loadproof.plan.core_schema import resolved
from loadproof.plan.node import (
    MAX_TEXT,
    Mapping,
    Node,
    Place,
    Scalar,
    Sequence,
    Value,
    described,
    mistake_at,
    nearest,
    quoted,
)
from loadproof.units import parse_duration

if TYPE_CHECKING:
    import collections.abc
    import re

    from loadproof.errors import Mistake

PlanPath: TypeAlias = tuple[str | int, ...]
"""Where in a plan something stands, as ("regions", "eu-west-1")."""

MAX_DURATION_US: Final = 365 * 86_400_000_000
MAX_WEIGHT: Final = 1e9
_MAX_DURATION_TEXT: Final = 60
_YES_NO: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


class Values:
    """Every method gives None for a node that is wrong, after adding to `mistakes` what is wrong with it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes

    def wrong(self, at: Node | Place, message: str, hint: str | None = None) -> None:
        if isinstance(at, Position | str):
            self.mistakes.append(mistake_at(at, message, hint))
        elif not (isinstance(at, Scalar) and at.unset):
            self.mistakes.append(mistake_at(at.place, message, hint))

    def entries(
        self, node: Node, what: str, known: collections.abc.Sequence[str], required: tuple[str, ...] = ()
    ) -> dict[str, Node] | None:
        """The values of a mapping's known keys; a key that is unknown or missing is a mistake."""
        if not isinstance(node, Mapping):
            self.wrong(node, f"{what} must be a mapping with {', '.join(known)}, not {described(node)}")
            return None
        meant = set()
        for name, entry in node.entries.items():
            if name in known:
                continue
            message = f"unknown key {quoted(name)} in {what}"
            key, colon, _ = name.partition(":")
            if colon and key in known:
                self.wrong(entry.key_place, message, f"write a space behind the colon: `{key}: `")
                meant.add(key)
            elif near := nearest(name, known):
                self.wrong(entry.key_place, message, f"did you mean `{near}`?")
                meant.add(near)
            else:
                self.wrong(entry.key_place, message, f"known are {', '.join(known)}")
        for name in required:
            if name not in node.entries and name not in meant:
                self.wrong(node, f"{what} needs {quoted(name)}")
        return {name: entry.node for name, entry in node.entries.items() if name in known}

    def items(self, node: Node, key: str, what: str) -> tuple[Node, ...] | None:
        if isinstance(node, Sequence):
            return node.items
        self.wrong(node, f"{quoted(key)} must be a list of {what}, not {described(node)}")
        return None

    def text(self, node: Node, key: str) -> str | None:
        """One line of text that is not empty, without the blanks around it."""
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            hint = (
                f'write it in quotes: "{node.text}"'
                if isinstance(node, Scalar) and 0 < len(node.text) < 60
                else None
            )
            self.wrong(node, f"{quoted(key)} must be a text, not {described(node)}", hint)
            return None
        text = node.text.strip().replace("\n", " ")
        if not text:
            self.wrong(node, f"{quoted(key)} is empty")
        elif len(text) > MAX_TEXT:
            self.wrong(node, f"{quoted(key)} has {len(text):,} characters, at most {MAX_TEXT:,} are read")
        elif any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in text):
            self.wrong(node, f"{quoted(key)} holds a control character", "write one line of plain text")
        else:
            return text
        return None

    def named(self, node: Node, key: str, pattern: re.Pattern[str], rule: str) -> str | None:
        """A text that follows `pattern`; `rule` says so in words."""
        text = self.text(node, key)
        if text is None or pattern.fullmatch(text):
            return text
        self.wrong(node, f"{quoted(key)} must be {rule}, not {described(node)}")
        return None

    def distinct(
        self, places: dict[PlanPath, Place], path: tuple[str, str | None], node: Node, what: str
    ) -> None:
        """Keeps the place of the name `path[1]` in its section; the second of that name is a mistake."""
        section, name = path
        if name is None:
            return
        if (section, name) not in places:
            places[section, name] = node.place
            return
        first = places[section, name]
        where = f" in line {first.line}" if isinstance(first, Position) else ""
        self.wrong(node, f"there is already a {what} {quoted(name)}{where}", "give it another name")

    def boolean(self, node: Node, key: str) -> bool | None:
        value = _plain(node)
        if isinstance(value, bool):
            return value
        hint = None
        if isinstance(value, str) and value.lower() in _YES_NO:
            hint = f"write {_YES_NO[value.lower()]}; YAML 1.2 reads {value} as a text"
        self.wrong(node, f"{quoted(key)} must be true or false, not {described(node)}", hint)
        return None

    def integer(self, node: Node, key: str, low: int, high: int, what: str = "a whole number") -> int | None:
        """A whole number from `low` to `high`; `what` says what else the key takes."""
        value = _plain(node)
        if isinstance(value, bool) or not isinstance(value, int):
            hint = "remove the quotes" if isinstance(value, str) and value.isdecimal() else None
            self.wrong(node, f"{quoted(key)} must be {what}, not {described(node)}", hint)
            return None
        if low <= value <= high:
            return value
        self.wrong(node, f"{quoted(key)} must be from {low:,} to {high:,}, not {described(node)}")
        return None

    def weight(self, node: Node, key: str) -> float | None:
        """A share beside others: 0 takes no part."""
        value = _plain(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(node, f"the weight of {quoted(key)} must be a number, not {described(node)}")
            return None
        if math.isfinite(value) and 0 <= value <= MAX_WEIGHT:
            return float(value)
        self.wrong(
            node,
            f"the weight of {quoted(key)} must be from 0 to {MAX_WEIGHT:,.0f}, not {described(node)}",
        )
        return None

    def duration(self, node: Node, key: str, least_us: int = 1) -> int | None:
        """Microseconds, at least `least_us`."""
        value = _plain(node)
        if not isinstance(node, Scalar) or not isinstance(value, str):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            self.wrong(
                node,
                f"{quoted(key)} must be a duration such as 30s or 2m, not {described(node)}",
                "a number needs a unit: us, ms, s, m, h or d" if is_number else None,
            )
            return None
        if value.strip().startswith("-"):
            self.wrong(node, f"{quoted(key)} must be longer than 0, not {described(node)}")
            return None
        try:
            microseconds = parse_duration(value[:_MAX_DURATION_TEXT])
        except UnitError:
            message = f"{quoted(key)} must be a duration, not {described(node)}"
            self.wrong(node, message, "write a number and a unit, such as 250ms, 30s, 2m or 1h30m")
            return None
        if least_us <= microseconds <= MAX_DURATION_US and len(value) <= _MAX_DURATION_TEXT:
            return microseconds
        self.wrong(node, f"{quoted(key)} must be longer than 0 and at most a year, not {described(node)}")
        return None


def _plain(node: Node) -> Value | Node:
    """What an environment variable gave is text, read here as if it stood in the file without quotes."""
    if not isinstance(node, Scalar):
        return node
    return node.value if node.template is None else resolved(node.text)
