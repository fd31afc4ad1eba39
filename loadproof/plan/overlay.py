"""What changes a plan's tree before it is read: overlays, `--set`, and `${NAME}` from the environment."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loadproof.plan.document import MAX_DEPTH, read_text
from loadproof.plan.node import (
    MAX_TEXT,
    Entry,
    Mapping,
    Node,
    Place,
    Scalar,
    Sequence,
    did_you_mean,
    mistake_at,
    moved,
    quoted,
    without_credentials,
)
from loadproof.plan.templates import Part, Reference, template_of

if TYPE_CHECKING:
    import collections.abc

    from loadproof.errors import Mistake

_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\})?")
_NAME_AND_DEFAULT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_MAX_INDEX_DIGITS: Final = 6


def merged(base: Node, over: Node) -> Node:
    """Mappings merge key by key at every depth; a list or a value replaces what was there."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        if name in entries:
            entry = replace(entry, node=merged(entries[name].node, entry.node))  # noqa: PLW2901 still the same entry
        entries[name] = entry
    return Mapping(entries, base.place)


def with_setting(root: Mapping, setting: str, mistakes: list[Mistake]) -> Mapping:
    """The tree after `--set path=value`: the path is like `load.1.duration`, the value is YAML."""
    flag = without_credentials(f"--set {setting}")
    path, equals, text = setting.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps) or len(steps) > MAX_DEPTH:
        message = "a setting is written path=value"
        mistakes.append(mistake_at(flag, message, "for example --set load.1.duration=30s"))
        return root
    if steps[0] == "overlays":
        mistakes.append(mistake_at(flag, "overlays are chosen with --env, they cannot be set"))
        return root
    value = read_text(text, flag, mistakes, is_flag=True) if text.strip() else Scalar(None, "", flag)
    if value is None:
        return root
    try:
        changed = _placed(root, steps, "", value, flag)
    except _NoSuchPlaceError as error:
        mistakes.append(mistake_at(flag, str(error), error.hint))
        return root
    assert isinstance(changed, Mapping)
    return changed


def substituted(
    node: Node,
    environ: collections.abc.Mapping[str, str],
    mistakes: list[Mistake],
    kept: collections.abc.Collection[str] | None = None,
    *,
    secrets: collections.abc.Collection[str] = (),
) -> Node:
    """The tree with `${NAME}` and `${NAME:-default}` replaced in every text; `$${` stands for `${` itself.

    As in a shell, the default also takes the place of an empty variable. Keys are left alone.

    With `kept`, the names that a flow knows, every text becomes a template: these names are left in it. Any other
    use of one of the `secrets` would be written into the effective plan, and is a mistake.
    """
    if isinstance(node, Mapping):
        entries = {
            name: replace(entry, node=substituted(entry.node, environ, mistakes, kept, secrets=secrets))
            for name, entry in node.entries.items()
        }
        return Mapping(entries, node.place)
    if isinstance(node, Sequence):
        items = (substituted(item, environ, mistakes, kept, secrets=secrets) for item in node.items)
        return Sequence(tuple(items), node.place)
    if not isinstance(node.value, str) or "${" not in node.text or len(node.text) > MAX_TEXT:
        return node  # no key takes a longer text: its reader says so
    has_variable = False
    before = len(mistakes)

    def value_of(match: re.Match[str]) -> Part:
        nonlocal has_variable
        if match[0] == "$${":
            return "${"
        if match[2] is not None and kept is not None and match[1] in kept:
            return Reference(match[1])
        has_variable = True
        place = moved(node.place, match.start())
        parts = _NAME_AND_DEFAULT.fullmatch(match[1])
        if match[2] is None or parts is None:
            message = (
                "`${` needs the name of a variable and a closing brace, as in ${NAME} or ${NAME:-default}"
            )
            mistakes.append(mistake_at(place, message, "write `$${` for the text itself"))
            return ""
        name, default = parts.groups()
        if kept is not None and name in kept:
            message = f"{quoted(name)} is a value of the flow, and takes no default"
            mistakes.append(mistake_at(place, message, f"write ${{{name}}}"))
            return ""
        if name in secrets:
            message = f"{quoted(name)} is a secret of the plan, and would be written down here"
            mistakes.append(
                mistake_at(place, message, "only paths, headers and bodies of flows take secrets")
            )
            return ""
        value = environ.get(name)
        if default is not None:
            return value or str(default)
        if value is None:
            message = f"the environment variable {quoted(name)} is not set"
            hint = f"set it, or give a default: ${{{name}:-value}}"
            if kept is not None:
                message = f"no step captures {quoted(name)}, it is no column of the rows, and {message}"
                hint = did_you_mean(name, kept) or hint
            mistakes.append(mistake_at(place, message, hint))
            return ""
        return value

    pieces: list[Part] = []
    at = 0
    for match in _VARIABLE.finditer(node.text):
        pieces += [node.text[at : match.start()], value_of(match)]
        at = match.end()
    pieces.append(node.text[at:])
    if kept is None:
        text = "".join(map(str, pieces))
    else:
        try:
            text = template_of(pieces)
        except ValueError as error:
            mistakes.append(mistake_at(node.place, str(error), "let the variable hold no $ at its end"))
            text = ""
    template = node.text if has_variable else None
    return Scalar(text, text, node.place, template, unset=len(mistakes) > before)


class _NoSuchPlaceError(Exception):
    def __init__(self, message: str, hint: str | None = None) -> None:
        self.hint = hint
        super().__init__(message)


def _placed(node: Node, steps: list[str], walked: str, value: Node, flag: Place) -> Node:
    """The node with `value` at the end of `steps`; `walked` is the path so far, for messages."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    here = f"{walked}.{step}" if walked else step
    if isinstance(node, Sequence):
        index = int(step) if step.isdecimal() and len(step) <= _MAX_INDEX_DIGITS else len(node.items)
        if index >= len(node.items):
            last = len(node.items) - 1
            raise _NoSuchPlaceError(
                f"{quoted(walked)} has no item {quoted(step)}",
                f"its items are numbered 0 to {last}" if last >= 0 else "it is empty",
            )
        items = list(node.items)
        items[index] = _placed(items[index], rest, here, value, flag)
        return Sequence(tuple(items), node.place)
    if isinstance(node, Mapping):
        entry = node.entries.get(step)
        if entry is None and rest and rest[0].isdecimal():
            raise _NoSuchPlaceError(f"there is no {quoted(here)} to change", did_you_mean(step, node.entries))
        inner = entry.node if entry else Mapping({}, flag)
        changed = Entry(_placed(inner, rest, here, value, flag), entry.key_place if entry and rest else flag)
        return Mapping({**node.entries, step: changed}, node.place)
    raise _NoSuchPlaceError(f"{quoted(walked)} is a single value, it has no {quoted(step)}")
