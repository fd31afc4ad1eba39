"""What flags and environment variables change about a plan, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadproof.errors import Mistake, PlanError
from loadproof.plan.document import read_document, resolved
from loadproof.plan.node import Entry, Mapping, Node, Scalar, Sequence, did_you_mean, mistake_at, quoted
from loadproof.plan.overlay import merged, substituted, with_setting
from loadproof.plan.scaling import (
    capacity,
    keep_regions,
    scale_duration,
    scale_users,
    spread_workers,
    with_spawn_rate,
)
from loadproof.plan.sections import KEYS, MAX_USERS, MAX_WORKERS
from loadproof.plan.values import Values
from loadproof.units import format_count

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable
    from pathlib import Path

    from loadproof.plan.model import Plan
    from loadproof.plan.node import Place

TARGET: Final = "LOADPROOF_TARGET"
USERS: Final = "LOADPROOF_USERS"
DURATION: Final = "LOADPROOF_DURATION"


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
    region: tuple[str, ...] = ()
    """Only these regions are kept."""
    workers: int | None = None
    """Workers of all regions together."""
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
    tree = _without_overlays(root, overrides.env, mistakes)
    if overrides.config_file is not None:
        over = read_document(overrides.config_file, mistakes)
        if over is not None:
            tree = _overlaid(tree, over, f"the overlay {overrides.config_file}", mistakes)
    if environ.get(TARGET):
        tree = _with(tree, "target", Scalar(environ[TARGET], environ[TARGET], TARGET))
    for setting in overrides.set:
        tree = with_setting(tree, setting, mistakes)
    changed = substituted(tree, environ, mistakes)
    assert isinstance(changed, Mapping)
    tree = changed
    if overrides.target is not None:
        tree = _with(tree, "target", Scalar(overrides.target, overrides.target, "--target"))
    if overrides.seed is not None:
        tree = _with(tree, "seed", Scalar(overrides.seed, str(overrides.seed), "--seed"))
    if overrides.rules:
        own = tree.entries["rules"].node if "rules" in tree.entries else Sequence((), "--rule")
        if isinstance(own, Sequence):
            added = tuple(Scalar(rule, rule, f"--rule {rule!r}") for rule in overrides.rules)
            tree = _with(tree, "rules", Sequence(own.items + added, own.place))
    return tree


class Changes:
    """The flags and variables that change a plan as a whole; their own mistakes are found at once."""

    def __init__(
        self, overrides: Overrides, environ: collections.abc.Mapping[str, str], mistakes: list[Mistake]
    ) -> None:
        self.region = overrides.region
        values = Values(mistakes)
        self.users_place, users = _flag_or_variable("--users", overrides.users, USERS, environ, overrides)
        self.users = values.integer(users, "users", 1, MAX_USERS) if users else None
        self.duration_place, duration = _flag_or_variable(
            "--duration", overrides.duration, DURATION, environ, overrides
        )
        self.duration_us = values.duration(duration, "duration") if duration else None
        self.spawn_rate = overrides.spawn_rate
        if self.spawn_rate is not None and not (math.isfinite(self.spawn_rate) and self.spawn_rate > 0):
            message = f"--spawn-rate {self.spawn_rate}: users a second must be above 0"
            mistakes.append(Mistake(message, None, "for example --spawn-rate 10"))
            self.spawn_rate = None
        self.workers = None
        if overrides.workers is not None:
            workers = Scalar(overrides.workers, str(overrides.workers), "--workers")
            self.workers = values.integer(workers, "workers", 1, MAX_WORKERS)

    def applied(self, plan: Plan, load_place: Place) -> Plan:
        """The effective plan; PlanError with every change that it does not bear."""
        mistakes: list[Mistake] = []

        def change(place: str, scale: Callable[[Plan], Plan]) -> None:
            nonlocal plan
            try:
                plan = scale(plan)
            except PlanError as error:
                mistakes.extend(
                    replace(mistake, message=f"{place}: {mistake.message}") for mistake in error.mistakes
                )

        if self.region:
            change(self.region_place, lambda plan: keep_regions(plan, self.region))
        if self.workers is not None:
            workers = self.workers
            change(f"--workers {workers}", lambda plan: spread_workers(plan, workers))
        if self.users is not None:
            users = self.users
            change(self.users_place, lambda plan: scale_users(plan, users))
        if self.duration_us is not None:
            duration_us = self.duration_us
            change(self.duration_place, lambda plan: scale_duration(plan, duration_us))
        if self.spawn_rate is not None:
            rate = self.spawn_rate
            change(f"--spawn-rate {rate:g}", lambda plan: with_spawn_rate(plan, rate))
        room = capacity(plan)
        if not mistakes and room is not None and plan.max_users > room:
            place = self.users_place if self.users else self.region_place if self.region else load_place
            message = f"{format_count(plan.max_users)} users are more than the regions' `max_users` together"
            hint = f"they take {format_count(room)}: raise `max_users`, or ask for fewer with --users"
            mistakes.append(mistake_at(place, message, hint))
        if mistakes:
            raise PlanError(mistakes)
        return plan

    @property
    def region_place(self) -> str:
        return " ".join(f"--region {name}" for name in self.region)


def _flag_or_variable(
    flag: str,
    given: str | int | None,
    variable: str,
    environ: collections.abc.Mapping[str, str],
    overrides: Overrides,
) -> tuple[str, Scalar | None]:
    """A flag's value, else the variable's, unless `--set` (a flag too) sets the same part of the load."""
    if given is not None:
        place = f"{flag} {given}"
        return place, Scalar(given, str(given), place)
    text = environ.get(variable)
    if not text or any(_sets(setting, flag.removeprefix("--")) for setting in overrides.set):
        return variable, None
    place = f"{variable}={text}"
    return place, Scalar(resolved(text), text, place)


def _sets(setting: str, key: str) -> bool:
    steps = setting.partition("=")[0].strip().split(".")
    return steps[0] == "load" and steps[2:] in ([], [key])


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
