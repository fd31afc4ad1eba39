"""The load read phase by phase: users or arrivals, never both kinds in one plan."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from loadproof.errors import Position
from loadproof.plan.model import RATE_PERIOD_S, Phase
from loadproof.plan.node import Node, Place, Scalar, described, quoted
from loadproof.plan.values import MAX_DURATION_US, PlanPath, Values

MAX_USERS: Final = 10_000_000
MAX_ARRIVALS: Final = 1_000_000 * RATE_PERIOD_S

_PHASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_RANGE: Final = re.compile(r"(-?[0-9]{1,20})\s*\.\.\s*(-?[0-9]{1,20})")
_RATE: Final = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*"
_UNIT: Final = r"/\s*(s|min)"
_RATES: Final = re.compile(rf"(?:{_RATE}(?:{_UNIT}\s*)?\.\.\s*)?{_RATE}{_UNIT}")
_PER_S: Final = {"s": Decimal(1), "min": Decimal(60)}


def read_load(node: Node, values: Values, places: dict[PlanPath, Place]) -> tuple[Phase, ...] | None:
    """The phases, None where there is a mistake; the place of each name is kept under ("load", name).

    A phase with arrivals that says nothing about users has 0 of them: `scaling.with_pool` knows how many serve.
    """
    items = values.items(node, "load", "phases")
    if items is None:
        return None
    if not items:
        values.wrong(node, "`load` has no phases", "add {phase: steady, duration: 5m, users: 10}")
        return None
    reader = _Phases(values, places)
    phases = [phase for item in items if (phase := reader.phase(item)) is not None]
    if len(phases) < len(items):
        return None
    _refuse_mixture(items, phases, values)
    if phases[0].arrivals_from is not None:
        if not any(phase.arrivals_from or phase.arrivals_to for phase in phases):
            values.wrong(node, "no phase has any arrivals", "give `arrivals` a rate above 0")
    elif not any(phase.users_from or phase.users_to for phase in phases):
        values.wrong(node, "no phase has any users", "give `users` a number above 0")
    if sum(phase.duration_us for phase in phases) > MAX_DURATION_US:
        values.wrong(node, "the phases together are longer than a year")
    return tuple(phases)


def _refuse_mixture(items: tuple[Node, ...], phases: list[Phase], values: Values) -> None:
    is_open = phases[0].arrivals_from is not None
    for item, phase in zip(items, phases, strict=True):
        if (phase.arrivals_from is not None) is is_open:
            continue
        first = items[0].place
        where = f" in line {first.line}" if isinstance(first, Position) else ""
        this, other = ("has no `arrivals`", "has") if is_open else ("has `arrivals`", "has not")
        message = f"phase {quoted(phase.name)} {this}, and phase {quoted(phases[0].name)}{where} {other}"
        values.wrong(item, message, "a plan is open, with `arrivals` in every phase, or closed")
        return


class _Phases:
    """Every reader gives None when it has added a mistake."""

    def __init__(self, values: Values, places: dict[PlanPath, Place]) -> None:
        self.values = values
        self.places = places

    def phase(self, node: Node) -> Phase | None:
        values = self.values
        known = ("phase", "duration", "users", "arrivals", "pace", "warmup")
        before = len(values.mistakes)
        given = values.entries(node, "a phase", known, required=("phase", "duration"))
        if given is None:
            return None
        name = None
        if "phase" in given:
            rule = "letters, digits, - _ and ."
            name = values.named(given["phase"], "phase", _PHASE, rule)
            values.distinct(self.places, ("load", name), given["phase"], "phase")
        duration = values.duration(given["duration"], "duration") if "duration" in given else None
        users, arrivals, pace = self._work(given)
        if users is None and arrivals is None and len(values.mistakes) == before:
            values.wrong(node, "a phase needs `users` or `arrivals`")
        warmup = values.boolean(given["warmup"], "warmup") if "warmup" in given else False
        if name is None or duration is None or warmup is None or len(values.mistakes) > before:
            return None
        first, last = users or (0, 0)
        rate_first, rate_last = arrivals or (None, None)
        return Phase(
            name=name,
            duration_us=duration,
            users_from=first,
            users_to=last,
            warmup=warmup,
            arrivals_from=rate_first,
            arrivals_to=rate_last,
            pace_us=pace,
        )

    def _work(
        self, given: dict[str, Node]
    ) -> tuple[tuple[int, int] | None, tuple[int, int] | None, int | None]:
        """Users, arrivals and pace of a phase."""
        values = self.values
        users = arrivals = pace = None
        if "arrivals" in given:
            arrivals = self._arrivals(given["arrivals"])
            if "users" in given:
                what = "a whole number beside `arrivals`: how many users serve them"
                pool = values.integer(given["users"], "users", 1, MAX_USERS, what)
                users = None if pool is None else (pool, pool)
        elif "users" in given:
            users = self._users(given["users"])
        if "pace" in given:
            pace = values.duration(given["pace"], "pace")
            if "arrivals" in given:
                values.wrong(
                    given["pace"], "`pace` spaces the tasks of users; here `arrivals` do", "remove it"
                )
        return users, arrivals, pace

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

    def _arrivals(self, node: Node) -> tuple[int, int] | None:
        """A constant rate, or a range such as `0..1000/s` whose first end may leave out a unit that both share."""
        ends = _RATES.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
        if ends is None:
            message = (
                f"`arrivals` must be a rate or a range such as 100/s or 0..1000/s, not {described(node)}"
            )
            is_number = isinstance(node, Scalar) and re.fullmatch(r"[0-9.\s]+", node.text)
            self.values.wrong(node, message, "a rate needs its unit: /s or /min" if is_number else None)
            return None
        first, first_unit, last, unit = ends.groups()
        rates = [Decimal(last) / _PER_S[unit]]
        if first is not None:
            rates.insert(0, Decimal(first) / _PER_S[first_unit or unit])
        whole = [int((rate * RATE_PERIOD_S).to_integral_value(ROUND_HALF_UP)) for rate in rates]
        if max(whole) <= MAX_ARRIVALS and not any(
            rate and not number for rate, number in zip(rates, whole, strict=True)
        ):
            return whole[0], whole[-1]
        most = f"{MAX_ARRIVALS // RATE_PERIOD_S:,}/s"
        self.values.wrong(node, f"`arrivals` must be 0 or from 0.000001/s to {most}, not {described(node)}")
        return None
