"""How a report writes numbers, limits and times for people; absent is a dash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from loadproof.units import ABSENT, format_bytes, format_count, format_duration, format_rate, format_ratio
from loadproof.verdict.drift import UNITS
from loadproof.verdict.result import Reason, RuleResult, RuleVerdict, Verdict
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.faults import FaultTold
    from analyzer.model import Report
    from loadproof.verdict.drift import Drift
    from loadproof.verdict.growth import Growth
    from loadproof.verdict.searched import Searched

_BY_UNIT: Final[dict[str, Callable[[float | None], str]]] = {
    "us": format_duration,
    "ratio": format_ratio,
    "per_s": format_rate,
    "bytes": format_bytes,
    "count": format_count,
}
VERDICT_MEANS: Final = {
    Verdict.PASS: "Every rule holds, and the evidence is complete.",
    Verdict.WARN: "No limit is broken, but something needs a look.",
    Verdict.FAIL: "A limit is broken.",
    Verdict.INVALID: "This run proves nothing: its evidence is missing or the load was not the plan's.",
}


def value_text(unit: str, value: float | None) -> str:
    """A value in its rule's base unit; infinity is a latency above every measured one."""
    if value is None:
        return ABSENT
    if math.isinf(value):
        return "∞"
    return _BY_UNIT.get(unit, format_count)(value)


def recovery_text(told: FaultTold | None) -> str:
    """How a fault was recovered from, in a clause."""
    if told is None or told.recovered is None:
        why = told.nothing if told and told.nothing else "too little was seen after it"
        return f"recovery not known: {why}"
    if told.recovery_us is None:
        return f"not recovered in {format_duration(told.watched_us)}"
    return f"recovered in {format_duration(told.recovery_us)}" if told.recovery_us else "recovered at once"


def after_text(us: int | None) -> str:
    """How long after something: `at once`, `3 s`."""
    return "at once" if us == 0 else format_duration(us)


def change_text(unit: str, change: float | None) -> str:
    """`+10 %` of what it was; of a ratio `+0.5 points`."""
    if change is None:
        return ABSENT
    if math.isinf(change):
        return "+∞" if change > 0 else "-∞"
    text = f"{change * 100:+.2f}" if abs(change) < 0.00995 else f"{change * 100:+.1f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'0' if text in {'+0', '-0'} else text} {'points' if unit == 'ratio' else '%'}"


def endpoint_text(method: str, name: str) -> str:
    """`POST /policies/:id`, whether the name was given with its method or without."""
    return name if name.startswith(f"{method} ") else f"{method} {name}"


def resource_text(name: str, value: float | None) -> str:
    """A resource's reading: `cpu` and `memory` are shares of what may be used, `rss`, `vsz`, `state` and `heap` bytes."""
    kind = name.rpartition(".")[2]
    unit = "ratio" if kind == "cpu" else UNITS.get(kind, Unit.NUMBER).value
    return value_text(unit, value)


def limit_text(rule: RuleResult) -> str:
    if isinstance(rule.limit, tuple):
        low, high = rule.limit
        return f"{value_text(rule.unit, low)} to {value_text(rule.unit, high)}"
    return value_text(rule.unit, rule.limit)


def growth_text(unit: str, growth: Growth | None) -> tuple[str, str]:
    """The value with its sign, and its interval."""
    if growth is None:
        return ABSENT, ABSENT
    numbers = (growth.value, growth.low, growth.high)
    if unit == "count":
        numbers = tuple(round(number) if abs(number) >= 100 else number for number in numbers)  # type: ignore[assignment]
    value, low, high = (value_text(unit, number) for number in numbers)
    low, high = (text[1:] if text.startswith("-0 ") else text for text in (low, high))
    return f"+{value}" if value[0].isdigit() and growth.value > 0 else value, f"{low} to {high}"


