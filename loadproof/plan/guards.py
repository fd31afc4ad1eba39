"""The `guards` of a plan: what a run may take of machines and time before it warns, or is stopped."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.errors import UnitError
from loadproof.plan.model import PARTS, Guard
from loadproof.plan.node import Mapping, described, nearest, quoted
from loadproof.units import (
    duration_text,
    format_bytes,
    format_count,
    format_duration,
    format_ratio,
    parse_bytes,
    parse_duration,
)

if TYPE_CHECKING:
    from loadproof.plan.node import Node
    from loadproof.plan.values import Values

SIDES: Final = ("generator", "target")
"""Whose processes a guard of a resource may be about; without the word it is about each."""
_LEVELS: Final = ("warn", "stop")
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")
_COUNT: Final = re.compile(r"\d{1,9}")


class Unit(StrEnum):
    BYTES = "bytes"
    BYTES_PER_S = "bytes/s"
    SHARE = "share"
    """In millionths."""
    US = "microseconds"
    COUNT = "count"


class Kind(NamedTuple):
    unit: Unit
    of_side: bool
    """Measured at the generator and at the target."""
    lowest: bool = False
    """Trips below its level, where others do at it or above."""


KINDS: Final = {
    "memory": Kind(Unit.BYTES, of_side=True),
    "cpu": Kind(Unit.SHARE, of_side=True),
    "memory_growth": Kind(Unit.BYTES_PER_S, of_side=True),
    "duration": Kind(Unit.US, of_side=False),
    "users": Kind(Unit.COUNT, of_side=False),
    "errors": Kind(Unit.SHARE, of_side=False),
    "free_disk": Kind(Unit.BYTES, of_side=False, lowest=True),
}
NAMES: Final = tuple(
    name
    for kind, told in KINDS.items()
    for name in (kind, *(f"{side}.{kind}" for side in SIDES if told.of_side))
)
_EXAMPLES: Final = {
    Unit.BYTES: "2GB",
    Unit.BYTES_PER_S: "10MB/s",
    Unit.SHARE: "95%",
    Unit.US: "10m",
    Unit.COUNT: "1000",
}


def kind_of(guard: Guard) -> Kind:
    return KINDS[guard.name.rpartition(".")[2]]


def read_guards(node: Node, values: Values) -> tuple[Guard, ...]:
    """Those that are right; every other one is a mistake."""
    if not isinstance(node, Mapping):
        message = f"`guards` must be a mapping, not {described(node)}"
        values.wrong(node, message, "for example {memory: 2GB, cpu: {warn: 80%, stop: 95%}}")
        return ()
    found = []
    for name, entry in node.entries.items():
        if name not in NAMES:
            near = nearest(name, NAMES)
            hint = f"did you mean `{near}`?" if near else f"known are {', '.join(KINDS)}"
            values.wrong(entry.key_place, f"there is no guard {quoted(name)}", hint)
        elif (guard := _guard(name, entry.node, values)) is not None:
            found.append(guard)
    return tuple(found)


def each_side(guard: Guard) -> list[Guard]:
    """Itself, or where it is about generator and target, one of each."""
    if not kind_of(guard).of_side or "." in guard.name:
        return [guard]
    return [guard.model_copy(update={"name": f"{side}.{guard.name}"}) for side in SIDES]


def level_text(kind: Kind, level: int) -> str:
    """As a plan says it, exactly."""
    match kind.unit:
        case Unit.BYTES:
            return f"{level}B"
        case Unit.BYTES_PER_S:
            return f"{level}B/s"
        case Unit.SHARE:
            return f"{(Decimal(level) / (PARTS // 100)).normalize():f}%"
        case Unit.US:
            return duration_text(level)
        case Unit.COUNT:
            return str(level)


def shown_level(kind: Kind, level: float) -> str:
    """As a reader likes it."""
    match kind.unit:
        case Unit.BYTES:
            return format_bytes(level)
        case Unit.BYTES_PER_S:
            return f"{format_bytes(level)}/s"
        case Unit.SHARE:
            return format_ratio(level / PARTS)
        case Unit.US:
            return format_duration(level)
        case Unit.COUNT:
            return format_count(level)


def _guard(name: str, node: Node, values: Values) -> Guard | None:
    if not isinstance(node, Mapping):
        stop = _level(name, node, values)
        return None if stop is None else Guard(name=name, stop=stop)
    given = values.entries(node, f"the guard {quoted(name)}", _LEVELS) or {}
    levels = {key: _level(name, value, values) for key, value in given.items()}
    if not levels or None in levels.values():
        if not levels and set(node.entries) <= set(_LEVELS):
            values.wrong(node, f"the guard {quoted(name)} has no level", "give it `warn`, `stop` or both")
        return None
    guard = Guard(name=name, **levels)
    if guard.warn is not None and guard.stop is not None:
        lowest = kind_of(guard).lowest
        if guard.warn <= guard.stop if lowest else guard.warn >= guard.stop:
            message = f"the guard {quoted(name)} would stop the run before it warns"
            hint = "warn above the level that stops" if lowest else "warn below the level that stops"
            values.wrong(given["warn"], message, hint)
            return None
    return guard


def _level(name: str, node: Node, values: Values) -> int | None:
    """In base units; a bare number only where it is a count."""
    unit = KINDS[name.rpartition(".")[2]].unit
    text = str(getattr(node, "text", "")).strip()
    level = None
    try:
        match unit:
            case Unit.BYTES:
                level = parse_bytes(text)
            case Unit.BYTES_PER_S if text.endswith("/s"):
                level = parse_bytes(text[:-2])
            case Unit.SHARE if percent := _PERCENT.fullmatch(text):
                level = int(Decimal(percent[1]) * (PARTS // 100))
            case Unit.US:
                level = parse_duration(text)
            case Unit.COUNT if _COUNT.fullmatch(text):
                level = int(text)
    except UnitError:
        level = None
    if not level or (unit is Unit.SHARE and level > PARTS):
        message = (
            f"the guard {quoted(name)} must have a level such as {_EXAMPLES[unit]}, not {described(node)}"
        )
        values.wrong(node, message)
        return None
    return level
