"""The texts of a flow, in which `${name}` stands for what is captured or stands in the rows."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from loadproof.errors import UnitError
from loadproof.plan.flows import NO_TIME, Span
from loadproof.plan.node import MAX_TEXT, Entry, Mapping, Node, Scalar, Sequence, described, moved, quoted
from loadproof.plan.templates import Reference, parts_of, references
from loadproof.plan.values import MAX_DURATION_US
from loadproof.units import parse_duration

if TYPE_CHECKING:
    from loadproof.plan.values import Values

HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_BAD_IN_PATH: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_BAD_IN_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPAN: Final = re.compile(r"(.{1,60}?)\.\.(.{1,60})")


class AnyName(frozenset[str]):
    """Stands in for the columns of rows that cannot be read: nothing is misspelt until they can."""

    def __contains__(self, name: object) -> bool:
        return True


class FlowTexts:
    """Reads texts, and holds the names that are known where it reads; None stands for a text that is wrong."""

    def __init__(self, values: Values, secrets: tuple[str, ...]) -> None:
        self.values = values
        self.secrets = secrets
        self.columns: frozenset[str] = frozenset()
        self.captured: set[str] = set(secrets)
        """On every way to the step that is read."""
        self.remedy = "the headers of a flow know its rows only"
        """What to do about a name that is not known."""

    def template(self, node: Node, key: str) -> str | None:
        """A text to the letter, or a number or boolean as it is written; what it names must be known by now."""
        if not isinstance(node, Scalar) or node.value is None:
            self.values.wrong(node, f"{quoted(key)} must be a text, not {described(node)}")
            return None
        if len(node.text) > MAX_TEXT:
            message = f"{quoted(key)} has {len(node.text):,} characters, at most {MAX_TEXT:,} are read"
            self.values.wrong(node, message)
            return None
        for name in references(node.text):
            if name not in self.captured and name not in self.columns:
                written = node.text if node.template is None else node.template
                place = moved(node.place, max(0, written.find(str(Reference(name)))))
                message = f"{quoted(name)} is not captured on every way to here"
                self.values.wrong(place, message, self.remedy)
        return node.text

    def literal(self, node: Node, key: str) -> str | None:
        """A line of text without values of the flow."""
        if isinstance(node, Scalar) and isinstance(node.value, str) and len(node.text) <= MAX_TEXT:
            parts = parts_of(node.text)
            for part in parts:
                if isinstance(part, Reference):
                    self.values.wrong(
                        node, f"{quoted(key)} cannot hold {quoted(str(part))}, a value of the flow"
                    )
                    return None
            text = "".join(map(str, parts))
            node = replace(node, value=text, text=text)
        return self.values.text(node, key)

    def path(self, node: Node, key: str) -> str | None:
        text = self.template(node, key)
        if text is None:
            return None
        first = (*parts_of(text), "")[0]
        if isinstance(first, str) and not first.startswith("/"):
            message = f"{quoted(key)} must be a path that starts with /, not {described(node)}"
            hint = "the host is the plan's `target`" if "://" in first else "write for example /items"
            self.values.wrong(node, message, hint)
        elif any(isinstance(part, str) and _BAD_IN_PATH.search(part) for part in parts_of(text)):
            self.values.wrong(node, f"{quoted(key)} holds a blank", "write %20, or use `params`")
        else:
            return text
        return None

    def headers(self, node: Node) -> dict[str, str]:
        headers = self.texts(node, "headers")
        if isinstance(node, Mapping):
            for name, entry in node.entries.items():
                if not HEADER.fullmatch(name):
                    self.values.wrong(entry.key_place, f"{quoted(name)} is not the name of a header")
                if _BAD_IN_HEADER.search(headers.get(name, "")):
                    self.values.wrong(entry.node, f"the header {quoted(name)} holds a control character")
        return headers

    def texts(self, node: Node, key: str) -> dict[str, str]:
        read = {
            name: self.template(entry.node, name)
            for name, entry in self.mapping(node, key, "names to texts").items()
        }
        return {name: text for name, text in read.items() if text is not None}

    def mapping(self, node: Node, key: str, what: str) -> dict[str, Entry]:
        if isinstance(node, Mapping):
            return node.entries
        self.values.wrong(node, f"{quoted(key)} must be a mapping of {what}, not {described(node)}")
        return {}

    def json(self, node: Node, key: str) -> Any:
        """A value as JSON has it, its texts templates and its keys as they are."""
        match node:
            case Mapping():
                return {name: self.json(entry.node, name) for name, entry in node.entries.items()}
            case Sequence():
                return [self.json(item, key) for item in node.items]
            case Scalar(value=str()):
                return self.template(node, key)
            case Scalar(value=float(number)) if not math.isfinite(number):
                self.values.wrong(node, f"JSON has no number {described(node)}")
        assert isinstance(node, Scalar)
        return node.value

    def span(self, node: Node, key: str) -> Span | None:
        text = node.text.strip() if isinstance(node, Scalar) else ""
        ends = _SPAN.fullmatch(text)
        if text == "0s":
            return NO_TIME
        if ends is None:
            time = self.values.duration(node, key)
            return None if time is None else Span(time, time)
        try:
            low, high = parse_duration(ends[1]), parse_duration(ends[2])
        except UnitError:
            message = f"{quoted(key)} must be a duration or a range of two, not {described(node)}"
            self.values.wrong(node, message, "for example 1s..3s")
            return None
        if low <= high <= MAX_DURATION_US:
            return Span(low, high)
        message = f"{quoted(key)} must go from a shorter to a longer time, at most a year"
        self.values.wrong(node, message, "for example 1s..3s")
        return None
