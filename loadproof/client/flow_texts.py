"""A flow's templates, made ready once and filled in each pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from loadproof.plan.templates import Reference, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Values: TypeAlias = dict[str, Any]
"""What a pass knows: its row, and what its steps have captured."""


def text_filler(template: str) -> Callable[[Values], str]:
    """A captured number, list or object stands in a text as JSON writes it."""
    parts = parts_of(template)
    if not any(isinstance(part, Reference) for part in parts):
        text = "".join(map(str, parts))
        return lambda _: text
    return lambda values: "".join(
        as_text(values[part.name]) if isinstance(part, Reference) else part for part in parts
    )


def texts_filler(templates: Mapping[str, str]) -> Callable[[Values], dict[str, str]]:
    fillers = {name: text_filler(template) for name, template in templates.items()}
    return lambda values: {name: fill(values) for name, fill in fillers.items()}


def json_filler(value: Any) -> Callable[[Values], Any]:
    """A text that is nothing but `${name}` becomes the value itself: a number stays a number."""
    match value:
        case str():
            parts = parts_of(value)
            if len(parts) == 1 and isinstance(parts[0], Reference):
                name = parts[0].name
                return lambda values: values[name]
            return text_filler(value)
        case dict():
            entries = {name: json_filler(inner) for name, inner in value.items()}
            return lambda values: {name: fill(values) for name, fill in entries.items()}
        case list():
            items = [json_filler(inner) for inner in value]
            return lambda values: [fill(values) for fill in items]
        case _:
            return lambda _: value


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
