"""The section `flows` read into `Flow`s, every mistake kept."""

from __future__ import annotations

import keyword
import math
import os.path
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadproof.errors import Position, UnitError
from loadproof.plan.columns import NAME, columns_of
from loadproof.plan.flows import (
    METHODS,
    NO_TIME,
    SOURCES,
    Alternative,
    Capture,
    Expect,
    Flow,
    Loop,
    Message,
    OneOf,
    Request,
    RowsFile,
    Span,
    Step,
    Think,
    WebSocket,
)
from loadproof.plan.node import (
    MAX_TEXT,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    described,
    did_you_mean,
    moved,
    nearest,
    quoted,
)
from loadproof.plan.overlay import substituted
from loadproof.plan.templates import Reference, parts_of, references
from loadproof.plan.values import MAX_DURATION_US
from loadproof.units import parse_duration

if TYPE_CHECKING:
    import collections.abc

    from loadproof.plan.node import Place
    from loadproof.plan.values import Values

MAX_TURNS: Final = 1_000_000
_KINDS: Final = (*METHODS, "think", "loop", "one_of", "websocket", "send", "receive")
_REQUEST: Final = ("name", "headers", "params", "json", "form", "body", "expect", "check", "capture")
_BODIES: Final = ("json", "form", "body")
_BAD_IN_PATH: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_BAD_IN_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_SPAN: Final = re.compile(r"(.{1,60}?)\.\.(.{1,60})")


def read_flows(
    node: Node,
    values: Values,
    environ: collections.abc.Mapping[str, str],
    secrets: tuple[str, ...] = (),
) -> tuple[tuple[Flow, ...], dict[str, Place]]:
    """The flows without mistakes, and where the name of each is written.

    `${NAME}` is a value of the flow if any of its steps captures that name or its rows have such a column, else
    an environment variable: a misspelt name is a mistake, and nothing outside changes what a flow means. A secret
    stays in the flow as a name, to be looked up when the flow runs.
    """
    if not isinstance(node, Mapping):
        message = f"`flows` must be a mapping of names to flows, not {described(node)}"
        values.wrong(node, message, "for example {Browser: {steps: [{get: /items}]}}")
        return (), {}
    if not node.entries:
        values.wrong(node, "`flows` is empty", "remove it, or add {Browser: {steps: [{get: /items}]}}")
    flows = []
    for name, entry in node.entries.items():
        if not name.isidentifier() or keyword.iskeyword(name) or len(name) > 63:
            message = f"{quoted(name)} cannot be the name of a scenario"
            values.wrong(entry.key_place, message, "write letters, digits and _, such as Browser")
        flow = _FlowReader(values, environ, secrets).flow(name, entry.node)
        if flow is not None:
            flows.append(flow)
    return tuple(flows), {name: entry.key_place for name, entry in node.entries.items()}


class _AnyName(frozenset[str]):
    """Stands in for the columns of rows that cannot be read: nothing is misspelt until they can."""

    def __contains__(self, name: object) -> bool:
        return True


