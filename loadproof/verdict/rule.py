"""A rule as data: what is measured on which requests, the limit, and how both are written.

Limits are exact fractions in the base unit of the rule: microseconds, ratio, per second, bytes, or a plain
number. `str(rule)` is the canonical text, which `grammar.parse_rule` reads back to an equal rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.units import BYTE_UNITS, duration_text

if TYPE_CHECKING:
    from collections.abc import Mapping


class Unit(StrEnum):
    """What a rule's numbers count."""

    DURATION = "us"
    RATIO = "ratio"
    RATE = "per_s"
    BYTES = "bytes"
    NUMBER = "count"


class Operator(StrEnum):
    """How a value must lie to its bound."""

    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"
    ABOVE = ">"

    @property
    def caps(self) -> bool:
        """Whether small values are the good ones."""
        return self in {Operator.AT_MOST, Operator.BELOW}

    @property
    def strict(self) -> bool:
        return self in {Operator.BELOW, Operator.ABOVE}


@dataclass(frozen=True)
class Bound:
    """A limit or a goal with one end, `<= 2s`."""

    operator: Operator
    value: Fraction

    def holds(self, value: Fraction | int) -> bool:
        if self.operator.strict and value == self.value:
            return False
        return value <= self.value if self.operator.caps else value >= self.value

    @property
    def counted_us(self) -> int:
        """The latency such that a request lies beyond this bound's boundary exactly if it took longer.

        Latencies are whole microseconds: `<= L` and `> L` part at L, `< L` and `>= L` at L - 1.
        """
        whole = int(self.value)
        return whole if self.operator in {Operator.AT_MOST, Operator.ABOVE} else whole - 1


@dataclass(frozen=True)
class Span:
    """A goal with two ends, `50%..60%`, both included."""

    low: Fraction
    high: Fraction


@dataclass(frozen=True)
class Relative:
    """A limit that is said by the baseline's value, `baseline + 10%`."""

    offset: Fraction
    """What is added: a share of the baseline if `is_share`, else in the rule's unit."""
    is_share: bool
    baseline: Fraction | None = None
    """The baseline's value, once it is known."""

    def limit(self, baseline: Fraction) -> Fraction:
        return baseline * (1 + self.offset) if self.is_share else baseline + self.offset


class WindowKind(StrEnum):
    FOR = "for"
    """Every full window of that length."""
    WITHIN = "within"
    """Some full window."""
    OVER = "over"
    """The last one."""


@dataclass(frozen=True)
class Window:
    kind: WindowKind
    seconds: int


class Per(StrEnum):
    """What growth is told for."""

    HOUR = "hour"
    """Of run time."""
    REQUESTS = "1000 requests"
    """That ended, of the whole run."""


@dataclass(frozen=True)
class Kind:
    """What the grammar allows for one statistic."""

    labels: tuple[str, ...]
    units: tuple[Unit, ...]
    windows: bool


@dataclass(frozen=True)
class Statistic:
    """What a rule measures."""

    name: str
    """`p95`, `mean`, `check`, ..."""
    argument: str | None = None
    """The name in `check(NAME)`, `metric(NAME)`, `resource(NAME)`, `growth(NAME)`, the expression in `promql(EXPR)`."""

    @property
    def quantile(self) -> Fraction | None:
        """Exactly 0.95 for p95 and 1 for max; None for other statistics."""
        return Fraction(1) if self.name == "max" else quantile_of(self.name)

    @property
    def grown(self) -> Statistic | None:
        """The latency whose growth it is; None for a resource's, and for all that is no growth."""
        inner = Statistic(str(self.argument))
        is_latency = inner.name in _LATENCIES or quantile_of(inner.name) is not None
        return inner if self.name == GROWTH and is_latency else None

    @property
    def kind(self) -> Kind:
        if self.name == GROWTH:
            return _GROWING_LATENCY if self.grown is not None else _GROWING_RESOURCE
        return KINDS[QUANTILE if quantile_of(self.name) is not None else self.name]

    @property
    def is_latency(self) -> bool:
        """Mean, p50 to p99.99 or max of the requests' latencies."""
        return self.kind is _LATENCY

    @property
    def is_sampled(self) -> bool:
        """Read once a second while the run goes on, not counted."""
        return self.name in SAMPLED

    def __str__(self) -> str:
        if self.argument is None:
            return self.name
        # An expression has balanced brackets, and is read up to its last one as it is.
        argument = self.argument if self.name == PROMQL else text_of(self.argument, _BARE_NAME)
        return f"{self.name}({argument})"


