"""What flags and environment variables change about a plan, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadproof.plan import acgs
from loadproof.plan.core_schema import resolved
from loadproof.plan.document import read_document
from loadproof.plan.node import Entry, Mapping, Node, Scalar, Sequence, did_you_mean, mistake_at, quoted
from loadproof.plan.overlay import merged, substituted, with_setting
from loadproof.plan.sections import KEYS
from loadproof.plan.values import Values
from loadproof.plan.variables import suite_of, variable

if TYPE_CHECKING:
    import collections.abc
    from pathlib import Path

    from loadproof.errors import Mistake


@dataclass(frozen=True)
class Overrides:
    """What the flags of a command say; None and () say nothing."""

    users: int | None = None
    """The new peak."""
    duration: str | None = None
    """The new total, as text with a unit."""
    spawn_rate: float | None = None
    """Users a second in the first rise."""
    target: str | None = None
    prometheus: str | None = None
    """URL; token and resources stay the plan's."""
    region: tuple[str, ...] = ()
    """Only these regions are kept."""
    workers: int | None = None
    """Workers of all regions together."""
    test_name: str | None = None
    """The run's name, in place of the plan's."""
    stop_timeout: str | None = None
    join_timeout: str | None = None
    """As the plan's own, as text with a unit."""
    rules: tuple[str, ...] = ()
    """Added to the plan's own."""
    seed: int | None = None
    set: tuple[str, ...] = ()
    """Settings as `path=value`, applied in order."""
    env: str | None = None
    """Name of an overlay of the plan."""
    config_file: Path | None = None
    """A file with an overlay, applied after `env`."""


NO_OVERRIDES: Final = Overrides()


def changed_tree(
    root: Mapping,
    overrides: Overrides,
    environ: collections.abc.Mapping[str, str],
    mistakes: list[Mistake],
) -> Mapping:
    """The tree after, in this order: overlay, overlay file, environment, `--set`, other flags."""
    suite = suite_of(root)
    tree = _without_overlays(root, overrides.env, mistakes)
    if overrides.config_file is not None:
        over: Node | None = read_document(overrides.config_file, mistakes)
        if over is not None and acgs.is_acgs(over):
            over = _of_acgs(over, tree, suite, mistakes)
        if over is not None:
            tree = _overlaid(tree, over, f"the overlay {overrides.config_file}", mistakes)
    tree = _with_variables(tree, suite, environ, mistakes)
    for setting in overrides.set:
        tree = with_setting(tree, setting, mistakes)
    # A flow knows names of its own: their reader tells those from variables.
    flows = {name: entry for name, entry in tree.entries.items() if name == "flows"}
    rest = {name: entry for name, entry in tree.entries.items() if name != "flows"}
    changed = substituted(Mapping(rest, tree.place), environ, mistakes, secrets=_secrets(rest))
    assert isinstance(changed, Mapping)
    tree = Mapping({**changed.entries, **flows}, tree.place)
    if overrides.target is not None:
        tree = _with(tree, "target", Scalar(overrides.target, overrides.target, "--target"))
    if overrides.prometheus is not None:
        url = Scalar(overrides.prometheus, overrides.prometheus, "--prometheus")
        tree = _with_prometheus(tree, url)
    texts = {
        "name": ("--test-name", overrides.test_name),
        "stop_timeout": ("--stop-timeout", overrides.stop_timeout),
        "join_timeout": ("--join-timeout", overrides.join_timeout),
    }
    for key, (flag, text) in texts.items():
        if text is not None:
            tree = _with(tree, key, Scalar(text, text, flag))
    if overrides.seed is not None:
        tree = _with(tree, "seed", Scalar(overrides.seed, str(overrides.seed), "--seed"))
    if overrides.rules:
        own = tree.entries["rules"].node if "rules" in tree.entries else Sequence((), "--rule")
        if isinstance(own, Sequence):
            added = tuple(Scalar(rule, rule, f"--rule {rule!r}") for rule in overrides.rules)
            tree = _with(tree, "rules", Sequence(own.items + added, own.place))
    return tree


def _of_acgs(over: Node, tree: Mapping, suite: str | None, mistakes: list[Mistake]) -> Mapping | None:
    if suite == acgs.SUITE:
        return acgs.overlay_of(over, tree, Values(mistakes))
    message = f"a configuration of ACGS belongs to plans of the suite `{acgs.SUITE}`"
    mistakes.append(mistake_at(over.place, message, "write an overlay in the plan's own keys"))
    return None


def _with_variables(
    tree: Mapping, suite: str | None, environ: collections.abc.Mapping[str, str], mistakes: list[Mistake]
) -> Mapping:
    def scalar(key: str) -> Scalar | None:
        found = variable(key, suite, environ)
        return None if found is None else Scalar(resolved(found.text), found.text, found.name)

    if (target := scalar("target")) is not None:
        tree = _with(tree, "target", Scalar(target.text, target.text, target.place))
    if (url := scalar("prometheus")) is not None:
        tree = _with_prometheus(tree, Scalar(url.text, url.text, url.place))
    if (rate := scalar("rate")) is not None:
        tree = acgs.with_rate(tree, rate, Values(mistakes))
    if (compliance := scalar("compliance")) is not None:
        tree = acgs.with_compliance(tree, compliance, Values(mistakes))
    return tree


def _without_overlays(root: Mapping, chosen: str | None, mistakes: list[Mistake]) -> Mapping:
    """The plan with the chosen overlay merged in; the others are only looked at for misspelt keys."""
    flag = f"--env {chosen}"
    tree = Mapping({name: entry for name, entry in root.entries.items() if name != "overlays"}, root.place)
    overlays = root.entries["overlays"].node if "overlays" in root.entries else Mapping({}, root.place)
    if not isinstance(overlays, Mapping):
        message = "`overlays` must be a mapping of names to partial plans"
        mistakes.append(mistake_at(overlays.place, message, "for example {staging: {seed: 7}}"))
        return tree
    if chosen is not None and chosen not in overlays.entries:
        known = f"there are {', '.join(overlays.entries)}" if overlays.entries else "it has none"
        message = f"the plan has no overlay {quoted(chosen)}; {known}"
        mistakes.append(mistake_at(flag, message, did_you_mean(chosen, overlays.entries)))
    effective = tree
    for name, entry in overlays.entries.items():
        overlaid = _overlaid(tree, entry.node, f"overlay {quoted(name)}", mistakes)
        if name == chosen:
            effective = overlaid
    return effective


def _overlaid(tree: Mapping, over: Node, what: str, mistakes: list[Mistake]) -> Mapping:
    known = tuple(key for key in KEYS if key != "overlays")
    before = len(mistakes)
    if Values(mistakes).entries(over, what, known) is None or len(mistakes) > before:
        return tree
    changed = merged(tree, over)
    assert isinstance(changed, Mapping)
    return changed


def _with(tree: Mapping, key: str, node: Node) -> Mapping:
    return Mapping({**tree.entries, key: Entry(node, node.place)}, tree.place)


def _with_prometheus(tree: Mapping, url: Scalar) -> Mapping:
    own = tree.entries["prometheus"].node if "prometheus" in tree.entries else None
    return _with(tree, "prometheus", _with(own, "url", url) if isinstance(own, Mapping) else url)


def _secrets(entries: collections.abc.Mapping[str, Entry]) -> frozenset[str]:
    """The names that the plan calls secrets, whatever else is wrong with them."""
    node = entries["secrets"].node if "secrets" in entries else None
    items = node.items if isinstance(node, Sequence) else ()
    return frozenset(item.text for item in items if isinstance(item, Scalar))
