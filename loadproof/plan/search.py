"""The `search` of a plan: where the highest load that the target sustains is looked for, and how closely."""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.plan.edits import LoadEdit
from loadproof.plan.model import PARTS, RATE_PERIOD_S, Search
from loadproof.plan.node import Mapping, Scalar, described, quoted
from loadproof.units import duration_text, format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Phase, Plan
    from loadproof.plan.node import Node
    from loadproof.plan.values import Values

KEYS: Final = ("from", "to", "settle", "hold", "precision", "confirm")
SECOND_US: Final = 1_000_000
PROBES: Final = 24
"""So many fit into the phase where the plan does not say how long each takes."""
LONGEST_HOLD_S: Final = 60
SHORTEST_HOLD_S: Final = 2
FIRST_PART: Final = 50
"""The first load that is tried is so small a part of the highest, where the plan does not say."""
MOST_CONFIRM: Final = 20
TURN_S: Final = 3
"""What a probe takes beside settling and holding: until its last second is known, and the next load is everywhere."""
LONGER: Final = "make the phase longer, or `settle` and `hold` shorter"
_PERCENT: Final = re.compile(r"(\d{1,2}(?:\.\d{1,3})?)\s*%")
_RATE: Final = re.compile(r"(\d{1,7}(?:\.\d{1,2})?)\s*/\s*s")
FINE_BELOW: Final = 100 * RATE_PERIOD_S


class Steps(NamedTuple):
    """A plan's search in numbers: loads as whole multiples of `grain`, in the plan's unit of load; times in seconds."""

    grain: int
    lowest: int
    highest: int
    settle_s: int
    hold_s: int


def read_search(node: Node, values: Values, load: Sequence[Phase] | None) -> Search | None:
    """None where there is a mistake."""
    before = len(values.mistakes)
    if isinstance(node, Mapping) and not node.entries:
        given: dict[str, Node] | None = {}
    else:
        given = values.entries(node, "`search`", KEYS)
    if given is None or not load:
        return None
    phase = load[-1]
    is_open = phase.arrivals_from is not None
    most = peak(phase)

    def level(key: str) -> int | None:
        if key not in given:
            return None
        if is_open:
            return _rate(given[key], key, values)
        return values.integer(given[key], key, 1, 10**9)

    lowest, highest = level("from"), level("to")
    if highest is not None and highest > most:
        message = f"`to` is above the {_shown(most, is_open=is_open)} of the phase {quoted(phase.name)}"
        hint = "the search happens in the last phase: raise its load, or leave `to` out"
        values.wrong(given["to"], message, hint)
    if lowest is not None and lowest > (highest or most):
        message = (
            f"`from` is above the highest load of the search, {_shown(highest or most, is_open=is_open)}"
        )
        values.wrong(given["from"], message)
    if most == 0 or phase.warmup:
        what = "is warm-up" if phase.warmup else "has no load"
        message = f"the search happens in the last phase, and {quoted(phase.name)} {what}"
        values.wrong(node, message, "add a phase with the highest load that may be tried")
    settle_us = _at_least(1, given["settle"], "settle", values) if "settle" in given else None
    hold_us = _at_least(SHORTEST_HOLD_S, given["hold"], "hold", values) if "hold" in given else None
    precision = _precision(given["precision"], values) if "precision" in given else 50_000
    confirm = values.integer(given["confirm"], "confirm", 1, MOST_CONFIRM) if "confirm" in given else 2
    if precision is None or confirm is None or len(values.mistakes) > before:
        return None
    search = Search(
        lowest=lowest,
        highest=highest,
        settle_us=settle_us,
        hold_us=hold_us,
        precision=precision,
        confirm=confirm,
    )
    if (short := too_short(search, phase)) is not None:
        values.wrong(node, short, LONGER)
        return None
    return search


def too_short(search: Search, phase: Phase) -> str | None:
    """What to say of a phase into which not even two probes fit."""
    steps = _steps(search, phase)
    probe_s = steps.settle_s + steps.hold_s + TURN_S
    if 2 * probe_s * SECOND_US <= phase.duration_us:
        return None
    return (
        f"two probes of {probe_s} s each do not fit into the phase {quoted(phase.name)}, which lasts "
        f"{format_duration(phase.duration_us)}"
    )