@dataclass(frozen=True)
class Rule:
    """One threshold on one statistic of the requests that its selector takes."""

    statistic: Statistic
    selector: Mapping[str, str] = field(hash=False)
    """Label -> value, in the order of `LABELS`."""
    limit: Bound
    """At 0 as long as `is_open`."""
    unit: Unit
    window: Window | None = None
    goal: Bound | Span | None = None
    relative: Relative | None = None
    """How the limit follows from the baseline; None where it is a number of its own."""
    per: Per | None = None
    """What its value is told for; None for all but growth."""

    @property
    def is_open(self) -> bool:
        """Whether the limit hangs on a baseline that is not known."""
        return self.relative is not None and self.relative.baseline is None

    def against(self, baseline: Fraction) -> Rule:
        """The same rule with the limit that follows from the baseline's value, in whole microseconds or billionths."""
        assert self.relative is not None
        exact = max(Fraction(0), self.relative.limit(baseline))
        is_duration = self.unit is Unit.DURATION
        rounded = Fraction(max(1, round(exact))) if is_duration else Fraction(round(exact * 10**9), 10**9)
        return replace(
            self,
            limit=replace(self.limit, value=rounded),
            relative=replace(self.relative, baseline=baseline),
        )

    def unbounded(self) -> Rule:
        """The same measurement against a limit that changes nothing of its value."""
        lowest = 1 if self.unit is Unit.DURATION else 0
        limit = Fraction(_BEYOND_ANY if self.limit.operator.caps else lowest)
        return replace(self, limit=replace(self.limit, value=limit), goal=None, relative=None)

    @property
    def is_census(self) -> bool:
        """The limit is at the end of its scale, so that a single violation breaks it."""
        operator, value = self.limit.operator, self.limit.value
        if operator is Operator.AT_MOST:
            return value == 0 and self.unit is not Unit.DURATION
        return operator is Operator.AT_LEAST and value == 1 and self.statistic.name in SHARES

    def value_text(self, value: Fraction) -> str:
        """A limit or goal of this rule exactly as the grammar reads it."""
        return _WRITERS[self.unit](value)

    @property
    def per_text(self) -> str:
        """What follows a value: ` per hour`, mostly nothing."""
        return "" if self.per is None else f" per {self.per}"

    @property
    def goal_text(self) -> str | None:
        if self.goal is None:
            return None
        if isinstance(self.goal, Span):
            return f"{self.value_text(self.goal.low)}..{self.value_text(self.goal.high)}"
        return f"{self.goal.operator} {self.value_text(self.goal.value)}"

    @property
    def subject(self) -> str:
        """What is measured, without the limit: `p95{phase=steady} for 10s`."""
        return self._measured + self.per_text + self._window_text

    @property
    def limit_text(self) -> str:
        """The limit as the grammar reads it: `2s`, or `baseline + 10%`."""
        if self.relative is None:
            return self.value_text(self.limit.value)
        offset = self.relative.offset
        if offset == 0:
            return "baseline"
        size = abs(offset)
        amount = f"{decimal_text(size * 100)}%" if self.relative.is_share else self.value_text(size)
        return f"baseline {'-' if offset < 0 else '+'} {amount}"

    @property
    def _measured(self) -> str:
        text = str(self.statistic)
        if self.selector:
            pairs = (f"{label}={text_of(value, _BARE_VALUE)}" for label, value in self.selector.items())
            text += "{" + ", ".join(pairs) + "}"
        return text

    @property
    def _window_text(self) -> str:
        if self.window is None:
            return ""
        return f" {self.window.kind} {duration_text(self.window.seconds * 1_000_000)}"

    def __str__(self) -> str:
        text = f"{self._measured} {self.limit.operator} {self.limit_text}{self.per_text}{self._window_text}"
        if self.goal is not None:
            text += f", goal {self.goal_text}"
        return text


