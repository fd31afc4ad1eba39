"""The `faults` of a plan: what is broken on purpose, when, and for how long."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.errors import UnitError
from loadproof.plan.core_schema import resolved
from loadproof.plan.model import EMBEDDED, NO_FAULT, Fault
from loadproof.plan.node import Mapping, Scalar, described, did_you_mean, nearest, quoted
from loadproof.units import duration_text, format_bytes, format_duration, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Phase, Setting
    from loadproof.plan.node import Node, Place
    from loadproof.plan.values import PlanPath, Values


class Unit(StrEnum):
    US = "microseconds"
    BYTES_PER_S = "bytes/s"
    BYTES = "bytes"
    CORES = "cores"
    """Text: `1.5`, or a share of all, `80%`."""
    NETWORK = "network"
    """Text: an address, or many of them as 10.0.0.0/8."""
    PORT = "port"
    TEXT = "text"
    PART = "part"
    """Of what is tested: `target`."""
    SWITCHES = "switches"
    """Name -> value, as the target's `PUT /switches` takes them."""


class Key(NamedTuple):
    unit: Unit
    needed: bool = True


_TARGET: Final = "target"
_OF: Final = {"of": Key(Unit.PART, needed=False)}
SWITCHED: Final = (
    "database-down",
    "gateway-timeout",
    "memory-pressure",
    "component-crash",
    "state-corruption",
    "storage-down",
    "config-missing",
)
"""Kinds that are one switch of the target, called the same but for `_`, turned on."""
_LIMITS: Final = {"cores": Key(Unit.CORES, needed=False), "memory": Key(Unit.BYTES, needed=False)}
_CONTAINER: Final = {"container": Key(Unit.TEXT)}
KINDS: Final[dict[str, dict[str, Key]]] = {
    "switch": {"set": Key(Unit.SWITCHES)},
    **{kind: {} for kind in SWITCHED},
    "latency": {"latency": Key(Unit.US), "jitter": Key(Unit.US, needed=False)},
    "bandwidth": {"bandwidth": Key(Unit.BYTES_PER_S)},
    "blackhole": {},
    "refuse": {},
    "reset": {},
    "half_open": {},
    "slow_close": {"delay": Key(Unit.US)},
    "pause": _OF,
    "kill": _OF,
    "restart": _OF,
    "squeeze": {**_OF, **_LIMITS},
    "container_pause": _CONTAINER,
    "container_kill": _CONTAINER,
    "container_disconnect": {**_CONTAINER, "network": Key(Unit.TEXT, needed=False)},
    "container_limits": {**_CONTAINER, **_LIMITS},
    "partition": {
        "namespace": Key(Unit.TEXT),
        "address": Key(Unit.NETWORK, needed=False),
        "port": Key(Unit.PORT, needed=False),
    },
    "command": {
        "command": Key(Unit.TEXT),
        "revert": Key(Unit.TEXT),
        "timeout": Key(Unit.US, needed=False),
    },
    "memory_load": {"memory": Key(Unit.BYTES)},
    "cpu_load": {"cores": Key(Unit.CORES)},
    "file_load": {
        "size": Key(Unit.BYTES),
        "rate": Key(Unit.BYTES_PER_S, needed=False),
        "folder": Key(Unit.TEXT, needed=False),
    },
    "network_load": {"rate": Key(Unit.BYTES_PER_S)},
}
"""Kind -> the keys that it takes beside those of every fault."""
PROXIED: Final = frozenset(
    {"latency", "bandwidth", "blackhole", "refuse", "reset", "half_open", "slow_close"}
)
"""Kinds that are made on the way between workers and target."""
OF_TARGET: Final = frozenset({"pause", "kill", "restart", "squeeze"})
"""Kinds that break the target's processes on this machine."""
RESTARTING: Final = frozenset({"kill", "restart"})
"""Kinds after which other processes stand in for those of the target, which have forgotten what they counted."""
_OF_CONTAINER: Final = {
    "container_pause": "processes",
    "container_kill": "processes",
    "container_disconnect": "networks",
    "container_limits": "limits",
}
COMMON: Final = ("kind", "name", "at", "for")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,62}", re.ASCII)
_NAME_RULE: Final = "letters, digits, `-`, `_` and `.`"
_CORES: Final = re.compile(r"\d{1,5}(\.\d{1,3})?%?")
MOST_CORES: Final = 10_000
LAST_PORT: Final = 65_535
_SWITCH: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def read_faults(
    node: Node,
    values: Values,
    places: dict[PlanPath, Place],
    load: Sequence[Phase] | None,
    target: str,
) -> tuple[Fault, ...]:
    """Those that are right; every other one is a mistake."""
    items = values.items(node, "faults", "faults") or ()
    reader = _Reader(values, places, target)
    # A name that is written goes before those that follow from the kind, wherever it stands.
    names = [reader.name(item) for item in items]
    found = [reader.fault(item, name) for item, name in zip(items, names, strict=True)]
    whole = [(item, fault) for item, fault in zip(items, found, strict=True) if fault is not None]
    end_us = sum(phase.duration_us for phase in load) if load else None
    for item, fault in whole:
        if end_us is not None and fault.until_us > end_us:
            message = f"the fault {quoted(fault.name)} would end after the plan, which lasts {format_duration(end_us)}"
            values.wrong(item, message, f"it would last until {format_duration(fault.until_us)}")
    _tell_overlaps(whole, values)
    return tuple(fault for _, fault in whole)


