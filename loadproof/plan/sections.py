"""The tree read section by section into a `Plan`, every mistake kept."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final, TypeVar

from loadproof.errors import Position
from loadproof.plan.columns import NAME
from loadproof.plan.faults import read_faults
from loadproof.plan.flow_reader import read_flows
from loadproof.plan.guards import read_guards
from loadproof.plan.hosts import is_host, what_is_wrong_with_url
from loadproof.plan.model import EMBEDDED, ArrivalProcess, Plan, Region, RuleText, Tolerate
from loadproof.plan.node import Mapping, Node, Place, Scalar, described, did_you_mean, moved, quoted
from loadproof.plan.phases import MAX_USERS, read_load
from loadproof.plan.prometheus import read_prometheus
from loadproof.plan.search import read_search

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable

    from loadproof.plan.flows import Flow
    from loadproof.plan.values import PlanPath, Values

KEYS: Final = (
    "name",
    "title",
    "suite",
    "locustfile",
    "target",
    "load",
    "arrival_process",
    "secrets",
    "flows",
    "scenarios",
    "regions",
    "rules",
    "prometheus",
    "guards",
    "faults",
    "search",
    "seed",
    "stop_timeout",
    "join_timeout",
    "allow_hosts",
    "tolerate",
    "overlays",
)
MAX_WORKERS: Final = 10_000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME_RULE: Final = "small letters, digits and - (it becomes a file's name)"
_SUITE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")

_Read = TypeVar("_Read")


def read_sections(
    root: Mapping, values: Values, environ: collections.abc.Mapping[str, str]
) -> tuple[Plan | None, dict[PlanPath, Place]]:
    """The plan, None if there are mistakes by now; and where its parts are written.

    The places are those of the value under each top key, of each scenario's, phase's and region's name under
    ("scenarios", name) and so on, and of each rule's text under ("rules", index).
    """
    sections = _Sections(values, environ)
    return sections.plan(root), sections.places


class _Sections:
    """Every reader gives None, or what it could read, when it has added a mistake."""

    def __init__(self, values: Values, environ: collections.abc.Mapping[str, str]) -> None:
        self.values = values
        self.environ = environ
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
        elif not {"suite", "locustfile", "flows"} & set(given):
            message = "the plan needs `suite` (one of ours), `locustfile` (a path to your own) or `flows`"
            values.wrong(root, message)
        target = read("target", self._target)
        load = read("load", lambda node: read_load(node, values, self.places))
        process = read("arrival_process", self._arrival_process)
        if process is not None and load and load[0].arrivals_from is None:
            message = "`arrival_process` says how `arrivals` follow each other, and no phase has any"
            values.wrong(given["arrival_process"], message, "remove it")
        secrets = read("secrets", self._secrets) or ()
        flows = read("flows", lambda node: self._flows(node, secrets))
        scenarios = read("scenarios", self._scenarios)
        regions = read("regions", self._regions)
        rules = read("rules", self._rules)
        prometheus = read("prometheus", lambda node: read_prometheus(node, values, self.environ))
        guards = read("guards", lambda node: read_guards(node, values))
        faults = read("faults", lambda node: read_faults(node, values, self.places, load, target or EMBEDDED))
        search = read("search", lambda node: read_search(node, values, load))
        seed = read("seed", lambda node: values.integer(node, "seed", 0, 2**63 - 1))
        stop_timeout = read("stop_timeout", lambda node: values.duration(node, "stop_timeout", 0))
        join_timeout = read("join_timeout", lambda node: values.duration(node, "join_timeout"))
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
            join_timeout_us=join_timeout,
            allow_hosts=allow_hosts or (),
            tolerate=tolerate or Tolerate(),
            flows=flows or (),
            secrets=secrets,
            arrival_process=process or ArrivalProcess.CONSTANT,
            prometheus=prometheus,
            guards=guards or (),
            faults=faults or (),
            search=search,
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

    def _arrival_process(self, node: Node) -> ArrivalProcess | None:
        text = self.values.text(node, "arrival_process")
        if text is None or text in list(ArrivalProcess):
            return None if text is None else ArrivalProcess(text)
        known = " or ".join(ArrivalProcess)
        message = f"`arrival_process` must be {known}, not {described(node)}"
        self.values.wrong(node, message, did_you_mean(text, ArrivalProcess))
        return None

    def _secrets(self, node: Node) -> tuple[str, ...]:
        names = []
        for item in self.values.items(node, "secrets", "names of environment variables") or ():
            name = self.values.named(item, "secrets", NAME, "names of environment variables")
            if name is None:
                continue
            if name in names:
                self.values.wrong(item, f"{quoted(name)} stands here already", "remove one of them")
            elif self.environ and not self.environ.get(name):
                # An effective plan is read again without any environment, where no value is asked for.
                self.values.wrong(item, f"the environment variable {quoted(name)} is not set", "set it")
            else:
                names.append(name)
        return tuple(names)

    def _flows(self, node: Node, secrets: tuple[str, ...]) -> tuple[Flow, ...]:
        flows, places = read_flows(node, self.values, self.environ, secrets)
        self.places |= {("flows", name): place for name, place in places.items()}
        return flows

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
            node, "a region", ("name", "workers", "quorum", "max_users", "weight"), required=("name",)
        )
        if given is None:
            return None
        name = None
        if "name" in given:
            name = values.named(given["name"], "name", _NAME, _NAME_RULE)
            values.distinct(self.places, ("regions", name), given["name"], "region")
        workers = values.integer(given["workers"], "workers", 1, MAX_WORKERS) if "workers" in given else 1
        max_users = weight = None
        if "max_users" in given:
            max_users = values.integer(given["max_users"], "max_users", 1, MAX_USERS)
        if "weight" in given:
            weight = values.weight(given["weight"], name or "region")
        if name is None or workers is None:
            return None
        quorum: int | None = 1
        if "quorum" in given:
            quorum = values.integer(given["quorum"], "quorum", 0, workers)
        return Region(name=name, workers=workers, max_users=max_users, weight=weight, quorum=quorum or 0)

    def _rules(self, node: Node) -> tuple[RuleText, ...]:
        items = self.values.items(node, "rules", "rules") or ()
        return tuple(
            rule for index, item in enumerate(items) if (rule := self._rule(index, item)) is not None
        )

    def _rule(self, index: int, node: Node) -> RuleText | None:
        optional: bool | None = False
        abort: bool | None = False
        delay_us: int | None = 0
        if isinstance(node, Mapping):
            known = ("rule", "optional", "abort", "delay")
            given = self.values.entries(node, "a rule", known, required=("rule",)) or {}
            if "optional" in given:
                optional = self.values.boolean(given["optional"], "optional")
            if "abort" in given:
                abort = self.values.boolean(given["abort"], "abort")
            if "delay" in given:
                delay_us = self.values.duration(given["delay"], "delay", 0)
                if abort is False:
                    message = "`delay` says from when on a rule may end the run, and this one never does"
                    self.values.wrong(given["delay"], message, "add `abort: true`, or remove it")
            if "rule" not in given:
                return None
            node = given["rule"]
        text = self.values.text(node, "rule")
        if text is None or optional is None or abort is None or delay_us is None:
            return None
        if not isinstance(node, Scalar):
            return None
        written = node.text if node.template is None else node.template
        place = moved(node.place, len(written) - len(written.lstrip()))
        self.places["rules", index] = place
        position = place if isinstance(place, Position) else None
        return RuleText(text=text, optional=optional, abort=abort, delay_us=delay_us, position=position)

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
