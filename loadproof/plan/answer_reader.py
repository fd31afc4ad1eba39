"""What a step looks at in an answer: what it expects of it, and the values that it takes out of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loadproof.plan.columns import NAME
from loadproof.plan.flow_texts import HEADER, AnyName
from loadproof.plan.flows import Capture, Expect
from loadproof.plan.node import Node, Sequence, described, did_you_mean, moved, quoted

if TYPE_CHECKING:
    from loadproof.plan.flow_texts import FlowTexts


def read_expect(texts: FlowTexts, node: Node) -> Expect:
    given = texts.values.entries(node, "`expect`", ("status", "text", "json", "headers")) or {}
    json: dict[str, Any] = {}
    if "json" in given:
        for path, entry in texts.mapping(given["json"], "json", "paths to values").items():
            if not all(path.split(".")):
                hint = "write for example items.0.id"
                texts.values.wrong(entry.key_place, f"{quoted(path)} is no path in JSON", hint)
            json[path] = texts.json(entry.node, "json")
    return Expect(
        status=_statuses(texts, given["status"]) if "status" in given else (),
        text=texts.template(given["text"], "text") if "text" in given else None,
        json=json,
        headers=texts.headers(given["headers"]) if "headers" in given else {},
    )


def _statuses(texts: FlowTexts, node: Node) -> tuple[int, ...]:
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        texts.values.wrong(node, "`status` is empty", "write for example 200 or [200, 404]")
    read = [texts.values.integer(item, "status", 100, 599) for item in items]
    return tuple(status for status in read if status is not None)


def read_captures(texts: FlowTexts, node: Node, sources: tuple[str, ...]) -> tuple[Capture, ...]:
    """Known to the steps behind this one."""
    captures = []
    for name, entry in texts.mapping(node, "capture", "names to places in the answer").items():
        if not NAME.fullmatch(name):
            message = f"{quoted(name)} cannot be the name of a captured value"
            texts.values.wrong(entry.key_place, message, "write letters, digits and _")
        elif name in texts.secrets:
            message = f"{quoted(name)} is a secret of the plan"
            texts.values.wrong(entry.key_place, message, "give what is captured another name")
        elif name in texts.columns and not isinstance(texts.columns, AnyName):
            message = f"{quoted(name)} is a column of the rows"
            texts.values.wrong(entry.key_place, message, "give what is captured another name")
        capture = _capture(texts, name, entry.node, sources)
        if capture is not None:
            captures.append(capture)
        texts.captured.add(name)
    return tuple(captures)


def _capture(texts: FlowTexts, name: str, node: Node, sources: tuple[str, ...]) -> Capture | None:
    text = texts.literal(node, f"capture of {name}")
    if text is None:
        return None
    source, colon, what = (part.strip() for part in text.partition(":"))
    if source not in sources or not colon or not what:
        known = " or ".join(f"{source}:..." for source in sources)
        message = f"what is captured is written {known}, not {described(node)}"
        texts.values.wrong(node, message, did_you_mean(source, sources) if source not in sources else None)
        return None
    place = moved(node.place, text.index(":") + 1)
    if source == "regex":
        try:
            re.compile(what)
        except (re.error, OverflowError, RecursionError) as error:
            texts.values.wrong(place, f"this is no regular expression: {error}")
            return None
    elif source == "header" and not HEADER.fullmatch(what):
        texts.values.wrong(place, f"{quoted(what)} is not the name of a header")
    elif source == "json" and not all(what.split(".")):
        texts.values.wrong(place, f"{quoted(what)} is no path in JSON", "write for example items.0.id")
    return Capture(name, source, what)