def setting_text(kind: str, key: str, value: Setting) -> str:
    """As a plan says it, exactly."""
    match KINDS[kind][key].unit:
        case Unit.US if isinstance(value, int):
            return duration_text(value)
        case Unit.BYTES_PER_S:
            return f"{value}B/s"
        case Unit.BYTES:
            return f"{value}B"
        case _:
            return str(value)


def settings_text(fault: Fault) -> str:
    """As a reader likes it: `200 ms, jitter 50 ms`."""
    told = []
    for key, value in fault.settings.items():
        match KINDS[fault.kind][key].unit:
            case Unit.US if isinstance(value, int):
                text = format_duration(value)
            case Unit.BYTES_PER_S if isinstance(value, int):
                text = f"{format_bytes(value)}/s"
            case Unit.BYTES if isinstance(value, int):
                text = format_bytes(value)
            case Unit.SWITCHES if isinstance(value, dict):
                text = " ".join(f"{name}={one}" for name, one in value.items())
            case _:
                text = str(value)
        told.append(text if key in {fault.kind, "set", "container"} else f"{key} {text}")
    return ", ".join(told)


class _Reader:
    def __init__(self, values: Values, places: dict[PlanPath, Place], target: str) -> None:
        self._values = values
        self._places = places
        self._target = target
        self._taken: set[str] = set()

    def name(self, node: Node) -> str | None:
        """The name that is written, if any; a mistake where another fault has it."""
        if not isinstance(node, Mapping) or "name" not in node.entries:
            return None
        written = node.entries["name"].node
        name = self._values.named(written, "name", _NAME, _NAME_RULE)
        if name == NO_FAULT:
            message = f"a fault cannot be called {quoted(NO_FAULT)}: rules mean by it what lies outside of all faults"
            self._values.wrong(written, message, "give it another name")
        self._values.distinct(self._places, ("faults", name), written, "fault")
        if name is not None:
            self._taken.add(name)
        return name

    def fault(self, node: Node, name: str | None) -> Fault | None:
        values = self._values
        before = len(values.mistakes)
        kind = self._kind(node)
        if kind is None or not isinstance(node, Mapping):
            return None
        keys = KINDS[kind]
        required = ("at", "for", *(key for key, asked in keys.items() if asked.needed))
        given = values.entries(node, f"a fault of kind {quoted(kind)}", (*COMMON, *keys), required) or {}
        at_us = values.duration(given["at"], "at", 0) if "at" in given else None
        for_us = values.duration(given["for"], "for") if "for" in given else None
        settings = {key: self._setting(key, keys[key].unit, given[key]) for key in keys if key in given}
        if kind in RESTARTING and self._target != EMBEDDED:
            message = "a run kills only the target that it has started, and can start again"
            values.wrong(node, message, "write `target: embedded`, or use `pause` or `command`")
        if at_us is None or for_us is None or len(values.mistakes) > before:
            return None
        whole = {key: value for key, value in settings.items() if value is not None}
        if kind in OF_TARGET:
            whole.setdefault("of", _TARGET)
        if _LIMITS.keys() <= keys.keys() and _LIMITS.keys().isdisjoint(whole):
            values.wrong(node, f"a fault of kind {quoted(kind)} needs `cores` or `memory`")
            return None
        latency, jitter = whole.get("latency"), whole.get("jitter")
        if isinstance(latency, int) and isinstance(jitter, int) and jitter > latency:
            values.wrong(
                given["jitter"], "`jitter` must be at most `latency`: nothing comes before it was sent"
            )
            return None
        return Fault(
            kind=kind, name=name or self._free_name(kind), at_us=at_us, for_us=for_us, settings=whole
        )

    def _kind(self, node: Node) -> str | None:
        if not isinstance(node, Mapping):
            message = f"a fault must be a mapping with kind, at, for and so on, not {described(node)}"
            self._values.wrong(node, message, "for example {kind: pause, of: target, at: 2m, for: 30s}")
            return None
        if "kind" not in node.entries:
            near = nearest("kind", node.entries)
            hint = f"write `kind` in place of `{near}`" if near else f"known are {', '.join(KINDS)}"
            self._values.wrong(node, "a fault needs `kind`", hint)
            return None
        written = node.entries["kind"].node
        kind = self._values.text(written, "kind")
        if kind is None or kind in KINDS:
            return kind
        hint = did_you_mean(kind, KINDS) or f"known are {', '.join(KINDS)}"
        self._values.wrong(written, f"there is no fault of kind {quoted(kind)}", hint)
        return None

    def _setting(self, key: str, unit: Unit, node: Node) -> Setting | None:
        values = self._values
        match unit:
            case Unit.US:
                return values.duration(node, key)
            case Unit.BYTES_PER_S:
                return self._bytes(key, node, "a rate such as 100kB/s", "/s")
            case Unit.BYTES:
                return self._bytes(key, node, "a size such as 512MB")
            case Unit.CORES:
                return self._cores(key, node)
            case Unit.TEXT:
                return values.text(node, key)
            case Unit.NETWORK:
                return self._network(key, node)
            case Unit.PORT:
                return self._port(key, node)
            case Unit.PART:
                text = values.text(node, key)
                if text is not None and text != _TARGET:
                    values.wrong(node, f"`{key}` must be `{_TARGET}`, not {described(node)}")
                    return None
                return text
            case Unit.SWITCHES:
                return self._switches(key, node)

    def _bytes(self, key: str, node: Node, wanted: str, per: str = "") -> int | None:
        text = str(getattr(node, "text", "")).strip()
        try:
            amount = parse_bytes(text.removesuffix(per)) if text.endswith(per) else 0
        except UnitError:
            amount = 0
        if amount:
            return amount
        self._values.wrong(node, f"{quoted(key)} must be {wanted}, not {described(node)}")
        return None

    def _network(self, key: str, node: Node) -> str | None:
        text = self._values.text(node, key)
        try:
            return None if text is None else str(ip_network(text, strict=False))
        except ValueError:
            message = (
                f"{quoted(key)} must be an address or a network such as 198.18.0.0/15, not {described(node)}"
            )
            self._values.wrong(node, message)
            return None

    def _port(self, key: str, node: Node) -> int | None:
        text = str(getattr(node, "text", "")).strip()
        if text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= LAST_PORT:
            return int(text)
        self._values.wrong(node, f"{quoted(key)} must be a port from 1 to {LAST_PORT}, not {described(node)}")
        return None

    def _cores(self, key: str, node: Node) -> str | None:
        text = str(getattr(node, "text", "")).strip()
        if _CORES.fullmatch(text) and 0 < float(text.rstrip("%")) <= (
            100 if text.endswith("%") else MOST_CORES
        ):
            return text
        message = f"{quoted(key)} must be a number of cores such as 1.5, or a share of all such as 80%, not {described(node)}"
        self._values.wrong(node, message)
        return None

    def _switches(self, key: str, node: Node) -> dict[str, bool | int | float | str] | None:
        if not isinstance(node, Mapping) or not node.entries:
            what = "an empty mapping" if isinstance(node, Mapping) else described(node)
            message = f"{quoted(key)} must be a mapping of the target's switches to values, not {what}"
            self._values.wrong(node, message, "for example {slow: 200ms, errors: 0.2}")
            return None
        found: dict[str, bool | int | float | str] = {}
        for name, entry in node.entries.items():
            if not _SWITCH.fullmatch(name):
                self._values.wrong(entry.key_place, f"{quoted(name)} is not the name of a switch")
            value = _scalar(entry.node)
            if value is None:
                message = f"the switch {quoted(name)} needs a number, a text, true or false, not {described(entry.node)}"
                self._values.wrong(entry.node, message)
            else:
                found[name] = value
        return found

    def _free_name(self, kind: str) -> str:
        number = 1
        name = kind
        while name in self._taken:
            number += 1
            name = f"{kind}-{number}"
        self._taken.add(name)
        return name