def ahead_text(drift: Drift) -> str:
    """`all the memory that may be used in 3.2 h`."""
    return ABSENT if drift.reaches is None else f"{drift.reaches} in {format_duration(drift.in_us)}"


def confidence_text(rule: RuleResult) -> str:
    if rule.confidence is None:
        return ABSENT
    low, high = rule.confidence
    return f"{value_text(rule.unit, low)} to {value_text(rule.unit, high)}"


def count_rows(report: Report) -> tuple[tuple[str, str], ...]:
    """The four counts of the run's requests, each with who counted."""
    books = report.books
    ok, failed, unfinished = books.ok, books.failed, books.unfinished
    parts = f"{format_count(ok)} ok + {format_count(failed)} failed + {format_count(unfinished)} unfinished"
    wire = f"{format_count(books.answered)} exchanges answered, {format_count(books.unanswered)} not"
    note = report.target_counted_note if books.target_counted is None else None
    return (
        ("journals: requests started", format_count(books.started)),
        (f"journals: {parts}", format_count(ok + failed + unfinished)),
        ("Locust's own total, without the unfinished", format_count(books.locust_counted)),
        (f"the target's own count ({note or wire})", format_count(books.target_counted)),
    )


def lost_text(report: Report) -> tuple[str, ...]:
    """What is in neither book: attempts without a connection, and starts that were never made."""
    unconnected, arrivals = report.books.unconnected, report.arrivals
    texts = []
    if unconnected:
        texts.append(
            f"Attempts that never had a connection, so nothing on the wire: {format_count(unconnected)}."
        )
    if arrivals.dropped:
        texts.append(
            f"Intended starts that were dropped: {format_count(arrivals.dropped)} of "
            f"{format_count(arrivals.taken + arrivals.dropped)}; {format_count(arrivals.no_user)} as no user was "
            f"free in time (the target's doing), {format_count(arrivals.late)} as our own timer was late (the "
            "generator's)."
        )
    return tuple(texts)


def books_text(report: Report) -> str:
    """Whether the books agree, as far as they could be compared."""
    if report.books.differences:
        return "The books do not agree."
    if report.books.gaps:
        return "A part of the journals is missing, so the books cannot be closed."
    if report.books.target_counted is None:
        return "The books agree as far as they go: the target did not count."
    return "The books agree."


def clock_text(microseconds: int | None) -> str:
    """Run time as `m:ss`, `h:mm:ss` from an hour on."""
    if microseconds is None:
        return ABSENT
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def second_text(second: int | None) -> str:
    """A second of the run as `clock_text` writes it."""
    return clock_text(None if second is None else second * 1_000_000)


def in_trouble(rules: tuple[RuleResult, ...]) -> tuple[RuleResult, ...]:
    """The rules that keep a run from PASS, the broken ones first."""
    order = (RuleVerdict.FAIL, RuleVerdict.NO_DATA, RuleVerdict.WARN)
    found = [
        rule
        for rule in rules
        if rule.verdict in order and not (rule.optional and rule.verdict is RuleVerdict.NO_DATA)
    ]
    return tuple(sorted(found, key=lambda rule: order.index(rule.verdict)))


def beyond_rules(report: Report) -> tuple[Reason, ...]:
    """The reasons that say more than some rule's own line does, by weight."""
    said = {f"{rule.rule}: {rule.reason}" for rule in report.rules}
    said |= {f"{rule.rule} has no data: {rule.reason}" for rule in report.rules}
    return tuple(reason for reason in by_weight(report.reasons) if reason.text not in said)


def by_weight(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """The reasons with those first that alone would make the run's verdict worst."""
    order = (Verdict.FAIL, Verdict.INVALID, Verdict.WARN, Verdict.PASS)
    return tuple(sorted(reasons, key=lambda reason: order.index(reason.verdict)))


def loads_text(found: Searched) -> str:
    """What a search counts its loads in."""
    return "arrivals/s" if found.unit is Unit.RATE else "users"
