"""The JSON form of ACGS, upper-case keys, as an overlay of a plan of the suite `governance`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadproof.plan.node import Entry, Mapping, Node, Place, Scalar, Sequence, described, quoted

if TYPE_CHECKING:
    from loadproof.plan.values import Values

SUITE: Final = "governance"
KEYS: Final = ("TARGET_HOST", "TARGET_RPS", "CONSTITUTIONAL_COMPLIANCE_MONITORING", "LOAD_TEST_NODES")
NODE_KEYS: Final = ("host", "workers", "max_users", "region")
COMPLIANCE: Final = "check(compliance) >= 95%"
_RATE: Final = re.compile(r"\s*rate\s*>=?\s*[\d.]+\s*/s\s*(?:,.*)?")
_IS_COMPLIANCE: Final = re.compile(r"\s*check\(\s*compliance\s*\)")
_MOST_RPS: Final = 10**9


def is_acgs(node: Node) -> bool:
    return isinstance(node, Mapping) and any(key in KEYS for key in node.entries)


def overlay_of(node: Node, tree: Mapping, values: Values) -> Mapping | None:
    """What ACGS's form changes about `tree`, in a plan's own keys; None after adding mistakes.

    `TARGET_RPS` is the limit of the plan's `rate` rule. Nodes are regions; nodes of one region are one.
    """
    before = len(values.mistakes)
    given = values.entries(node, "a configuration of ACGS", KEYS)
    if given is None:
        return None
    over = dict[str, Entry]()
    if "TARGET_HOST" in given:
        host = given["TARGET_HOST"]
        text = values.text(host, "TARGET_HOST")
        if text is not None:
            url = text if "://" in text else f"http://{text}"
            over["target"] = Entry(Scalar(url, url, host.place), host.place)
    rules = tree
    if "TARGET_RPS" in given:
        rules = with_rate(rules, given["TARGET_RPS"], values)
    if "CONSTITUTIONAL_COMPLIANCE_MONITORING" in given:
        rules = with_compliance(rules, given["CONSTITUTIONAL_COMPLIANCE_MONITORING"], values)
    if rules is not tree:
        over["rules"] = rules.entries["rules"]
    if "LOAD_TEST_NODES" in given:
        regions = _regions(given["LOAD_TEST_NODES"], values)
        if regions is not None:
            over["regions"] = Entry(regions, regions.place)
    return Mapping(over, node.place) if len(values.mistakes) == before else None


def with_rate(tree: Mapping, node: Node, values: Values) -> Mapping:
    """The tree with this many ok requests a second as the limit of its `rate` rule, or with such a rule."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_RPS:
        message = f"the requests a second must be a number above 0, not {described(node)}"
        values.wrong(node, message, "such as 1500")
        return tree
    assert isinstance(node, Scalar)
    text = f"rate >= {node.text.strip()}/s"
    kept, replaced = [], False
    for rule in _rules(tree):
        told = _text(rule)
        if told is None or not _RATE.fullmatch(told):
            kept.append(rule)
        elif not replaced:
            kept.append(_as(rule, text, node.place))
            replaced = True
    return _with_rules(tree, kept if replaced else [*kept, Scalar(text, text, node.place)], node.place)


def with_compliance(tree: Mapping, node: Node, values: Values) -> Mapping:
    """The tree with a rule on `check(compliance)`, or without any."""
    wanted = values.boolean(node, "CONSTITUTIONAL_COMPLIANCE_MONITORING")
    if wanted is None:
        return tree
    rules = _rules(tree)
    others = [rule for rule in rules if not _IS_COMPLIANCE.match(_text(rule) or "")]
    if wanted and len(others) == len(rules):
        others = [*rules, Scalar(COMPLIANCE, COMPLIANCE, node.place)]
    elif wanted:
        others = rules
    return _with_rules(tree, others, node.place)


def _rules(tree: Mapping) -> list[Node]:
    node = tree.entries["rules"].node if "rules" in tree.entries else None
    return list(node.items) if isinstance(node, Sequence) else []


def _text(rule: Node) -> str | None:
    if isinstance(rule, Mapping) and "rule" in rule.entries:
        rule = rule.entries["rule"].node
    return rule.text if isinstance(rule, Scalar) else None


def _as(rule: Node, text: str, place: Place) -> Node:
    """The same rule, perhaps optional, with another text."""
    if isinstance(rule, Mapping):
        return Mapping({**rule.entries, "rule": Entry(Scalar(text, text, place), place)}, rule.place)
    return Scalar(text, text, place)


def _with_rules(tree: Mapping, rules: list[Node], place: Place) -> Mapping:
    return Mapping({**tree.entries, "rules": Entry(Sequence(tuple(rules), place), place)}, tree.place)


def _regions(node: Node, values: Values) -> Sequence | None:
    regions: dict[str, list[tuple[int, int | None]]] = {}
    places: dict[str, Place] = {}
    for item in values.items(node, "LOAD_TEST_NODES", "nodes") or ():
        given = values.entries(item, "a node", NODE_KEYS, required=("region",))
        if given is None or "region" not in given:
            continue
        name = values.text(given["region"], "region")
        workers = values.integer(given["workers"], "workers", 1, 10_000) if "workers" in given else 1
        most = None
        if "max_users" in given:
            most = values.integer(given["max_users"], "max_users", 1, 10_000_000)
        if name is None or workers is None:
            continue
        places.setdefault(name, given["region"].place)
        regions.setdefault(name, []).append((workers, most))
        first_workers, first_most = regions[name][0]
        if (most is None) != (first_most is None) or (most or 0) * first_workers != (
            first_most or 0
        ) * workers:
            message = f"the nodes of region {quoted(name)} take different numbers of users a worker"
            values.wrong(item, message, "give each a region of its own: a region shares its users evenly")
    items = []
    for name, nodes in regions.items():
        place = places[name]
        limits = [most for _, most in nodes if most is not None]
        numbers = {"workers": sum(workers for workers, _ in nodes)}
        if limits:
            numbers["max_users"] = sum(limits)
        entries = {"name": Entry(Scalar(name, name, place), place)}
        entries |= {key: Entry(Scalar(number, str(number), place), place) for key, number in numbers.items()}
        items.append(Mapping(entries, place))
    return Sequence(tuple(items), node.place) if items else None
