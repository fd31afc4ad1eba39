"""Texts of a flow with `${name}` in them, whose values are known only while the flow runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Reference:
    """A captured value, or a column of the rows, by name."""

    name: str

    def __str__(self) -> str:
        return f"${{{self.name}}}"


Part: TypeAlias = str | Reference


def parts_of(template: str) -> tuple[Part, ...]:
    """A template's texts and references in order; `$${` stands for `${`. No text is empty."""
    parts: list[Part] = []
    at = 0
    for match in _PIECE.finditer(template):
        parts += [template[at : match.start()], "${" if match[1] is None else Reference(match[1])]
        at = match.end()
    return _joined([*parts, template[at:]])


def template_of(parts: Iterable[Part]) -> str:
    """The template that `parts_of` reads back as these parts.

    Raises ValueError where a text that ends in `$` stands before a reference: together they read as `$${`.
    """
    joined = _joined(parts)
    for before, after in pairwise(joined):
        if isinstance(before, str) and before.endswith("$") and isinstance(after, Reference):
            raise ValueError(f"a text that ends in $ cannot stand before {after}")
    return "".join(part.replace("${", "$${") if isinstance(part, str) else str(part) for part in joined)


def label_of(template: str) -> str:
    """The template as a name, `GET /items/:item` for `GET /items/${item}`: one that rules can hold as it is."""
    return "".join(part if isinstance(part, str) else f":{part.name}" for part in parts_of(template))


def references(template: str) -> tuple[str, ...]:
    return tuple(part.name for part in parts_of(template) if isinstance(part, Reference))


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Neighbouring texts made one, so that `${` across two of them is seen."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)
