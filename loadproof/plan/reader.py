"""Plans read from files and flags into one effective `Plan`, with all mistakes at once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadproof.errors import Mistake, PlanError, Position
from loadproof.plan.acgs import is_acgs
from loadproof.plan.changes import Changes
from loadproof.plan.document import read_document
from loadproof.plan.node import Entry, Mapping, Place, Scalar, Sequence, described, mistake_at, moved, quoted
from loadproof.plan.overrides import NO_OVERRIDES, Overrides, changed_tree
from loadproof.plan.prometheus import token_variable
from loadproof.plan.sections import read_sections
from loadproof.plan.values import PlanPath, Values
from loadproof.plan.variables import suite_of

if TYPE_CHECKING:
    import collections.abc
    from pathlib import Path

    from loadproof.plan.model import Plan

BARE_DURATION: Final = "1m"


@dataclass(frozen=True)
class LoadedPlan:
    """An effective plan, and where its parts are written, for the mistakes that only others can find."""

    plan: Plan
    places: dict[PlanPath, Place]

    def mistake(self, path: PlanPath, message: str, hint: str | None = None, *, column: int = 1) -> Mistake:
        """A mistake in the part at `path`: ("scenarios", name), ("rules", 2), ("suite",), ("load",) ...

        `column` counts from 1 within that part's own text, as `RuleSyntaxError.column` does. A part that is
        written nowhere is a mistake of what would hold it.
        """
        while path not in self.places:
            path = path[:-1]
        return mistake_at(moved(self.places[path], column - 1), message, hint)


def read_plan(
    source: Path,
    overrides: Overrides = NO_OVERRIDES,
    environ: collections.abc.Mapping[str, str] | None = None,
) -> Plan:
    """The effective plan of a file; PlanError holds every mistake."""
    return load_plan(source, overrides, environ).plan


def load_plan(
    source: Path,
    overrides: Overrides = NO_OVERRIDES,
    environ: collections.abc.Mapping[str, str] | None = None,
) -> LoadedPlan:
    """As `read_plan`, with places; `environ` None means the process's own environment."""
    mistakes: list[Mistake] = []
    root = read_document(source, mistakes)
    if root is not None and is_acgs(root):
        message = "this is a configuration of ACGS, not a plan"
        hint = f"lay it over one: --config-file {source}, with a plan such as enterprise"
        raise PlanError([mistake_at(root.place, message, hint)])
    if root is not None and not isinstance(root, Mapping):
        message = f"a plan is a mapping with name, suite, load and so on, not {described(root)}"
        mistakes.append(mistake_at(root.place, message))
    return _loaded(root if isinstance(root, Mapping) else None, overrides, environ, mistakes)


def bare_plan(
    locustfile: Path,
    overrides: Overrides = NO_OVERRIDES,
    environ: collections.abc.Mapping[str, str] | None = None,
    *,
    host: str | None = None,
    stretches: collections.abc.Sequence[tuple[int, int, int]] = (),
) -> LoadedPlan:
    """A plan for a locustfile without a plan file: one user for a minute, and what the flags make of it.

    With `spawn_rate` a warm-up phase `ramp` comes before the phase `steady`. `host` is the target where nothing
    else names one; `stretches`, each (seconds, first users, last users), are the load in place of the one user.
    """
    flag = f"-f {locustfile}"

    def mapping(**values: str | int | Sequence) -> Mapping:
        return Mapping(
            {
                key: Entry(value if isinstance(value, Sequence) else Scalar(value, str(value), flag), flag)
                for key, value in values.items()
            },
            flag,
        )

    name = re.sub("[^a-z0-9]+", "-", locustfile.stem.lower()).strip("-")[:60].strip("-")
    load = tuple(
        mapping(phase=f"shape-{number}", duration=f"{seconds}s", users=f"{first}..{last}")
        for number, (seconds, first, last) in enumerate(stretches, start=1)
    )
    steady = mapping(phase="steady", duration=BARE_DURATION, users=1)
    root = mapping(
        **({} if host is None else {"target": host}),
        name=name or "run",
        locustfile=str(locustfile),
        load=Sequence(load or (steady,), flag),
    )
    return _loaded(root, overrides, environ, [])


def _loaded(
    root: Mapping | None,
    overrides: Overrides,
    environ: collections.abc.Mapping[str, str] | None,
    mistakes: list[Mistake],
) -> LoadedPlan:
    environ = os.environ if environ is None else environ
    changes = Changes(overrides, environ, mistakes, None if root is None else suite_of(root))
    if root is None:
        raise PlanError(_in_order(mistakes))
    tree = changed_tree(root, overrides, environ, mistakes)
    plan, places = read_sections(tree, Values(mistakes), environ)
    if plan is not None:
        # What the plan holds is written into the run's folder and sent to every worker.
        told = repr(plan)
        for name in (*plan.secrets, *((token_variable(plan.prometheus),) if plan.prometheus else ())):
            if (value := environ.get(name)) and repr(value)[1:-1] in told:
                message = f"the value of the secret {quoted(name)} stands in the plan, or in a flag, as it is"
                if name in plan.secrets:
                    place, hint = places["secrets",], f"write ${{{name}}} in its place"
                else:
                    place, hint = places["prometheus",], "remove it"
                mistakes.append(mistake_at(place, message, hint))
    if plan is None or mistakes:
        raise PlanError(_in_order(mistakes))
    return LoadedPlan(changes.applied(plan, places["load",]), places)


def _in_order(mistakes: list[Mistake]) -> list[Mistake]:
    """Those of flags first, then by file and line; what an anchor repeats is said once."""

    def place(mistake: Mistake) -> tuple[str, int, int]:
        at = mistake.position or Position("", 0, 0, "")
        return at.file, at.line, at.column

    return sorted(dict.fromkeys(mistakes), key=place)