def search_document(search: Search, *, is_open: bool) -> dict[str, object]:
    """As a plan says it, without what is said by leaving it out."""

    def level(load: int) -> object:
        return f"{(Decimal(load) / RATE_PERIOD_S).normalize():f}/s" if is_open else load

    written: dict[str, object] = {}
    if search.lowest is not None:
        written["from"] = level(search.lowest)
    if search.highest is not None:
        written["to"] = level(search.highest)
    if search.settle_us is not None:
        written["settle"] = duration_text(search.settle_us)
    if search.hold_us is not None:
        written["hold"] = duration_text(search.hold_us)
    written["precision"] = f"{(Decimal(search.precision) / (PARTS // 100)).normalize():f}%"
    written["confirm"] = search.confirm
    return written


def peak(phase: Phase) -> int:
    """The highest load of a phase, in the plan's unit of load."""
    if phase.arrivals_from is not None and phase.arrivals_to is not None:
        return max(phase.arrivals_from, phase.arrivals_to)
    return max(phase.users_from, phase.users_to)


def searched_from_us(plan: Plan) -> int | None:
    """Run time at which the search begins; None in a plan without."""
    return None if plan.search is None else plan.duration_us - plan.load[-1].duration_us


def steps_of(plan: Plan) -> Steps:
    """Of a plan that searches: with all that follows from its last phase, and below the guard on users."""
    assert plan.search is not None
    steps = _steps(plan.search, plan.load[-1])
    for guard in plan.guards:
        levels = [level for level in (guard.warn, guard.stop) if level is not None]
        if guard.name == "users" and levels and not plan.open:
            highest = max(1, min(steps.highest, min(levels) - 1))
            steps = steps._replace(highest=highest, lowest=min(steps.lowest, highest))
    return steps


def first_edit(plan: Plan) -> LoadEdit:
    """With what the searched phase begins, whatever load the plan gives it: its lowest."""
    began_us, steps = searched_from_us(plan), steps_of(plan)
    assert began_us is not None
    return LoadEdit(began_us, steps.lowest * steps.grain)


def level_text(level: int, *, grain: int, is_open: bool) -> str:
    """`1,200 users` or `350/s`."""
    return _shown(level * grain, is_open=is_open)


def _steps(search: Search, phase: Phase) -> Steps:
    is_open = phase.arrivals_from is not None
    highest = search.highest or peak(phase)
    grain = 1
    if is_open:
        grain = RATE_PERIOD_S if highest >= FINE_BELOW else RATE_PERIOD_S // 100
    probe_s = phase.duration_us // SECOND_US // PROBES - TURN_S
    hold_s = max(SHORTEST_HOLD_S, min(LONGEST_HOLD_S, probe_s * 2 // 3))
    if search.hold_us is not None:
        hold_s = max(SHORTEST_HOLD_S, search.hold_us // SECOND_US)
    settle_s = max(1, hold_s // 2)
    if search.settle_us is not None:
        settle_s = max(1, -(-search.settle_us // SECOND_US))
    top = max(1, highest // grain)
    lowest = ceil(top / FIRST_PART) if search.lowest is None else max(1, search.lowest // grain)
    return Steps(grain, min(lowest, top), top, settle_s, hold_s)


def _shown(load: int, *, is_open: bool) -> str:
    if is_open:
        return f"{format_count(load / RATE_PERIOD_S)}/s"
    return f"{format_count(load)} user{'s'[: load != 1]}"


def _rate(node: Node, key: str, values: Values) -> int | None:
    match = _RATE.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
    rate = int(Decimal(match[1]) * RATE_PERIOD_S) if match else 0
    if rate:
        return rate
    values.wrong(node, f"{quoted(key)} must be a rate such as 100/s in an open plan, not {described(node)}")
    return None


def _at_least(seconds: int, node: Node, key: str, values: Values) -> int | None:
    """A duration of so many seconds or more: an interval is one second."""
    time_us = values.duration(node, key)
    if time_us is not None and time_us < seconds * SECOND_US:
        values.wrong(node, f"{quoted(key)} must be at least {seconds}s, not {described(node)}")
        return None
    return time_us


def _precision(node: Node, values: Values) -> int | None:
    match = _PERCENT.fullmatch(node.text.strip()) if isinstance(node, Scalar) else None
    parts = int(Decimal(match[1]) * (PARTS // 100)) if match else 0
    if PARTS // 100 <= parts <= PARTS // 4:
        return parts
    values.wrong(node, f"`precision` must be a share from 1% to 25%, not {described(node)}")
    return None