LABELS: Final = ("scenario", "region", "name", "method", "phase", "outcome", "fault")
_USERS: Final = ("scenario", "region", "phase")
_WORKERS: Final = ("region", "phase")
_FAULT: Final = ("fault",)
_LATENCY: Final = Kind(LABELS, (Unit.DURATION,), windows=True)
_LATENCIES: Final = frozenset({"mean", "max"})
_GROWING_LATENCY: Final = Kind(LABELS, (Unit.DURATION,), windows=False)
_GROWING_RESOURCE: Final = Kind(("phase",), (Unit.BYTES, Unit.NUMBER, Unit.RATIO), windows=False)
QUANTILE: Final = "quantile"
GROWTH: Final = "growth"
PROMQL: Final = "promql"
KINDS: Final[dict[str, Kind]] = {
    QUANTILE: _LATENCY,
    "mean": _LATENCY,
    "max": _LATENCY,
    "rate": Kind(LABELS, (Unit.RATE,), windows=True),
    "peak_rate": Kind(LABELS[:-1], (Unit.RATE,), windows=False),
    "error_ratio": Kind(tuple(label for label in LABELS if label != "outcome"), (Unit.RATIO,), windows=True),
    "count": Kind(LABELS, (Unit.NUMBER,), windows=True),
    "users": Kind(_USERS, (Unit.NUMBER,), windows=True),
    "stall": Kind((*_WORKERS, *_FAULT), (Unit.DURATION,), windows=False),
    "pacer_lag": Kind(_WORKERS, (Unit.DURATION,), windows=False),
    "receive_lag": Kind(_WORKERS, (Unit.DURATION,), windows=False),
    "user_wait": Kind(_WORKERS, (Unit.DURATION,), windows=False),
    "check": Kind(_USERS, (Unit.RATIO,), windows=True),
    "metric": Kind(_USERS, (Unit.NUMBER, Unit.RATIO), windows=False),
    "resource": Kind(("phase",), (Unit.RATIO, Unit.BYTES, Unit.NUMBER), windows=True),
    GROWTH: _GROWING_RESOURCE,
    "detection_time": Kind(_FAULT, (Unit.DURATION,), windows=False),
    "functionality": Kind(("scenario", *_FAULT), (Unit.RATIO,), windows=False),
    "recovery_time": Kind(_FAULT, (Unit.DURATION,), windows=False),
    "overshoot": Kind(_FAULT, (Unit.RATIO,), windows=False),
    "budget_burnt": Kind(_FAULT, (Unit.RATIO,), windows=False),
    "residue": Kind(_FAULT, (Unit.RATIO,), windows=False),
    "capacity": Kind((), (Unit.NUMBER, Unit.RATE), windows=False),
    PROMQL: Kind(("phase",), (Unit.NUMBER, Unit.RATIO, Unit.DURATION, Unit.BYTES, Unit.RATE), windows=True),
}
"""Every statistic; `quantile` stands for p50 to p99.99."""
RECOVERY: Final = frozenset(
    {"detection_time", "functionality", "recovery_time", "overshoot", "budget_burnt", "residue"}
)
"""What is told of one fault: how it showed, and how the target got well; without `fault` the worst of all."""
INSTEAD_OF_FAULT: Final = {
    "peak_rate": "write rate{fault=...}: of a fault's window there is one rate",
    "check": "a check is of an answer, and is not counted by fault: write error_ratio{fault=...}",
}
"""Statistics that know no `fault` -> what to write in its place."""
SHARES: Final = frozenset({"error_ratio", "check", "functionality"})
"""Parts of a whole: from 0 to 1."""
NO_BASELINE: Final = frozenset({"metric", "resource", "promql", "capacity", GROWTH}) | RECOVERY
"""Statistics whose unit is that of their limit, or that tell of a single event: no limit can be said by a baseline."""
SAMPLED: Final = frozenset({"resource", PROMQL})

_BEYOND_ANY: Final = 10**17
_QUANTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,2})?)")
_BARE_NAME: Final = re.compile(r"[\w./:-]+(?: [\w./:-]+)*", re.ASCII)
_BARE_VALUE: Final = re.compile(r"[\w./:*?&+@-]+(?: [\w./:*?&+@-]+)*", re.ASCII)


def quantile_of(statistic: str) -> Fraction | None:
    """0.999 for `p99.9`; None for what is not p50 to p99.99."""
    match = _QUANTILE.fullmatch(statistic)
    if match is None:
        return None
    quantile = Fraction(match[1]) / 100
    return quantile if quantile >= Fraction(1, 2) else None


def text_of(value: str, bare: re.Pattern[str]) -> str:
    r"""A name as rules write it: bare where that is safe, else in quotes with `\` before `"` and `\`."""
    if bare.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def decimal_text(value: Fraction) -> str:
    """A number that was read from decimal digits, written back exactly."""
    if value.denominator == 1:
        return str(value.numerator)
    places = 0
    scaled = abs(value)
    while scaled.denominator != 1:
        scaled *= 10
        places += 1
        if places > 400:
            raise ValueError(f"{value} has no finite decimal text")
    digits = str(scaled.numerator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _bytes_text(value: Fraction) -> str:
    for unit, size in sorted(BYTE_UNITS.items(), key=lambda item: (-item[1], item[0])):
        if value >= size and (value / size).denominator == 1:
            return f"{value / size}{unit}"
    return f"{decimal_text(value)}B"


_WRITERS: Final = {
    Unit.DURATION: lambda value: duration_text(int(value)),
    Unit.RATIO: lambda value: f"{decimal_text(value * 100)}%",
    Unit.RATE: lambda value: f"{decimal_text(value)}/s",
    Unit.BYTES: _bytes_text,
    Unit.NUMBER: decimal_text,
}
