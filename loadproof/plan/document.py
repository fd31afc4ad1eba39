"""YAML 1.2 text (JSON is a subset) read into a tree with positions, strictly and within bounds.

PyYAML scans and parses; its resolver and constructor are YAML 1.1 (`on`, `no` and `12:30:00` are not text
there), keep the last of two equal keys and expand aliases without bound, so they are not used.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from loadproof.errors import Mistake, Position
from loadproof.plan.core_schema import resolved
from loadproof.plan.node import (
    Entry,
    Mapping,
    Node,
    Place,
    Scalar,
    Sequence,
    mistake_at,
    quoted,
    without_credentials,
)

if TYPE_CHECKING:
    from pathlib import Path

    from yaml._yaml import Mark as CMark
    from yaml.error import Mark

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 20
MAX_NODES: Final = 20_000
"""With every alias counted as what it stands for."""

# Without U+0085, U+2028 and U+2029: they end a line for PyYAML, as in YAML 1.1, but not for an editor.
_UNFIT = re.compile("[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_HINTS: Final = {
    "mapping values are not allowed": "check the indentation, and quote a text that has `: ` in it",
    r"found character '\t'": "indent with spaces, not tabs",
    "expected <block end>": "check the indentation of this line and the one above",
    "could not find expected ':'": "a key needs `: ` behind it",
}


class _Stopped(Exception):  # noqa: N818 it never leaves this module: it carries the mistake that ends reading
    def __init__(self, place: Place, message: str, hint: str | None = None) -> None:
        self.mistake = mistake_at(place, message, hint)


class _Events(Reader, Scanner, Parser):
    """PyYAML's own way of putting its stages together, without the stages that are YAML 1.1."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def scan_to_next_token(self) -> None:
        """Tabs separate tokens too where they cannot be taken for indentation: in JSON, and after `key:`."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()


@dataclass
class _Text:
    """Where an index of the text is; a text that a flag gave has that flag for its only place."""

    text: str
    source: str
    is_flag: bool

    def __post_init__(self) -> None:
        self.lines = [without_credentials(line) for line in self.text.split("\n")]
        self.starts = [0]
        for line in self.lines[:-1]:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def place(self, index: int) -> Place:
        if self.is_flag:
            return self.source
        index = min(index, len(self.text))
        line = bisect_right(self.starts, index) - 1
        return Position(self.source, line + 1, index - self.starts[line] + 1, self.lines[line])


def read_document(path: Path, mistakes: list[Mistake]) -> Node | None:
    """The tree of a file; None if there is none to look at, and what is wrong is added to `mistakes`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read: {_reason(error)}"
        mistakes.append(Mistake(message, None, "give the path of a plan file"))
        return None
    if len(data) > MAX_BYTES:
        mistakes.append(Mistake(f"{path} is larger than 1 MB: this is not a plan"))
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        mistakes.append(Mistake(f"{path} is saved as UTF-16", None, "save it as UTF-8"))
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path} is not text in UTF-8: byte 0x{data[error.start]:02x} in line {line}"
        mistakes.append(Mistake(message, None, "save it as UTF-8"))
        return None
    return read_text(text, str(path), mistakes)


def read_text(text: str, source: str, mistakes: list[Mistake], *, is_flag: bool = False) -> Node | None:
    """The tree of a text; `source` is the file's name, or the flag as it was typed."""
    lines = _Text(text.replace("\r\n", "\n").replace("\r", "\n"), source, is_flag)
    try:
        return _Builder(lines, mistakes).document()
    except _Stopped as stopped:
        mistakes.append(stopped.mistake)
        return None


