"""An effective plan written as YAML that reads back as the same plan."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import yaml

from loadproof.plan.core_schema import resolved
from loadproof.plan.faults import setting_text
from loadproof.plan.flow_writer import Template, flow_document
from loadproof.plan.guards import kind_of, level_text
from loadproof.plan.model import RATE_PERIOD_S, ArrivalProcess, Tolerate
from loadproof.plan.search import search_document
from loadproof.units import duration_text

if TYPE_CHECKING:
    from loadproof.plan.model import Fault, Guard, Phase, Plan, Prometheus, Region, RuleText


def dump_plan(plan: Plan) -> str:
    """YAML in a plan file's own words: durations with units, defaults left out, `${` written as `$${`."""
    document: dict[str, object] = {"name": plan.name, "title": plan.title}
    document |= {"suite": plan.suite} if plan.suite is not None else {}
    document |= {"locustfile": plan.locustfile} if plan.locustfile is not None else {}
    document["target"] = plan.target
    document["load"] = [_phase(phase) for phase in plan.load]
    if plan.arrival_process != ArrivalProcess.CONSTANT:
        document["arrival_process"] = plan.arrival_process.value
    if plan.secrets:
        document["secrets"] = list(plan.secrets)
    if plan.flows:
        document["flows"] = {flow.name: flow_document(flow) for flow in plan.flows}
    if plan.scenarios is not None:
        document["scenarios"] = {name: _number(weight) for name, weight in plan.scenarios.items()}
    document["regions"] = [_region(region) for region in plan.regions]
    if plan.rules:
        document["rules"] = [_rule(rule) for rule in plan.rules]
    if plan.prometheus is not None:
        document["prometheus"] = _prometheus(plan.prometheus)
    if plan.guards:
        document["guards"] = {guard.name: _guard(guard) for guard in plan.guards}
    if plan.faults:
        document["faults"] = [_fault(fault) for fault in plan.faults]
    if plan.search is not None:
        document["search"] = search_document(plan.search, is_open=plan.open)
    if plan.seed is not None:
        document["seed"] = plan.seed
    if plan.stop_timeout_us is not None:
        document["stop_timeout"] = duration_text(plan.stop_timeout_us)
    if plan.join_timeout_us is not None:
        document["join_timeout"] = duration_text(plan.join_timeout_us)
    if plan.allow_hosts:
        document["allow_hosts"] = list(plan.allow_hosts)
    if plan.tolerate != Tolerate():
        document["tolerate"] = plan.tolerate.model_dump()
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


class _OneLine(dict[str, object]):
    """A mapping that is written as `{key: value, ...}`."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 the signature is PyYAML's
        return True


def _one_line(dumper: yaml.SafeDumper, data: _OneLine) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    return _template(dumper, data.replace("${", "$${"))


def _template(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # PyYAML quotes what YAML 1.1 would not read as text; `1e3` and `0o7` are numbers in YAML 1.2 only.
    style = None if isinstance(resolved(data), str) else "'"
    # And it writes some line ends of YAML 1.1 as they are, which no plan may hold.
    style = style if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(data), style=style)


_Dumper.add_representer(_OneLine, _one_line)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(Template, _template)


def _phase(phase: Phase) -> _OneLine:
    users: object = phase.users_from
    if phase.users_to != phase.users_from:
        users = f"{phase.users_from}..{phase.users_to}"
    written = _OneLine(phase=phase.name, duration=duration_text(phase.duration_us))
    if phase.arrivals_from is not None and phase.arrivals_to is not None:
        first, last = _per_second(phase.arrivals_from), _per_second(phase.arrivals_to)
        written["arrivals"] = f"{last}/s" if first == last else f"{first}..{last}/s"
    written["users"] = users
    if phase.pace_us is not None:
        written["pace"] = duration_text(phase.pace_us)
    if phase.warmup:
        written["warmup"] = True
    return written


def _per_second(arrivals: int) -> str:
    """Exact: a rate has at most as many decimals as its period has zeros."""
    return f"{(Decimal(arrivals) / RATE_PERIOD_S).normalize():f}"


def _region(region: Region) -> _OneLine:
    written = _OneLine(name=region.name, workers=region.workers)
    if region.quorum != 1:
        written["quorum"] = region.quorum
    if region.max_users is not None:
        written["max_users"] = region.max_users
    if region.weight is not None:
        written["weight"] = _number(region.weight)
    return written


def _rule(rule: RuleText) -> str | _OneLine:
    if not (rule.optional or rule.abort):
        return rule.text
    written = _OneLine(rule=rule.text)
    if rule.optional:
        written["optional"] = True
    if rule.abort:
        written["abort"] = True
    if rule.delay_us:
        written["delay"] = duration_text(rule.delay_us)
    return written


def _guard(guard: Guard) -> object:
    kind = kind_of(guard)
    if guard.warn is None and guard.stop is not None:
        return level_text(kind, guard.stop)
    levels = {"warn": guard.warn, "stop": guard.stop}
    return _OneLine({key: level_text(kind, level) for key, level in levels.items() if level is not None})


def _fault(fault: Fault) -> _OneLine:
    written = _OneLine(
        kind=fault.kind,
        name=fault.name,
        at=duration_text(fault.at_us),
        **{"for": duration_text(fault.for_us)},
    )
    for key, value in fault.settings.items():
        written[key] = _OneLine(value) if isinstance(value, dict) else setting_text(fault.kind, key, value)
    return written


def _prometheus(prometheus: Prometheus) -> str | dict[str, object]:
    written: dict[str, object] = {"url": prometheus.url}
    if prometheus.token is not None:
        written["token"] = prometheus.token
    if prometheus.resources:
        written["resources"] = dict(prometheus.resources)
    return prometheus.url if len(written) == 1 else written


def _number(value: float) -> float:
    return int(value) if value.is_integer() else value
