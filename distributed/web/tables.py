"""What the tabs of the web UI are made of: tables of texts for people, the same during a run and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadproof.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_duration,
    format_rate,
    format_ratio,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from loadproof.verdict.result import RuleResult

Cell = str | dict[str, str]
"""A text, or one with the `mark` that colours it: `pass`, `warn`, `fail`, `invalid` or `none`."""
_FORMATS: Final[dict[str, Callable[[float | None], str]]] = {
    "us": format_duration,
    "ms": lambda value: format_duration(None if value is None else value * 1_000),
    "ratio": format_ratio,
    "per_s": format_rate,
    "bytes": format_bytes,
    "count": format_count,
}
RULE_COLUMNS: Final = ("Rule", "State", "Value so far", "Limit", "Goal", "Margin", "Samples", "Why")


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = ""
) -> dict[str, Any]:
    """A table as the page draws it, without a head where `columns` is empty; `note` stands below it."""
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows], "note": note}


def marked(text: str, mark: str) -> Cell:
    return {"text": text, "mark": mark}


def in_unit(value: float | None, unit: str) -> str:
    """A rule's number in the unit that it is measured in."""
    return _FORMATS.get(unit, format_count)(value)


def rule_row(
    rule: str,
    state: str,
    value: float | None,
    operator: str,
    limit: float | Sequence[float] | None,
    unit: str,
    goal: str | None,
    margin: float | None,
    samples: int | None,
    reason: str,
) -> list[Cell]:
    bounds = [limit] if limit is None or isinstance(limit, (int, float)) else limit
    limits = " to ".join(in_unit(bound, unit) for bound in bounds)
    return [
        rule,
        state_cell(state),
        in_unit(value, unit),
        f"{operator} {limits}",
        goal or ABSENT,
        format_ratio(margin),
        format_count(samples),
        reason,
    ]


def state_cell(state: str) -> Cell:
    """A verdict of a rule or a run in its colour."""
    mark = state.lower()
    return marked(state.replace("_", " "), mark if mark in {"pass", "warn", "fail", "invalid"} else "none")


def live_rule(result: RuleResult) -> list[Cell]:
    return rule_row(
        result.rule,
        result.verdict.value,
        result.value,
        result.operator,
        result.limit,
        result.unit,
        result.goal,
        result.margin,
        result.samples,
        result.reason,
    )


def final_rule(document: Mapping[str, Any]) -> list[Cell]:
    """A rule of `results.json`."""
    return rule_row(
        document["rule"],
        document["verdict"],
        document["value"],
        document["operator"],
        document["limit"],
        document["unit"],
        document["goal"],
        document["margin"],
        document["samples"],
        document["reason"],
    )


def accounting(
    *,
    started: int,
    ok: int,
    failed: int,
    unfinished: int,
    dropped: int,
    in_flight: int | None,
    expected: int,
    present: int,
    counted: int | None,
    counted_note: str,
    differences: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Both books of the run: what was begun, and what became of it."""
    open_now = started - ok - failed - unfinished
    rows: list[list[Cell]] = [
        ["Started", format_count(started), "requests that users have begun"],
        ["Ok", format_count(ok), f"{format_ratio(ok / started if started else None)} of those started"],
        [
            "Failed",
            format_count(failed),
            f"{format_ratio(failed / started if started else None)}, with timeouts",
        ],
        ["Unfinished", format_count(unfinished), "ended by us before an answer"],
        ["Dropped", format_count(dropped), "starts of an open plan that nobody began"],
    ]
    if in_flight is not None:
        rows.append(["In flight", format_count(in_flight), "begun, and waiting for the answer"])
    else:
        rows.append(
            [
                "Not accounted for",
                marked(format_count(open_now), "fail" if open_now else "pass"),
                "started, less ok, failed and unfinished",
            ]
        )
    missing = max(0, expected - present)
    seconds: list[list[Cell]] = [
        ["Expected", format_count(expected), "one a second of every planned worker"],
        ["Present", format_count(present), "on the master's disk"],
        ["Missing", marked(format_count(missing), "fail" if missing and in_flight is None else "none"), ""],
    ]
    target: list[list[Cell]] = [["Counted", format_count(counted), counted_note]]
    return [
        table("Requests", (), rows),
        table("Intervals in the journals", (), seconds),
        table("On the target's side", (), target),
        *([table("What does not add up", (), [[text] for text in differences])] if differences else []),
    ]
