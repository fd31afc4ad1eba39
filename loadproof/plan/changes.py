"""Flags and environment variables that change a plan as a whole, after it is read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from loadproof.errors import Mistake, PlanError
from loadproof.plan.core_schema import resolved
from loadproof.plan.node import Scalar, mistake_at
from loadproof.plan.phases import MAX_USERS
from loadproof.plan.scaling import (
    capacity,
    keep_regions,
    scale_duration,
    scale_users,
    spread_workers,
    with_pool,
    with_spawn_rate,
)
from loadproof.plan.sections import MAX_WORKERS
from loadproof.plan.values import Values
from loadproof.plan.variables import variable
from loadproof.units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loadproof.plan.model import Plan
    from loadproof.plan.node import Place
    from loadproof.plan.overrides import Overrides
    from loadproof.plan.variables import Variable

_By = TypeVar("_By")


class Changes:
    """The flags and variables that change a plan as a whole; their own mistakes are found at once."""

    def __init__(
        self, overrides: Overrides, environ: Mapping[str, str], mistakes: list[Mistake], suite: str | None
    ) -> None:
        self.regions = overrides.region or None
        values = Values(mistakes)
        self.users_place, users = _flag_or_variable(
            "--users", overrides.users, variable("users", suite, environ), overrides
        )
        self.users = values.integer(users, "users", 1, MAX_USERS) if users else None
        self.duration_place, duration = _flag_or_variable(
            "--duration", overrides.duration, variable("duration", suite, environ), overrides
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

        def change(place: str, scale: Callable[[Plan, _By], Plan], by: _By | None) -> None:
            nonlocal plan
            if by is None:
                return
            try:
                plan = scale(plan, by)
            except PlanError as error:
                mistakes.extend(
                    replace(mistake, message=f"{place}: {mistake.message}") for mistake in error.mistakes
                )

        region_place = " ".join(f"--region {name}" for name in self.regions or ())
        change(region_place, keep_regions, self.regions)
        change(f"--workers {self.workers}", spread_workers, self.workers)
        change(self.users_place, scale_users, self.users)
        change(self.duration_place, scale_duration, self.duration_us)
        change(f"--spawn-rate {self.spawn_rate}", with_spawn_rate, self.spawn_rate)
        plan = with_pool(plan)
        room = capacity(plan)
        if not mistakes and room is not None and plan.max_users > room:
            place = self.users_place if self.users else region_place or load_place
            users, taken = format_count(plan.max_users), format_count(room)
            message = f"{users} users are more than the {taken} that the regions take together"
            hint = "lower the phase's `users`" if plan.open else "use --users"
            mistakes.append(mistake_at(place, message, f"raise `max_users`, or {hint}"))
        if mistakes:
            raise PlanError(mistakes)
        return plan


def _flag_or_variable(
    flag: str,
    given: str | int | None,
    named: Variable | None,
    overrides: Overrides,
) -> tuple[str, Scalar | None]:
    """A flag's value, else the variable's, unless `--set` (a flag too) sets the same part of the load."""
    if given is not None:
        place = f"{flag} {given}"
        return place, Scalar(given, str(given), place)
    if named is None or any(_sets(setting, flag.removeprefix("--")) for setting in overrides.set):
        return flag, None
    place = f"{named.name}={named.text}"
    return place, Scalar(resolved(named.text), named.text, place)


def _sets(setting: str, key: str) -> bool:
    steps = setting.partition("=")[0].strip().split(".")
    return steps[0] == "load" and steps[2:] in ([], [key])
