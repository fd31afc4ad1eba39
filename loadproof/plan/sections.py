"""The tree read section by section into a `Plan`, every mistake kept."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final, TypeVar

from loadproof.errors import Position
from loadproof.plan.hosts import is_host, what_is_wrong_with_url
from loadproof.plan.model import EMBEDDED, Phase, Plan, Region, RuleText, Tolerate
from loadproof.plan.node import Mapping, Node, Place, Scalar, described, moved, quoted
from loadproof.plan.values import MAX_DURATION_US, Values

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS: Final = (
    "name",
    "title",
    "suite",
    "locustfile",
    "target",
    "load",
    "scenarios",
    "regions",
    "rules",
    "seed",
    "stop_timeout",
    "allow_hosts",
    "tolerate",
    "overlays",
)
MAX_USERS: Final = 10_000_000
MAX_WORKERS: Final = 10_000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME_RULE: Final = "small letters, digits and - (it becomes a file's name)"
_PHASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SUITE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RANGE: Final = re.compile(r"(-?[0-9]{1,20})\s*\.\.\s*(-?[0-9]{1,20})")

PlanPath = tuple[str | int, ...]
_Read = TypeVar("_Read")


def read_sections(root: Mapping, values: Values) -> tuple[Plan | None, dict[PlanPath, Place]]:
    """The plan, None if there are mistakes by now; and where its parts are written.

    The places are those of the value under each top key, of each scenario's, phase's and region's name under
    ("scenarios", name) and so on, and of each rule's text under ("rules", index).
    """
    sections = _Sections(values)
    return sections.plan(root), sections.places


class _Sections:
    """Every reader gives None, or what it could read, when it has added a mistake."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.places: dict[PlanPath, Place] = {}

    def plan(self, root: Mapping) -> Plan | None:
        values = self.values
        given = values.entries(root, "the plan", KEYS, required=("name", "load")) or {}
        self.places[()] = root.place
        self.places |= {(key,): node.place for key, node in given.items()}

        def read(key: str, reader: Callable[[Node], _Read]) -> _Read | None:
            return reader(given[key]) if key in given else None

        suite_rule = "a folder of locustfiles/, in small letters (`locustfile` takes a path)"
        name = read("name", lambda node: values.named(node, "name", _NAME, _NAME_RULE))
        title = read("title", lambda node: values.text(node, "title"))
        suite = read("suite", lambda node: values.named(node, "suite", _SUITE, suite_rule))
        locustfile = read("locustfile", self._locustfile)
        if "suite" in given and "locustfile" in given:
            message = "`suite` and `locustfile` exclude each other"
            values.wrong(given["locustfile"], message, "remove one of them")
        elif "suite" not in given and "locustfile" not in given:
            values.wrong(root, "the plan needs `suite` (one of ours) or `locustfile` (a path to your own)")
        target = read("target", self._target)
        load = read("load", self._load)
        scenarios = read("scenarios", self._scenarios)
        regions = read("regions", self._regions)
        rules = read("rules", self._rules)
        seed = read("seed", lambda node: values.integer(node, "seed", 0, 2**63 - 1))
        stop_timeout = read("stop_timeout", lambda node: values.duration(node, "stop_timeout"))
        allow_hosts = read("allow_hosts", self._allow_hosts)
        tolerate = read("tolerate", self._tolerate)
        if values.mistakes or name is None or load is None:
            return None
        return Plan(
            name=name,
            title=title or name,
            suite=suite,
            locustfile=locustfile,
            target=target or EMBEDDED,
            load=load,
            scenarios=scenarios,
            regions=regions or (Region(name="local"),),
            rules=rules or (),
            seed=seed,
            stop_timeout_us=stop_timeout,
            allow_hosts=allow_hosts or (),
            tolerate=tolerate or Tolerate(),
        )

    def _locustfile(self, node: Node) -> str | None:
        """An absolute path: the effective plan is read again from the run's folder."""
        text = self.values.text(node, "locustfile")
        if text is None:
            return None
        folder = os.path.dirname(node.place.file) if isinstance(node.place, Position) else ""  # noqa: PTH120 text
        return os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118 resolve() would follow links

    def _target(self, node: Node) -> str | None:
        text = self.values.text(node, "target")
        if text is None or text == EMBEDDED:
            return text
        url = text.rstrip("/")
        wrong = what_is_wrong_with_url(url)
        if wrong is None:
            return url
        message, hint = wrong
        self.values.wrong(node, f"`target` {message}", hint)
        return None

    def _load(self, node: Node) -> tuple[Phase, ...] | None:
        items = self.values.items(node, "load", "phases")
        if items is None:
            return None
        if not items:
            self.values.wrong(node, "`load` has no phases", "add {phase: steady, duration: 5m, users: 10}")
            return None
        phases = [phase for item in items if (phase := self._phase(item)) is not None]
        if len(phases) < len(items):
            return None
        if not any(phase.users_from or phase.users_to for phase in phases):
            self.values.wrong(node, "no phase has any users", "give `users` a number above 0")
        if sum(phase.duration_us for phase in phases) > MAX_DURATION_US:
            self.values.wrong(node, "the phases together are longer than a year")
        return tuple(phases)

    def _phase(self, node: Node) -> Phase | None:
        values = self.values
        known = ("phase", "duration", "users", "warmup")
        given = values.entries(node, "a phase", known, required=("phase", "duration", "users"))
        if given is None:
            return None
        name = None
        if "phase" in given:
            rule = "letters, digits, - _ and ."
            name = values.named(given["phase"], "phase", _PHASE, rule)
            self._distinct(("load", name), given["phase"], "phase")
        duration = values.duration(given["duration"], "duration") if "duration" in given else None
        users = self._users(given["users"]) if "users" in given else None
        warmup = values.boolean(given["warmup"], "warmup") if "warmup" in given else False
        if name is None or duration is None or users is None or warmup is None:
            return None
        return Phase(name=name, duration_us=duration, users_from=users[0], users_to=users[1], warmup=warmup)

    def _users(self, node: Node) -> tuple[int, int] | None:
        """A constant number, or a range such as `0..1000`."""
        ends = _RANGE.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
        if ends is None:
            what = "a number or a range such as 0..1000"
            users = self.values.integer(node, "users", 0, MAX_USERS, what)
            return None if users is None else (users, users)
        first, last = int(ends[1]), int(ends[2])
        if 0 <= first <= MAX_USERS and 0 <= last <= MAX_USERS:
            return first, last
        self.values.wrong(node, f"`users` must be from 0 to {MAX_USERS:,}, not {described(node)}")
        return None

    def _scenarios(self, node: Node) -> dict[str, float] | None:
        if not isinstance(node, Mapping):
            message = f"`scenarios` must be a mapping of user classes to weights, not {described(node)}"
            self.values.wrong(node, message, "for example {PolicyGovernanceUser: 20}")
            return None
        if not node.entries:
            self.values.wrong(node, "`scenarios` is empty", "remove it to run every class of the suite")
            return None
        weights: dict[str, float] = {}
        for name, entry in node.entries.items():
            self.places["scenarios", name] = entry.key_place
            if not name.isidentifier():
                self.values.wrong(entry.key_place, f"{quoted(name)} is not the name of a user class")
            weight = self.values.weight(entry.node, name)
            if weight is not None:
                weights[name] = weight
        if len(weights) == len(node.entries) and not any(weights.values()):
            self.values.wrong(node, "every scenario has weight 0", "give one of them a weight above 0")
        return weights

    def _regions(self, node: Node) -> tuple[Region, ...] | None:
        items = self.values.items(node, "regions", "regions")
        if items is None:
            return None
        if not items:
            message = "`regions` is empty"
            self.values.wrong(node, message, "remove it for one region `local` with one worker")
            return None
        regions = [region for item in items if (region := self._region(item)) is not None]
        if len(regions) == len(items) and all(region.weight == 0 for region in regions):
            self.values.wrong(node, "every region has weight 0", "give one of them a weight above 0")
        return tuple(regions)

    def _region(self, node: Node) -> Region | None:
        values = self.values
        given = values.entries(
            node, "a region", ("name", "workers", "max_users", "weight"), required=("name",)
        )
        if given is None:
            return None
        name = None
        if "name" in given:
            name = values.named(given["name"], "name", _NAME, _NAME_RULE)
            self._distinct(("regions", name), given["name"], "region")
        workers = values.integer(given["workers"], "workers", 1, MAX_WORKERS) if "workers" in given else 1
        max_users = weight = None
        if "max_users" in given:
            max_users = values.integer(given["max_users"], "max_users", 1, MAX_USERS)
        if "weight" in given:
            weight = values.weight(given["weight"], name or "region")
        if name is None or workers is None:
            return None
        return Region(name=name, workers=workers, max_users=max_users, weight=weight)

    def _distinct(self, path: tuple[str, str | None], node: Node, what: str) -> None:
        section, name = path
        if name is None:
            return
        if (section, name) not in self.places:
            self.places[section, name] = node.place
            return
        first = self.places[section, name]
        where = f" in line {first.line}" if isinstance(first, Position) else ""
        self.values.wrong(node, f"there is already a {what} {quoted(name)}{where}", "give it another name")

    def _rules(self, node: Node) -> tuple[RuleText, ...]:
        items = self.values.items(node, "rules", "rules") or ()
        return tuple(
            rule for index, item in enumerate(items) if (rule := self._rule(index, item)) is not None
        )

    def _rule(self, index: int, node: Node) -> RuleText | None:
        optional: bool | None = False
        if isinstance(node, Mapping):
            given = self.values.entries(node, "a rule", ("rule", "optional"), required=("rule",)) or {}
            if "optional" in given:
                optional = self.values.boolean(given["optional"], "optional")
            if "rule" not in given:
                return None
            node = given["rule"]
        text = self.values.text(node, "rule")
        if text is None or optional is None or not isinstance(node, Scalar):
            return None
        written = node.text if node.template is None else node.template
        place = moved(node.place, len(written) - len(written.lstrip()))
        self.places["rules", index] = place
        return RuleText(text=text, optional=optional, position=place if isinstance(place, Position) else None)

    def _allow_hosts(self, node: Node) -> tuple[str, ...]:
        hosts: list[str] = []
        for item in self.values.items(node, "allow_hosts", "host names") or ():
            host = self.values.text(item, "allow_hosts")
            if host is None:
                continue
            if is_host(host):
                hosts.append(host.lower())
            else:
                message = f"`allow_hosts` takes host names and IP addresses, not {described(item)}"
                self.values.wrong(item, message, "without scheme, port, path or wildcard")
        return tuple(hosts)

    def _tolerate(self, node: Node) -> Tolerate:
        given = self.values.entries(node, "`tolerate`", ("torn_epochs",)) or {}
        torn = None
        if "torn_epochs" in given:
            torn = self.values.integer(given["torn_epochs"], "torn_epochs", 0, MAX_WORKERS)
        return Tolerate(torn_epochs=torn or 0)
