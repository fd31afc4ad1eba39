"""What a flow looks for in an answer: expectations and captured values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from loadproof.client.flow_texts import json_filler, text_filler, texts_filler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadproof.client.flow_texts import Values
    from loadproof.plan.flows import Capture, Expect

SHOWN: Final = 120
"""Characters of a body or value in the evidence of a failed check."""


class Body:
    """The body of an answer, or a message, and the headers that came with it; read as JSON at most once."""

    def __init__(self, text: str, headers: Mapping[str, str] | None = None) -> None:
        self.text = text
        self.headers = {} if headers is None else headers
        self._parsed: tuple[Any, str | None] | None = None

    def json(self, path: str) -> tuple[Any, str | None]:
        """The value at a path such as `items.0.id`; else what is wrong, in words."""
        if self._parsed is None:
            try:
                self._parsed = json.loads(self.text), None
            except (ValueError, RecursionError):
                self._parsed = None, f"the answer is no JSON: {shown(self.text)}"
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
            if body.headers.get(name) != value:
                return f"header {name} is {shown(str(body.headers.get(name)))}, not {shown(value)}"
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
    return shown(json.dumps(value, ensure_ascii=False))


def shown(text: str) -> str:
    """On one line, and shortened."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: SHOWN + 1])
    return repr(line) if len(line) <= SHOWN else repr(line[:SHOWN]) + "..."
