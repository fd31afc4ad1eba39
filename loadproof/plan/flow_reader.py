"""The section `flows` read into `Flow`s, every mistake kept."""

from __future__ import annotations

import keyword
import os.path
from pathlib import Path
from typing import TYPE_CHECKING

from loadproof.errors import Position
from loadproof.plan.columns import NAME, columns_of
from loadproof.plan.flow_texts import AnyName, FlowTexts
from loadproof.plan.flows import NO_TIME, Flow, RowsFile
from loadproof.plan.node import Mapping, Node, Sequence, described, quoted
from loadproof.plan.overlay import substituted
from loadproof.plan.step_reader import StepReader

if TYPE_CHECKING:
    import collections.abc

    from loadproof.plan.node import Place
    from loadproof.plan.values import Values


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
        flow = _flow(name, entry.node, values, environ, secrets)
        if flow is not None:
            flows.append(flow)
    return tuple(flows), {name: entry.key_place for name, entry in node.entries.items()}


def _flow(
    name: str,
    node: Node,
    values: Values,
    environ: collections.abc.Mapping[str, str],
    secrets: tuple[str, ...],
) -> Flow | None:
    before = len(values.mistakes)
    keys = ("weight", "wait", "headers", "rows", "steps")
    given = values.entries(node, f"the flow {quoted(name)}", keys, required=("steps",))
    if given is None:
        return None
    texts = FlowTexts(values, secrets)
    rows = None
    if "rows" in given:
        rows_node = given.pop("rows")
        rows = _rows(substituted(rows_node, environ, values.mistakes, secrets=secrets), values)
        for column in rows.columns if rows is not None else ():
            if column in secrets:
                message = f"the rows have a column {quoted(column)}, and that is a secret of the plan"
                values.wrong(rows_node, message, "give one of them another name")
        texts.columns = frozenset(rows.columns) if rows is not None else AnyName()
    kept = texts.columns
    if not isinstance(kept, AnyName):
        kept |= {*_captured_names(given.get("steps")), *secrets}
    given = {key: substituted(part, environ, values.mistakes, kept) for key, part in given.items()}
    weight = values.weight(given["weight"], name) if "weight" in given else 1.0
    wait = texts.span(given["wait"], "wait") if "wait" in given else NO_TIME
    headers = texts.headers(given["headers"]) if "headers" in given else {}
    texts.remedy = "let a step before this one capture it"
    steps = StepReader(texts).steps(given["steps"]) if "steps" in given else ()
    if len(values.mistakes) > before or weight is None or wait is None:
        return None
    return Flow(name=name, steps=steps, weight=weight, wait=wait, headers=headers, rows=rows, secrets=secrets)


def _rows(node: Node, values: Values) -> RowsFile | None:
    """The file is only opened if `columns`, which an effective plan has, does not name its columns."""
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