class _FlowReader:
    """One flow; every reader gives None, or what it could read, when it has added a mistake."""

    def __init__(
        self, values: Values, environ: collections.abc.Mapping[str, str], secrets: tuple[str, ...]
    ) -> None:
        self.values = values
        self.environ = environ
        self.secrets = secrets
        self.columns: frozenset[str] = frozenset()
        self.captured: set[str] = set(secrets)
        """On every way to the step that is read."""
        self.remedy = "the headers of a flow know its rows only"
        self.socket: str | None = None
        """The label of the WebSocket that the step is inside."""

    def flow(self, name: str, node: Node) -> Flow | None:
        values = self.values
        before = len(values.mistakes)
        keys = ("weight", "wait", "headers", "rows", "steps")
        given = values.entries(node, f"the flow {quoted(name)}", keys, required=("steps",))
        if given is None:
            return None
        rows = None
        if "rows" in given:
            rows_node = given.pop("rows")
            rows = self._rows(substituted(rows_node, self.environ, values.mistakes, secrets=self.secrets))
            for column in rows.columns if rows is not None else ():
                if column in self.secrets:
                    message = f"the rows have a column {quoted(column)}, and that is a secret of the plan"
                    values.wrong(rows_node, message, "give one of them another name")
            self.columns = frozenset(rows.columns) if rows is not None else _AnyName()
        kept = self.columns
        if not isinstance(kept, _AnyName):
            kept |= {*_captured_names(given.get("steps")), *self.secrets}
        given = {key: substituted(part, self.environ, values.mistakes, kept) for key, part in given.items()}
        weight = values.weight(given["weight"], name) if "weight" in given else 1.0
        wait = self._span(given["wait"], "wait") if "wait" in given else NO_TIME
        headers = self._headers(given["headers"]) if "headers" in given else {}
        self.remedy = "let a step before this one capture it"
        steps = self._steps(given["steps"]) if "steps" in given else ()
        if len(values.mistakes) > before or weight is None or wait is None:
            return None
        return Flow(
            name=name, steps=steps, weight=weight, wait=wait, headers=headers, rows=rows, secrets=self.secrets
        )

    def _rows(self, node: Node) -> RowsFile | None:
        """The file is only opened if `columns`, which an effective plan has, does not name its columns."""
        values = self.values
        given: dict[str, Node] = {"file": node}
        if isinstance(node, Mapping):
            given = values.entries(node, "`rows`", ("file", "reuse", "columns"), required=("file",)) or {}
        text = values.text(given["file"], "rows") if "file" in given else None
        reuse = values.boolean(given["reuse"], "reuse") if "reuse" in given else True
        names = values.items(given["columns"], "columns", "names") if "columns" in given else None
        if text is None or reuse is None:
            return None
        place = given["file"].place
        folder = os.path.dirname(place.file) if isinstance(place, Position) else ""  # noqa: PTH120 text
        path = os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118 resolve() would follow links
        if names is not None:
            columns = [values.named(item, "columns", NAME, "names that ${name} can hold") for item in names]
            return RowsFile(path, tuple(name for name in columns if name is not None), reuse)
        try:
            return RowsFile(path, columns_of(Path(path)), reuse)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            hint = "name a CSV or JSON file, relative to this plan"
            values.wrong(given["file"], f"the rows {quoted(text)} cannot be read: {reason}", hint)
            return None

    def _steps(self, node: Node) -> tuple[Step, ...]:
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
        time = self._span(given["think"], "think")
        return None if time is None else Think(time)

    def _loop(self, node: Mapping) -> Loop | None:
        given = self.values.entries(node, "a `loop` step", ("loop", "steps"), required=("steps",)) or {}
        times = self.values.integer(given["loop"], "loop", 1, MAX_TURNS)
        steps = self._steps(given["steps"]) if "steps" in given else ()
        return None if times is None else Loop(times, steps)

    def _one_of(self, node: Mapping) -> OneOf | None:
        given = self.values.entries(node, "a `one_of` step", ("one_of",)) or {}
        items = self.values.items(given["one_of"], "one_of", "steps") or ()
        before = set(self.captured)
        after: list[set[str]] = []
        alternatives: list[Alternative] = []
        for item in items:
            self.captured = set(before)
            alternative = self._alternative(item)
            after.append(self.captured)
            if alternative is not None:
                alternatives.append(alternative)
        self.captured = set.intersection(*after) if after else before
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
            steps = self._steps(given["steps"])
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
        path = self._path(given["websocket"], "websocket")
        name = values.text(given["name"], "name") if "name" in given else None
        self.socket = WebSocket(path or "/", (), name).label
        steps = self._steps(given["steps"]) if "steps" in given else ()
        self.socket = None
        return None if path is None else WebSocket(path, steps, name)

    def _message(self, node: Mapping) -> Message | None:
        values = self.values
        given = values.entries(node, "a message", ("send", "receive", "check", "capture")) or {}
        if self.socket is None:
            values.wrong(node, "a message needs a WebSocket", "put it below the `steps` of a `websocket`")
            return None
        send = self._template(given["send"], "send") if "send" in given else None
        receive = self._template(given["receive"], "receive") if "receive" in given else None
        for key in ("check", "capture"):
            if key in given and "receive" not in given:
                message = f"{quoted(key)} looks at a message that is received, and there is none"
                values.wrong(given[key], message, 'add `receive: ""` for any message')
        check = self._check_name(given["check"]) if "check" in given else None
        capture = self._captures(given["capture"], ("json", "regex")) if "capture" in given else ()
        named = "" if receive is None else check or self.socket
        return Message(send=send, receive=receive, check=named, capture=capture)

    def _request(self, method: str, node: Mapping) -> Request | None:
        values = self.values
        given = values.entries(node, f"a {quoted(method)} step", (method, *_REQUEST)) or {}
        path = self._path(given[method], method)
        bodies = [key for key in _BODIES if key in given]
        if len(bodies) > 1:
            both = " and ".join(quoted(key) for key in bodies)
            values.wrong(given[bodies[1]], f"a request has one body, and this one has {both}", "remove one")
        json = None
        if "json" in given:
            json = self._json(given["json"], "json")
            if json is None:
                values.wrong(given["json"], f"`json` must be a value, not {described(given['json'])}")
        expect = self._expect(given["expect"]) if "expect" in given else Expect()
        if "check" in given and not expect.is_check:
            message = (
                "`check` names what `expect` looks at, and there is no `text`, `json` or `headers` in it"
            )
            values.wrong(given["check"], message, "a status alone makes the request ok or failed")
        request = Request(
            method=method,
            path=path or "/",
            name=values.text(given["name"], "name") if "name" in given else None,
            headers=self._headers(given["headers"]) if "headers" in given else {},
            params=self._texts(given["params"], "params") if "params" in given else {},
            json=json,
            form=self._texts(given["form"], "form") if "form" in given else None,
            body=self._template(given["body"], "body") if "body" in given else None,
            expect=expect,
            check=self._check_name(given["check"]) if "check" in given else None,
            capture=self._captures(given["capture"], SOURCES) if "capture" in given else (),
        )
        return None if path is None else request

    def _expect(self, node: Node) -> Expect:
        given = self.values.entries(node, "`expect`", ("status", "text", "json", "headers")) or {}
        json: dict[str, Any] = {}
        if "json" in given:
            for path, entry in self._mapping(given["json"], "json", "paths to values").items():
                if not all(path.split(".")):
                    hint = "write for example items.0.id"
                    self.values.wrong(entry.key_place, f"{quoted(path)} is no path in JSON", hint)
                json[path] = self._json(entry.node, "json")
        return Expect(
            status=self._statuses(given["status"]) if "status" in given else (),
            text=self._template(given["text"], "text") if "text" in given else None,
            json=json,
            headers=self._headers(given["headers"]) if "headers" in given else {},
        )

    def _statuses(self, node: Node) -> tuple[int, ...]:
        items = node.items if isinstance(node, Sequence) else (node,)
        if not items:
            self.values.wrong(node, "`status` is empty", "write for example 200 or [200, 404]")
        read = [self.values.integer(item, "status", 100, 599) for item in items]
        return tuple(status for status in read if status is not None)

    def _captures(self, node: Node, sources: tuple[str, ...]) -> tuple[Capture, ...]:
        """Known to the steps behind this one."""
        captures = []
        for name, entry in self._mapping(node, "capture", "names to places in the answer").items():
            if not NAME.fullmatch(name):
                message = f"{quoted(name)} cannot be the name of a captured value"
                self.values.wrong(entry.key_place, message, "write letters, digits and _")
            elif name in self.secrets:
                message = f"{quoted(name)} is a secret of the plan"
                self.values.wrong(entry.key_place, message, "give what is captured another name")
            elif name in self.columns and not isinstance(self.columns, _AnyName):
                message = f"{quoted(name)} is a column of the rows"
                self.values.wrong(entry.key_place, message, "give what is captured another name")
            capture = self._capture(name, entry.node, sources)
            if capture is not None:
                captures.append(capture)
            self.captured.add(name)
        return tuple(captures)

    def _capture(self, name: str, node: Node, sources: tuple[str, ...]) -> Capture | None:
        text = self._literal(node, f"capture of {name}")
        if text is None:
            return None
        source, colon, what = (part.strip() for part in text.partition(":"))
        if source not in sources or not colon or not what:
            known = " or ".join(f"{source}:..." for source in sources)
            message = f"what is captured is written {known}, not {described(node)}"
            self.values.wrong(node, message, did_you_mean(source, sources) if source not in sources else None)
            return None
        place = moved(node.place, text.index(":") + 1)
        if source == "regex":
            try:
                re.compile(what)
            except (re.error, OverflowError, RecursionError) as error:
                self.values.wrong(place, f"this is no regular expression: {error}")
                return None
        elif source == "header" and not _HEADER.fullmatch(what):
            self.values.wrong(place, f"{quoted(what)} is not the name of a header")
        elif source == "json" and not all(what.split(".")):
            self.values.wrong(place, f"{quoted(what)} is no path in JSON", "write for example items.0.id")
        return Capture(name, source, what)

    def _check_name(self, node: Node) -> str | None:
        return self._literal(node, "check")

    def _path(self, node: Node, key: str) -> str | None:
        text = self._template(node, key)
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

    def _headers(self, node: Node) -> dict[str, str]:
        headers = self._texts(node, "headers")
        if isinstance(node, Mapping):
            for name, entry in node.entries.items():
                if not _HEADER.fullmatch(name):
                    self.values.wrong(entry.key_place, f"{quoted(name)} is not the name of a header")
                if _BAD_IN_HEADER.search(headers.get(name, "")):
                    self.values.wrong(entry.node, f"the header {quoted(name)} holds a control character")
        return headers

    def _texts(self, node: Node, key: str) -> dict[str, str]:
        read = {
            name: self._template(entry.node, name)
            for name, entry in self._mapping(node, key, "names to texts").items()
        }
        return {name: text for name, text in read.items() if text is not None}

    def _mapping(self, node: Node, key: str, what: str) -> dict[str, Entry]:
        if isinstance(node, Mapping):
            return node.entries
        self.values.wrong(node, f"{quoted(key)} must be a mapping of {what}, not {described(node)}")
        return {}

    def _json(self, node: Node, key: str) -> Any:
        """A value as JSON has it, its texts templates and its keys as they are."""
        match node:
            case Mapping():
                return {name: self._json(entry.node, name) for name, entry in node.entries.items()}
            case Sequence():
                return [self._json(item, key) for item in node.items]
            case Scalar(value=str()):
                return self._template(node, key)
            case Scalar(value=float(number)) if not math.isfinite(number):
                self.values.wrong(node, f"JSON has no number {described(node)}")
        assert isinstance(node, Scalar)
        return node.value

    def _template(self, node: Node, key: str) -> str | None:
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

    def _literal(self, node: Node, key: str) -> str | None:
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

    def _span(self, node: Node, key: str) -> Span | None:
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


def _captured_names(steps: Node | None) -> frozenset[str]:
    """Every name that some step captures, whatever else is wrong with the steps."""
    names: set[str] = set()
    for item in steps.items if isinstance(steps, Sequence) else ():
        if not isinstance(item, Mapping):
            continue
        for key, entry in item.entries.items():
            if key == "capture" and isinstance(entry.node, Mapping):
                names |= set(entry.node.entries)
            elif key in {"steps", "one_of"}:
                names |= _captured_names(entry.node)
    return frozenset(names)
