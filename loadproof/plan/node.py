"""The tree that a plan's text becomes: values that remember where they were written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeAlias

from loadproof.errors import Mistake, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

Place: TypeAlias = Position | str
"""A place in a file, or the flag or variable that gave a value, such as `--set seed=7`."""
Value: TypeAlias = str | int | float | bool | None

MAX_TEXT: Final = 4_000
"""The longest text that any key takes."""
_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True)
class Scalar:
    """One value; `place` is where its text begins, inside the quotes or below the `|` if it has any."""

    value: Value
    text: str
    """What was written, without quotes and escapes."""
    place: Place
    template: str | None = None
    """The text before `${NAME}` was replaced; None where nothing was. It is shown in place of the text."""
    unset: bool = False
    """A variable in it has no value, which is a mistake already: the text says nothing more."""


@dataclass(frozen=True)
class Entry:
    node: Node
    key_place: Place


@dataclass(frozen=True)
class Mapping:
    entries: dict[str, Entry]
    place: Place


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]
    place: Place


Node: TypeAlias = Scalar | Mapping | Sequence


def mistake_at(place: Place, message: str, hint: str | None = None) -> Mistake:
    """A mistake in a file has a position; one in a flag or variable starts with its name."""
    if isinstance(place, str):
        return Mistake(f"{place}: {message}", None, hint)
    return Mistake(message, place, hint)


def moved(place: Place, columns: int) -> Place:
    """The place `columns` further in the same line, at most just behind the line's end."""
    if isinstance(place, str):
        return place
    return replace(place, column=max(place.column, min(place.column + columns, len(place.text) + 1)))


def quoted(text: str) -> str:
    """Text within a message: in backticks, on one line, shortened."""
    line = "".join(letter if letter.isprintable() else "�" for letter in text[:_SHOWN_CHARACTERS])
    return f"`{line}`" if len(text) <= _SHOWN_CHARACTERS else f"`{line}…`"


def described(node: Node) -> str:
    """What stands at a place, for "must be x, not y"; a value from the environment is never shown."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.template is not None:
        return f"what {quoted(node.template)} stands for"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str) and not node.value:
        return "an empty text"
    return quoted(node.text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one is close to, if any; case does not matter."""
    names = {name.lower(): name for name in known}
    close = get_close_matches(word[:_SHOWN_CHARACTERS].lower(), names, n=1)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelt word, or None if no known word is close."""
    name = nearest(word, known)
    return f"did you mean {quoted(name)}?" if name else None


def without_credentials(text: str) -> str:
    """The same text, as long as before, with the password of URLs starred: a mistake quotes whole lines."""
    if "@" not in text or "://" not in text:
        return text
    words = text.split(" ")
    for index, word in enumerate(words):
        start, end = word.find("://") + 3, word.rfind("@")
        if 3 <= start < end:
            words[index] = word[:start] + "*" * (end - start) + word[end:]
    return " ".join(words)
