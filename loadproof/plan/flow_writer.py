"""A flow as the mapping that a plan file would hold."""

from __future__ import annotations

from typing import Any

from loadproof.plan.flows import (
    NO_TIME,
    Alternative,
    Capture,
    Expect,
    Flow,
    Loop,
    Message,
    OneOf,
    Request,
    Span,
    Step,
    Think,
    WebSocket,
)
from loadproof.units import duration_text


class Template(str):
    """A text that is written as it is: the `${` in it are meant."""

    __slots__ = ()


def flow_document(flow: Flow) -> dict[str, object]:
    """Without the name, which is its key; defaults are left out."""
    document: dict[str, object] = {}
    if flow.weight != 1:
        document["weight"] = _number(flow.weight)
    if flow.wait != NO_TIME:
        document["wait"] = _span(flow.wait)
    if flow.headers:
        document["headers"] = _templates(flow.headers)
    if flow.rows is not None:
        rows: dict[str, object] = {"file": flow.rows.file, "columns": list(flow.rows.columns)}
        document["rows"] = rows if flow.rows.reuse else {**rows, "reuse": False}
    document["steps"] = [_step(step) for step in flow.steps]
    return document


def _step(step: Step) -> dict[str, object]:
    match step:
        case Request():
            return _request(step)
        case Think():
            return {"think": _span(step.time)}
        case Loop():
            return {"loop": step.times, "steps": [_step(inner) for inner in step.steps]}
        case OneOf():
            return {"one_of": [_alternative(alternative) for alternative in step.alternatives]}
        case WebSocket():
            document: dict[str, object] = {"websocket": Template(step.path)}
            if step.name is not None:
                document["name"] = Template(step.name)
            return {**document, "steps": [_step(inner) for inner in step.steps]}
        case Message():
            return _message(step)


def _alternative(alternative: Alternative) -> dict[str, object]:
    """No deeper than a user can have written it: the depth of a plan is bounded."""
    weight = {"weight": _number(alternative.weight)}
    if len(alternative.steps) == 1:
        return {**weight, **_step(alternative.steps[0])}
    return {**weight, "steps": [_step(step) for step in alternative.steps]}


def _request(step: Request) -> dict[str, object]:
    document: dict[str, object] = {step.method: Template(step.path)}
    if step.name is not None:
        document["name"] = Template(step.name)
    if step.headers:
        document["headers"] = _templates(step.headers)
    if step.params:
        document["params"] = _templates(step.params)
    if step.json is not None:
        document["json"] = _json(step.json)
    if step.form is not None:
        document["form"] = _templates(step.form)
    if step.body is not None:
        document["body"] = Template(step.body)
    if step.expect != Expect():
        document["expect"] = _expect(step.expect)
    if step.check is not None:
        document["check"] = step.check
    if step.capture:
        document["capture"] = _captures(step.capture)
    return document


def _expect(expect: Expect) -> dict[str, object]:
    document: dict[str, object] = {}
    if expect.status:
        document["status"] = list(expect.status) if len(expect.status) > 1 else expect.status[0]
    if expect.text is not None:
        document["text"] = Template(expect.text)
    if expect.json:
        document["json"] = _json(expect.json)
    if expect.headers:
        document["headers"] = _templates(expect.headers)
    return document


def _message(step: Message) -> dict[str, object]:
    document: dict[str, object] = {}
    if step.send is not None:
        document["send"] = Template(step.send)
    if step.receive is not None:
        document |= {"receive": Template(step.receive), "check": step.check}
    if step.capture:
        document["capture"] = _captures(step.capture)
    return document


def _captures(captures: tuple[Capture, ...]) -> dict[str, object]:
    return {capture.name: f"{capture.source}:{capture.what}" for capture in captures}


def _templates(texts: dict[str, str]) -> dict[Template, Template]:
    return {Template(name): Template(text) for name, text in texts.items()}


def _json(value: Any) -> Any:
    """Keys are no templates, but no reader replaces anything in them either."""
    match value:
        case dict():
            return {Template(name): _json(inner) for name, inner in value.items()}
        case list():
            return [_json(inner) for inner in value]
        case str():
            return Template(value)
    return value


def _span(span: Span) -> str:
    if span.low_us == span.high_us:
        return duration_text(span.low_us)
    return f"{duration_text(span.low_us)}..{duration_text(span.high_us)}"


def _number(value: float) -> float:
    return int(value) if value.is_integer() else value
