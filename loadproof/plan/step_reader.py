"""The steps of a flow, and the steps inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadproof.plan.answer_reader import read_captures, read_expect
from loadproof.plan.flows import (
    METHODS,
    SOURCES,
    Alternative,
    Expect,
    Loop,
    Message,
    OneOf,
    Request,
    Step,
    Think,
    WebSocket,
)
from loadproof.plan.node import Mapping, Node, described, nearest, quoted

if TYPE_CHECKING:
    from loadproof.plan.flow_texts import FlowTexts

MAX_TURNS: Final = 1_000_000
_KINDS: Final = (*METHODS, "think", "loop", "one_of", "websocket", "send", "receive")
_REQUEST: Final = ("name", "headers", "params", "json", "form", "body", "expect", "check", "capture")
_BODIES: Final = ("json", "form", "body")


class StepReader:
    """Every reader gives None, or what it could read, when it has added a mistake."""

    def __init__(self, texts: FlowTexts) -> None:
        self.texts = texts
        self.values = texts.values
        self.socket: str | None = None
        """The label of the WebSocket that the step is inside."""

    def steps(self, node: Node) -> tuple[Step, ...]:
        items = self.values.items(node, "steps", "steps")
        if items is not None and not items:
            self.values.wrong(node, "`steps` is empty", "add a step such as {get: /items}")
        return tuple(step for item in items or () if (step := self._step(item)) is not None)

    def _step(self, node: Node) -> Step | None:
        if not isinstance(node, Mapping):
            self.values.wrong(
                node, f"a step must be a mapping such as {{get: /items}}, not {described(node)}"
            )
            return None
        kinds = [kind for kind in _KINDS if kind in node.entries]
        if not kinds:
            self._wrong_kind(node)
            return None
        if len(kinds) > 1 and kinds != ["send", "receive"]:
            both = " and ".join(quoted(kind) for kind in kinds)
            self.values.wrong(node, f"a step does one thing, and this one has {both}", "make it two steps")
            return None
        match kinds[0]:
            case "think":
                return self._think(node)
            case "loop":
                return self._loop(node)
            case "one_of":
                return self._one_of(node)
            case "websocket":
                return self._websocket(node)
            case "send" | "receive":
                return self._message(node)
            case method:
                return self._request(method, node)

    def _wrong_kind(self, node: Mapping) -> None:
        known = [*_KINDS[:-2], *(_KINDS[-2:] if self.socket is not None else ())]
        for name, entry in node.entries.items():
            if name not in _REQUEST and (near := nearest(name, known)):
                self.values.wrong(
                    entry.key_place, f"there is no step {quoted(name)}", f"did you mean `{near}`?"
                )
                return
        self.values.wrong(node, f"a step needs one of {', '.join(known)}")

    def _think(self, node: Mapping) -> Think | None:
        given = self.values.entries(node, "a `think` step", ("think",)) or {}
        time = self.texts.span(given["think"], "think")
        return None if time is None else Think(time)

    def _loop(self, node: Mapping) -> Loop | None:
        given = self.values.entries(node, "a `loop` step", ("loop", "steps"), required=("steps",)) or {}
        times = self.values.integer(given["loop"], "loop", 1, MAX_TURNS)
        steps = self.steps(given["steps"]) if "steps" in given else ()
        return None if times is None else Loop(times, steps)

    def _one_of(self, node: Mapping) -> OneOf | None:
        given = self.values.entries(node, "a `one_of` step", ("one_of",)) or {}
        items = self.values.items(given["one_of"], "one_of", "steps") or ()
        before = set(self.texts.captured)
        after: list[set[str]] = []
        alternatives: list[Alternative] = []
        for item in items:
            self.texts.captured = set(before)
            alternative = self._alternative(item)
            after.append(self.texts.captured)
            if alternative is not None:
                alternatives.append(alternative)
        self.texts.captured = set.intersection(*after) if after else before
        if len(alternatives) == len(items) and not any(one.weight for one in alternatives):
            example = "for example [{weight: 3, get: /items}, {get: /cart}]"
            self.values.wrong(node, "`one_of` has nothing to choose", example)
        return OneOf(tuple(alternatives))

    def _alternative(self, node: Node) -> Alternative | None:
        """`{weight: 3, steps: [...]}`, or one step with a weight beside its other keys."""
        weight: float | None = 1.0
        if isinstance(node, Mapping) and "weight" in node.entries:
            weight = self.values.weight(node.entries["weight"].node, "one_of")
            rest = {name: entry for name, entry in node.entries.items() if name != "weight"}
            node = Mapping(rest, node.place)
        if isinstance(node, Mapping) and "steps" in node.entries and not set(_KINDS) & set(node.entries):
            given = self.values.entries(node, "an alternative", ("weight", "steps")) or {}
            steps = self.steps(given["steps"])
        else:
            step = self._step(node)
            steps = () if step is None else (step,)
        return None if weight is None else Alternative(weight, steps)

    def _websocket(self, node: Mapping) -> WebSocket | None:
        values = self.values
        keys = ("websocket", "name", "steps")
        given = values.entries(node, "a `websocket` step", keys, required=("steps",)) or {}
        if self.socket is not None:
            values.wrong(node, "a WebSocket cannot stand inside another", "put it behind the other's steps")
            return None
        path = self.texts.path(given["websocket"], "websocket")
        name = values.text(given["name"], "name") if "name" in given else None
        self.socket = WebSocket(path or "/", (), name).label
        steps = self.steps(given["steps"]) if "steps" in given else ()
        self.socket = None
        return None if path is None else WebSocket(path, steps, name)

    def _message(self, node: Mapping) -> Message | None:
        values = self.values
        given = values.entries(node, "a message", ("send", "receive", "check", "capture")) or {}
        if self.socket is None:
            values.wrong(node, "a message needs a WebSocket", "put it below the `steps` of a `websocket`")
            return None
        send = self.texts.template(given["send"], "send") if "send" in given else None
        receive = self.texts.template(given["receive"], "receive") if "receive" in given else None
        for key in ("check", "capture"):
            if key in given and "receive" not in given:
                message = f"{quoted(key)} looks at a message that is received, and there is none"
                values.wrong(given[key], message, 'add `receive: ""` for any message')
        check = self.texts.literal(given["check"], "check") if "check" in given else None
        capture = read_captures(self.texts, given["capture"], ("json", "regex")) if "capture" in given else ()
        named = "" if receive is None else check or self.socket
        return Message(send=send, receive=receive, check=named, capture=capture)

    def _request(self, method: str, node: Mapping) -> Request | None:
        values = self.values
        given = values.entries(node, f"a {quoted(method)} step", (method, *_REQUEST)) or {}
        path = self.texts.path(given[method], method)
        bodies = [key for key in _BODIES if key in given]
        if len(bodies) > 1:
            both = " and ".join(quoted(key) for key in bodies)
            values.wrong(given[bodies[1]], f"a request has one body, and this one has {both}", "remove one")
        json = None
        if "json" in given:
            json = self.texts.json(given["json"], "json")
            if json is None:
                values.wrong(given["json"], f"`json` must be a value, not {described(given['json'])}")
        expect = read_expect(self.texts, given["expect"]) if "expect" in given else Expect()
        if "check" in given and not expect.is_check:
            message = (
                "`check` names what `expect` looks at, and there is no `text`, `json` or `headers` in it"
            )
            values.wrong(given["check"], message, "a status alone makes the request ok or failed")
        request = Request(
            method=method,
            path=path or "/",
            name=values.text(given["name"], "name") if "name" in given else None,
            headers=self.texts.headers(given["headers"]) if "headers" in given else {},
            params=self.texts.texts(given["params"], "params") if "params" in given else {},
            json=json,
            form=self.texts.texts(given["form"], "form") if "form" in given else None,
            body=self.texts.template(given["body"], "body") if "body" in given else None,
            expect=expect,
            check=self.texts.literal(given["check"], "check") if "check" in given else None,
            capture=read_captures(self.texts, given["capture"], SOURCES) if "capture" in given else (),
        )
        return None if path is None else request
