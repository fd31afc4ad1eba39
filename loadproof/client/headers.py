"""Header fields of an answer: looked up without regard to case, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Headers(Mapping[str, str]):
    """Field values by name; a name that came more than once has its values joined by a comma.

    Answers with equal heads share one object, so it cannot be changed.
    """

    __slots__ = ("_values", "fields")

    def __init__(self, fields: Sequence[tuple[str, str]] = ()) -> None:
        self.fields = tuple(fields)
        """Every field as it came; `Set-Cookie` can only be read here, since its values hold commas."""
        self._values: dict[str, tuple[str, str]] = {}
        for name, value in self.fields:
            key = name.lower()
            before = self._values.get(key)
            self._values[key] = (name, value) if before is None else (before[0], f"{before[1]}, {value}")

    def get_all(self, name: str) -> list[str]:
        """Every value of a name, apart."""
        key = name.lower()
        return [value for own, value in self.fields if own.lower() == key]

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"
