"""A run beside its baselines: digests in, a Comparison out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import expm1, log1p
from statistics import median
from typing import TYPE_CHECKING, Final

from analyzer.conditions import unlike
from analyzer.wording import change_text, value_text
from loadproof.units import format_count, format_duration
from loadproof.verdict.compared import Compared, ComparedEndpoint, Comparison, Word
from loadproof.verdict.difference import (
    Difference,
    as_change,
    as_difference,
    conclude,
    difference,
    holm,
    mean_of,
    noise,
    stated_noise,
)
from loadproof.verdict.generator import LAG_FLOOR_US
from loadproof.verdict.rule import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.digest import Digest, EndpointTold, Told

UNTOLD: Final = 0.05
"""More than this share of the requests at endpoints that cannot be told, and the whole cannot be told either."""
_FEWEST_TO_MOVE_APART: Final = 4
"""Endpoints that must be there before one of them can be said to move against the others."""
_MORE_IS_BETTER: Final = frozenset({"rate", "peak_rate", "count", "users", "check"})
_WORST_FIRST: Final = (Word.WORSE, Word.BETTER, Word.CANNOT_TELL, Word.SAME)


@dataclass(frozen=True)
class _Pair:
    """One statistic on both sides, tested but not yet judged among the others."""

    run: Told
    row: Compared
    beyond: float = 0.0
    found: Difference | None = None

    def concluded(self, adjusted: float) -> Compared:
        """The row with the word that the adjusted chance gives it."""
        row, found = self.row, self.found
        assert found is not None
        word = conclude(found, self.beyond, adjusted, more_is_worse=self.run.statistic not in _MORE_IS_BETTER)
        return replace(row, p=adjusted, word=word, reason=_reason(row, word))


def compare(run: Digest, baselines: Sequence[Digest], *, leave: bool = False) -> Comparison:
    """`leave` compares runs that are not alike all the same."""
    names = tuple(baseline.run for baseline in baselines)
    differing = tuple(
        sentence
        for baseline in baselines
        for sentence in unlike(run.conditions, baseline.conditions, baseline.run)
    )
    differing = tuple(dict.fromkeys(differing))
    if differing and not leave:
        text = "cannot tell: the runs are not alike, and what differs between them is not the build alone"
        return Comparison(names, Word.CANNOT_TELL, text, (), (), differing)
    rules = [_pair(told, [_told(baseline.rules, told.what) for baseline in baselines]) for told in run.rules]
    sides = {
        endpoint.name: [_endpoint(baseline, endpoint.name) for baseline in baselines]
        for endpoint in run.endpoints
    }
    endpoints = {
        endpoint.name: [
            _pair(told, [_told(side.rows, told.what) if side else None for side in sides[endpoint.name]])
            for told in endpoint.rows
        ]
        for endpoint in run.endpoints
    }
    every = [*rules, *(pair for pairs in endpoints.values() for pair in pairs)]
    tested = [pair for pair in every if pair.found is not None]
    chances = holm([pair.found.p for pair in tested if pair.found is not None])
    adjusted = {id(pair): chance for pair, chance in zip(tested, chances, strict=True)}

    def told(pair: _Pair) -> Compared:
        return pair.concluded(adjusted[id(pair)]) if id(pair) in adjusted else pair.row

    rows = tuple(map(told, rules))
    found = [
        _judged_endpoint(endpoint, tuple(map(told, endpoints[endpoint.name]))) for endpoint in run.endpoints
    ]
    found = _with_those_apart(found)
    found.sort(key=lambda one: (_WORST_FIRST.index(one.word), -(one.requests or 0), one.name))
    word = _whole(rows, found)
    return Comparison(
        names,
        word,
        _sentence(word, rows, found, len(tested)),
        rows,
        tuple(found),
        differing,
        _notes(run, baselines),
        len(tested),
    )


def _pair(told: Told, others: Sequence[Told | None]) -> _Pair:
    known = [other for other in others if other is not None]
    relative = told.unit != Unit.RATIO
    estimates = [made for other in known if (made := other.estimate()) is not None]
    values = [other.value for other in known if other.value is not None]
    largest = max([stated_noise(told.statistic), _lag_share([told, *known])])
    stated = as_difference(largest, relative=relative)
    row = Compared(
        told.what,
        told.unit,
        told.value,
        sum(values) / len(values) if values and len(values) == len(known) else None,
        None,
        None,
        largest,
        None,
        Word.CANNOT_TELL,
        "",
    )
    mine = told.estimate()
    if mine is None or not known or len(estimates) < len(others):
        missing = "no baseline has any such request" if not known else None
        why = told.why or missing or next((other.why for other in known if other.why), "a baseline lacks it")
        return _Pair(told, replace(row, reason=f"{_side(told, known)}{why}"))
    late = [one.lag for one in (told, *known) if one.lag > max(LAG_FLOOR_US, (one.value or 0) / 10)]
    if late:
        why = f"the generator itself was late by {format_duration(max(late))} at this percentile"
        return _Pair(told, replace(row, reason=f"{why}: too busy a machine to tell"))
    baseline = mean_of(estimates)
    beyond = noise(stated, [one.value for one in estimates])
    found = difference(mine, baseline, beyond)
    row = replace(
        row,
        baseline=as_change(baseline.value, relative=True) + 1 if relative else baseline.value,
        change=as_change(found.value, relative=relative),
        interval=(as_change(found.low, relative=relative), as_change(found.high, relative=relative)),
        noise=as_change(beyond, relative=relative),
    )
    return _Pair(told, row, beyond, found)


def _lag_share(sides: Sequence[Told]) -> float:
    """How much of the latency the generator's own lag is, of run and baselines together; 0 for other statistics.

    A machine that lets timers run late makes whatever else runs on it late too.
    """
    run, *others = sides
    smallest = min((one.value for one in sides if one.value), default=0)
    lag = run.lag + sum(one.lag for one in others) / max(1, len(others))
    return lag / smallest if smallest else 0.0


def _side(told: Told, known: Sequence[Told]) -> str:
    if told.why is not None:
        return "in this run, "
    return "in the baseline, " if any(other.why for other in known) else ""


def _reason(row: Compared, word: Word) -> str:
    low, high = (change_text(row.unit, end) for end in row.interval or (None, None))
    noise_text = change_text(row.unit, row.noise).lstrip("+")
    seen = (
        f"{value_text(row.unit, row.value)} against {value_text(row.unit, row.baseline)}, "
        f"{change_text(row.unit, row.change)} (95 % interval {low} to {high})"
    )
    match word:
        case Word.SAME:
            return f"{seen}: not beyond the noise of {noise_text} and chance"
        case Word.CANNOT_TELL:
            return f"{seen}: too uncertain beside the noise of {noise_text}"
        case _:
            return f"{seen}: beyond the noise of {noise_text} and chance"


def _judged_endpoint(endpoint: EndpointTold, rows: tuple[Compared, ...]) -> ComparedEndpoint:
    """Worse or better by any of its rows; else as its median, which needs the fewest requests."""
    words = {row.word for row in rows}
    word = next((one for one in (Word.WORSE, Word.BETTER) if one in words), rows[0].word)
    return ComparedEndpoint(endpoint.name, endpoint.requests, word, rows)


def _with_those_apart(found: list[ComparedEndpoint]) -> list[ComparedEndpoint]:
    """An endpoint that moved against the others is not the same, though it may lie within the noise.

    A machine that was busier in one of the runs moves all endpoints, and hides what one of them did by itself.
    """
    moved = {
        one.name: log1p(one.rows[0].change) for one in found if one.rows and one.rows[0].change is not None
    }
    if len(moved) < _FEWEST_TO_MOVE_APART:
        return found
    told = []
    for endpoint in found:
        row = endpoint.rows[0] if endpoint.rows else None
        if row is not None and endpoint.word is Word.SAME:
            apart = moved[endpoint.name] - median(moved[name] for name in moved if name != endpoint.name)
            if abs(apart) > log1p(row.noise):
                moves = change_text(row.unit, expm1(apart))
                reason = f"{row.reason}; but it moved by {moves} beside the other endpoints"
                rows = (replace(row, word=Word.CANNOT_TELL, reason=reason), *endpoint.rows[1:])
                endpoint = replace(endpoint, word=Word.CANNOT_TELL, rows=rows)  # noqa: PLW2901 the same one, told
        told.append(endpoint)
    return told


def _whole(rules: Sequence[Compared], endpoints: Sequence[ComparedEndpoint]) -> Word:
    words = {row.word for row in rules} | {endpoint.word for endpoint in endpoints}
    for word in (Word.WORSE, Word.BETTER):
        if word in words:
            return word
    every = sum(endpoint.requests or 0 for endpoint in endpoints)
    untold = sum(endpoint.requests or 0 for endpoint in endpoints if endpoint.word is Word.CANNOT_TELL)
    return Word.CANNOT_TELL if every == 0 or untold > UNTOLD * every else Word.SAME


def _sentence(
    word: Word, rules: Sequence[Compared], endpoints: Sequence[ComparedEndpoint], tests: int
) -> str:
    told = [("", row) for row in rules]
    told += [(f" of {endpoint.name}", row) for endpoint in endpoints for row in endpoint.rows]
    if word in {Word.WORSE, Word.BETTER}:
        named = [(where, row) for where, row in told if row.word is word]
        # An endpoint by its name says more than a rule over all of them.
        named.sort(key=lambda one: (not one[0], -abs(one[1].change or 0)))
        shown = "; ".join(f"{row.what}{where} is {row.reason}" for where, row in named[:3])
        more = f"; and {len(named) - 3} more" if len(named) > 3 else ""
        return f"{word}: {shown}{more}"
    untold = sum(endpoint.word is Word.CANNOT_TELL for endpoint in endpoints)
    if word is Word.CANNOT_TELL:
        if not endpoints:
            return "cannot tell: no endpoint was asked in the judged phases"
        first = next(endpoint for endpoint in endpoints if endpoint.word is Word.CANNOT_TELL)
        return (
            f"cannot tell: {format_count(untold)} of {format_count(len(endpoints))} endpoints; "
            f"{first.rows[0].what} of {first.name} is {first.rows[0].reason}"
        )
    rest = f"; {format_count(untold)} rare endpoints cannot be told" if untold else ""
    return f"same: none of {format_count(tests)} differences is beyond noise and chance{rest}"


def _notes(run: Digest, baselines: Sequence[Digest]) -> tuple[str, ...]:
    here = {endpoint.name for endpoint in run.endpoints}
    gone = {endpoint.name for baseline in baselines for endpoint in baseline.endpoints} - here
    return tuple(f"{name} has requests in a baseline and none in this run" for name in sorted(gone))


def _told(rows: Sequence[Told], what: str) -> Told | None:
    return next((row for row in rows if row.what == what), None)


def _endpoint(baseline: Digest, name: str) -> EndpointTold | None:
    return next((endpoint for endpoint in baseline.endpoints if endpoint.name == name), None)