class _Builder:
    def __init__(self, source: _Text, mistakes: list[Mistake]) -> None:
        self.source = source
        self.mistakes = mistakes
        self.anchors: dict[str, tuple[Node, int, int]] = {}
        self.nodes = 0

    def document(self) -> Node:
        text = self.source.text
        self._refuse_unfit_characters()
        self.events = _Events(text)
        self._next()
        if isinstance(self._next(), StreamEndEvent):
            raise _Stopped(
                self.source.place(0), "there is nothing here", "write at least `name`, `suite` and `load`"
            )
        node, _ = self._node(self._next(), 1)
        self._next()
        after = self._next()
        if isinstance(after, DocumentStartEvent):
            raise _Stopped(self._place(after), "a second document begins here", "one file is one plan")
        return node

    def _refuse_unfit_characters(self) -> None:
        unfit = _UNFIT.search(self.source.text)
        if unfit is None:
            return
        place = self.source.place(unfit.start())
        if unfit[0] == "\0":
            raise _Stopped(place, "a NUL byte: this is not a text file")
        if unfit[0] == "\ufeff":
            message = "the file holds a byte order mark (U+FEFF)"
            raise _Stopped(place, message, "save it as UTF-8 without BOM")
        raise _Stopped(place, f"character U+{ord(unfit[0]):04X} cannot stand in a plan")

    def _next(self) -> Event:
        try:
            event: Event = self.events.get_event()  # type: ignore[no-untyped-call]  # bare in the stubs
        except MarkedYAMLError as error:
            problem = error.problem or "it ends too early"
            hint = next((hint for start, hint in _HINTS.items() if problem.startswith(start)), None)
            place = self.source.place(_index(error.problem_mark))
            raise _Stopped(place, f"this cannot be read as YAML: {problem}", hint) from None
        except (ValueError, OverflowError):
            # PyYAML hands the numbers of escapes ("\UFFFFFFFF") and of %YAML unchecked to chr() and int().
            place = self.source.place(self.events.index)
            raise _Stopped(place, "this cannot be read as YAML: a number is out of range") from None
        return event

    def _place(self, event: Event) -> Place:
        return self.source.place(_index(event.start_mark))

    def _node(self, event: Event, depth: int) -> tuple[Node, int]:
        """The node that begins with this event, and how many levels it has."""
        place = self._place(event)
        if depth > MAX_DEPTH:
            raise _Stopped(place, f"more than {MAX_DEPTH} levels of lists and mappings")
        if isinstance(event, AliasEvent):
            node, size, height = self._aliased(event)
            if depth + height - 1 > MAX_DEPTH:
                raise _Stopped(place, f"more than {MAX_DEPTH} levels of lists and mappings")
            self._count(size, place)
            return node, height
        before = self.nodes
        self._count(1, place)
        assert isinstance(event, NodeEvent)
        if getattr(event, "tag", None) is not None:
            self.mistakes.append(mistake_at(place, "tags (`!name`) have no meaning in a plan", "remove it"))
        height = 1
        if isinstance(event, ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, MappingStartEvent):
            node, height = self._mapping(place, depth)
        else:
            node, height = self._sequence(place, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.nodes - before, height)
        return node, height

    def _count(self, nodes: int, place: Place) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise _Stopped(place, f"more than {MAX_NODES:,} values, aliases counted in full")

    def _aliased(self, event: AliasEvent) -> tuple[Node, int, int]:
        name = event.anchor or ""
        if name not in self.anchors:
            message = f"alias {quoted('*' + name)} stands for nothing"
            raise _Stopped(
                self._place(event), message, f"write {quoted('&' + name)} before it, not around it"
            )
        return self.anchors[name]

    def _mapping(self, place: Place, depth: int) -> tuple[Mapping, int]:
        entries: dict[str, Entry] = {}
        height = 1
        while not isinstance(key := self._next(), MappingEndEvent):
            key_place = self._place(key)
            if not isinstance(key, ScalarEvent):
                raise _Stopped(key_place, "a key must be a word", "quote a text that starts with [, { or *")
            node, below = self._node(self._next(), depth + 1)
            height = max(height, 1 + below)
            name = _joined(key.value)
            if name in entries:
                first = entries[name].key_place
                where = f" in line {first.line}" if isinstance(first, Position) else ""
                message = f"{quoted(name)} is written twice; it stands already{where}"
                self.mistakes.append(mistake_at(key_place, message, "remove one of them"))
            else:
                entries[name] = Entry(node, key_place)
        return Mapping(entries, place), height

    def _sequence(self, place: Place, depth: int) -> tuple[Sequence, int]:
        items: list[Node] = []
        height = 1
        while not isinstance(event := self._next(), SequenceEndEvent):
            node, below = self._node(event, depth + 1)
            height = max(height, 1 + below)
            items.append(node)
        return Sequence(tuple(items), place), height

    def _scalar(self, event: ScalarEvent) -> Scalar:
        text = _joined(event.value)
        place = self.source.place(self._text_start(event))
        return Scalar(resolved(text) if event.implicit[0] else text, text, place)

    def _text_start(self, event: ScalarEvent) -> int:
        """Index of the first character of a scalar's own text."""
        text, at, end = self.source.text, _index(event.start_mark), _index(event.end_mark)
        while at < end and text[at] in "&!":
            while at < end and not text[at].isspace():
                at += 1
            while at < end and text[at].isspace():
                at += 1
        if event.style in {"'", '"'}:
            return at + 1
        if event.style in {"|", ">"}:
            line_end = text.find("\n", at, end)
            body = line_end + 1 if line_end >= 0 else at
            return body + len(text[body:end]) - len(text[body:end].lstrip())
        return at


def _index(mark: Mark | CMark | None) -> int:
    assert mark is not None
    return mark.index


def _joined(text: str) -> str:
    """JSON writes characters beyond U+FFFF as two escapes, which PyYAML leaves as a pair of surrogates."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _reason(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case IsADirectoryError():
            return "it is a folder"
        case OSError():
            return (error.strerror or "the system refuses").lower()
        case _:
            return "its name holds a NUL byte"