def _scalar(node: Node) -> bool | int | float | str | None:
    """None for what no switch takes."""
    if not isinstance(node, Scalar):
        return None
    value = node.value if node.template is None else resolved(node.text)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell_overlaps(found: Sequence[tuple[Node, Fault]], values: Values) -> None:
    """A mistake for each fault that breaks what another has broken already: the first to end would end both."""
    for index, (_, fault) in enumerate(found):
        for other_item, other in found[index + 1 :]:
            shared = _broken(fault) & _broken(other)
            if shared and fault.at_us < other.until_us and other.at_us < fault.until_us:
                message = f"the faults {quoted(fault.name)} and {quoted(other.name)} overlap, and both break {min(shared)}"
                values.wrong(other_item, message, "let one begin when the other is over")


def switches_of(fault: Fault) -> dict[str, bool | int | float | str]:
    """Those of the target that the fault sets, and how; none for a fault of another sort."""
    if fault.kind in SWITCHED:
        return {fault.kind.replace("-", "_"): True}
    switches = fault.settings.get("set")
    return dict(switches) if isinstance(switches, dict) else {}


def _broken(fault: Fault) -> set[str]:
    """What only one fault at a time can break."""
    if fault.kind in OF_TARGET:
        return {"the target's processes"}
    container = fault.settings.get("container")
    if container is not None:
        return {f"the {_OF_CONTAINER[fault.kind]} of the container `{container}`"}
    return {f"the switch `{name}`" for name in switches_of(fault)}
