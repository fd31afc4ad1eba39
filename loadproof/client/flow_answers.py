"""What a flow looks for in an answer: expectations and captured values."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from loadproof.client.flow_texts import json_filler, text_filler, texts_filler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadproof.client.flow_texts import Values
    from loadproof.plan.flows import Capture, Expect

SHOWN: Final = 120
"""Characters of a body or value in the evidence of a failed check."""


class Answer(Protocol):
    """The part of a response that is looked at."""

    @property
    def text(self) -> str | None: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


class Received:
    """A message of a WebSocket, looked at as an answer."""

    headers: Final[Mapping[str, str]] = {}

    def __init__(self, message: str | bytes) -> None:
        self.text = message if isinstance(message, str) else bytes(message).decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.text)


class Body:
    """An answer whose text is decoded, and whose JSON is read, at most once and only if asked for."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.headers = answer.headers

    @cached_property
    def text(self) -> str:
        return self._answer.text or ""

    @cached_property
    def _parsed(self) -> tuple[Any, str | None]:
        try:
            return self._answer.json(), None
        except (ValueError, RecursionError):
            return None, f"the answer is no JSON: {shown(self.text)}"

    def json(self, path: str) -> tuple[Any, str | None]:
        """The value at a path such as `items.0.id`; else what is wrong, in words."""
        found, problem = self._parsed
        if problem is not None:
            return None, problem
        for key in path.split("."):
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isascii() and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                return None, f"nothing at {path} in {shown(self.text)}"
        return found, None


def expectation(expect: Expect) -> Callable[[Body, Values], str | None]:
    """Gives what an answer lacks, in words; None if it is as expected."""
    text = None if expect.text is None else text_filler(expect.text)
    headers = texts_filler(expect.headers)
    wanted = {path: json_filler(value) for path, value in expect.json.items()}

    def problem(body: Body, values: Values) -> str | None:
        if text is not None and (part := text(values)) not in body.text:
            return f"no {shown(part)} in {shown(body.text)}"
        for path, fill in wanted.items():
            found, missing = body.json(path)
            if missing is not None:
                return missing
            if not same(found, value := fill(values)):
                return f"{path} is {as_json(found)}, not {as_json(value)}"
        for name, value in headers(values).items():
            found = body.headers.get(name)
            if found is None:
                return f"the answer has no header {name}"
            if found != value:
                return f"header {name} is {shown(found)}, not {shown(value)}"
        return None

    return problem


def capturer(capture: Capture) -> Callable[[Body], tuple[Any, str | None]]:
    """Gives the value; else why there is none, in words. JSON's null is none."""
    match capture.source:
        case "json":

            def by_path(body: Body) -> tuple[Any, str | None]:
                value, problem = body.json(capture.what)
                if value is None and problem is None:
                    return None, f"{capture.what} is null"
                return value, problem

            return by_path
        case "header":

            def by_name(body: Body) -> tuple[Any, str | None]:
                value = body.headers.get(capture.what)
                return value, None if value is not None else f"the answer has no header {capture.what}"

            return by_name
        case _:
            pattern = re.compile(capture.what)

            def by_pattern(body: Body) -> tuple[Any, str | None]:
                found = pattern.search(body.text)
                value = None if found is None else found[1 if pattern.groups else 0]
                problem = f"nothing like {shown(capture.what)} in {shown(body.text)}"
                return value, None if value is not None else problem

            return by_pattern


def same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and true is not 1."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)


def as_json(value: Any) -> str:
    return _line(json.dumps(value, ensure_ascii=False))


def shown(text: str) -> str:
    """In quotes, on one line, and shortened."""
    return f"`{_line(text)}`"


def _line(text: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in text[: SHOWN + 1])
    return line if len(line) <= SHOWN else line[:SHOWN] + "..."
