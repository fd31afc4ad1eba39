r"""The grammar of rules, such as `p95{region=eu-west-1} <= 2s for 10s, goal < 1s`.

    rule      = statistic [selector] operator (value [per] [window] ["," "goal" goal] | relative)
    statistic = quantile | plain | named "(" text ")" | "promql" "(" expression ")"
    quantile  = "p50" ... "p99.99"                     (two digits, and up to two after the point)
    plain     = "mean" | "max" | "rate" | "peak_rate" | "error_ratio" | "count" | "users" | "stall"
              | "pacer_lag" | "receive_lag" | "user_wait" | "detection_time" | "functionality"
              | "recovery_time" | "overshoot" | "budget_burnt" | "residue" | "capacity"
    named     = "check" | "metric" | "resource" | "growth"
    selector  = "{" label "=" text {"," label "=" text} "}"
    label     = "scenario" | "region" | "name" | "method" | "phase" | "outcome" | "fault"
    operator  = "<=" | ">=" | "<" | ">"
    per       = "per" ("hour" | number "requests")     (of growth, and of it alone; 1000 requests)
    window    = ("for" | "within" | "over") duration   (whole seconds)
    goal      = operator value | value ".." value
    value     = duration | number "%" | number "/s" | number bytes | number
    relative  = "baseline" [("+" | "-") value]         (a share of the baseline; of a share, points)
    text      = bare | quoted                          (quoted: '...' or "...", with \ before a quote or \)
    expression = PromQL                                (up to the `)` that closes it, outside its own quotes)

A bare text ends at `,` or `}` in a selector and at `)` in a statistic. Spaces between parts are free. What a
statistic allows stands in `rule.KINDS`; a limit that no run could break, or none could keep, is a mistake, and so is
a window beside `fault`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NoReturn

from loadproof.measure.interval import Outcome
from loadproof.plan.model import NO_FAULT
from loadproof.verdict.cursor import Cursor, nearest
from loadproof.verdict.rule import (
    GROWTH,
    INSTEAD_OF_FAULT,
    KINDS,
    LABELS,
    NO_BASELINE,
    PROMQL,
    QUANTILE,
    RECOVERY,
    SHARES,
    Bound,
    Operator,
    Per,
    Relative,
    Rule,
    Span,
    Statistic,
    Unit,
    Window,
    WindowKind,
    decimal_text,
    quantile_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMED: Final = ("check", "metric", "resource", GROWTH)
_ANY_NUMBER: Final = ("metric", PROMQL)
"""Statistics of which nobody knows how low or high they can be."""
_WORD: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_OPERATOR: Final = re.compile(r"<=|>=|<|>")
_TOKEN: Final = re.compile(r"(?:(?!\.\.)[^\s,])*")
_MOST: Final = 10**18
_EXAMPLES: Final = {
    Unit.DURATION: "a duration such as 250ms, 2s or 1m30s",
    Unit.RATIO: "a share such as 99.5% or 0.995",
    Unit.RATE: "a rate such as 1000/s",
    Unit.BYTES: "a size such as 512MB or 2GiB",
    Unit.NUMBER: "a plain number such as 100",
}


def parse_rule(text: str) -> Rule:
    """Read one rule; RuleSyntaxError says at which column what was expected."""
    return _Reader(text).rule()


def latency_limits_us(rules: Iterable[Rule]) -> tuple[int, ...]:
    """The latencies that a journal counts against, ascending: of every limit and goal of a latency rule.

    A request is counted if it took longer than one of these whole microseconds, so the strict `< 1s` is
    counted against 999,999: see `Bound.counted_us`. A limit that is said by the baseline is none of them.
    """
    found = set()
    for rule in rules:
        if rule.statistic.is_latency and rule.relative is None:
            found.add(rule.limit.counted_us)
            if isinstance(rule.goal, Bound):
                found.add(rule.goal.counted_us)
            elif rule.goal is not None:
                found.update((int(rule.goal.low) - 1, int(rule.goal.high)))
    return tuple(sorted(found))


def relative_rule(
    statistic: Statistic, selector: dict[str, str], operator: Operator, relative: Relative
) -> Rule:
    """A rule whose limit is open until the baseline's value is known."""
    unit = statistic.kind.units[0]
    return Rule(statistic, selector, Bound(operator, Fraction(0)), unit, relative=relative)


class _Reader(Cursor):
    """Every method reads one symbol of the grammar."""

    def rule(self) -> Rule:
        statistic = self.statistic()
        selector = self.selector(statistic)
        self.space()
        limit_at = self.at
        operator = self.operator()
        if (relative := self.relative(statistic)) is not None:
            return self.ended(relative_rule(statistic, selector, operator, relative))
        unit, value = self.value(statistic)
        limit = Bound(operator, value)
        self.refuse_senseless(statistic, limit, limit_at)
        per = self.per(statistic)
        rule = Rule(statistic, selector, limit, unit, self.window(statistic, selector), per=per)
        return self.ended(replace(rule, goal=self.goal(rule)))

    def ended(self, rule: Rule) -> Rule:
        self.space()
        if self.at < len(self.text):
            self.fail_at_end(rule)
        return rule

    def relative(self, statistic: Statistic) -> Relative | None:
        """`baseline + 10%`, if one stands here."""
        self.space()
        begin = self.at
        match = re.compile(r"baseline\b").match(self.text, begin)
        if match is None:
            return None
        if statistic.name in NO_BASELINE:
            self.fail(f"{statistic.name} takes no baseline", begin, "give the limit as a number")
        self.at = match.end()
        self.space()
        sign = -1 if self.take("-") else 1
        if sign == 1 and not self.take("+"):
            return Relative(Fraction(0), is_share=True)
        self.space()
        begin = self.at
        own = statistic.kind.units[0]
        unit, amount = self.number()
        if amount is None or amount < 0 or unit not in {own, Unit.RATIO} or amount >= _MOST:
            wanted = (
                "a share such as 10%" if own is Unit.RATIO else f"a share such as 10%, or {_EXAMPLES[own]}"
            )
            self.fail(f"what is added to the baseline of {statistic} is {wanted}", begin)
        if unit is Unit.DURATION and amount.denominator != 1:
            self.fail("a duration is a whole number of microseconds", begin)
        is_share = amount == 0 or (unit is Unit.RATIO and own is not Unit.RATIO)
        if is_share and sign == -1 and amount >= 1:
            self.fail("no run could reach this limit", begin)
        return Relative(sign * amount, is_share)

    def statistic(self) -> Statistic:
        self.space()
        begin = self.at
        match = _WORD.match(self.text, begin)
        if match is None:
            self.fail("a rule starts with a statistic, such as p95 or error_ratio")
        word = match[0]
        self.at = match.end()
        if word == PROMQL:
            return Statistic(word, self.expression())
        if re.fullmatch(r"p\d\S*", word):
            return Statistic(self.quantile(word, begin))
        if word not in KINDS or word == QUANTILE:
            known = [name for name in KINDS if name != QUANTILE]
            self.fail(f"there is no statistic {word!r}", begin, nearest(word, [*known, "p50", "p95", "p99"]))
        if word not in _NAMED:
            return Statistic(word)
        found = Statistic(word, self.argument())
        if word == GROWTH and found.argument in KINDS and found.grown is None:
            hint = "as in growth(p95) or growth(target.rss)"
            self.fail(f"growth is of a latency or a resource, not of {found.argument}", begin, hint)
        return found

    def quantile(self, word: str, begin: int) -> str:
        plain = word.rstrip("0").rstrip(".") if "." in word else word
        if quantile_of(plain) is None or len(word.partition(".")[2]) > 2:
            hint = "write max for the slowest" if word.startswith("p100") else "such as p95 or p99.9"
            self.fail(f"{word!r} is no percentile between p50 and p99.99", begin, hint)
        return plain

    def argument(self) -> str:
        self.space()
        self.expect("(", "the name in brackets, as in check(compliance)")
        name = self.name(")")
        self.expect(")", "`)` after the name")
        return name

    def selector(self, statistic: Statistic) -> dict[str, str]:
        labels = statistic.kind.labels
        self.space()
        if not self.take("{"):
            return {}
        found: dict[str, str] = {}
        while True:
            self.space()
            begin = self.at
            match = _WORD.match(self.text, begin)
            if match is None:
                self.fail(f"expected a label: {', '.join(labels)}")
            label = match[0]
            self.at = match.end()
            if label not in LABELS:
                self.fail(f"there is no label {label!r}", begin, nearest(label, labels))
            if label not in labels:
                hint = INSTEAD_OF_FAULT.get(statistic.name) if label == "fault" else None
                self.fail(
                    f"{statistic.name} knows no {label}", begin, hint or f"it takes {', '.join(labels)}"
                )
            if label in found:
                self.fail(f"{label} is given twice", begin)
            self.space()
            self.expect("=", f"`=` after {label}")
            self.space()
            begin = self.at
            found[label] = self.name(",}")
            if label == "outcome" and found[label] not in list(Outcome):
                self.fail(f"there is no outcome {found[label]!r}", begin, nearest(found[label], Outcome))
            if label == "fault" and found[label] == NO_FAULT and statistic.name in RECOVERY:
                hint = "write error_ratio{fault=none}" if statistic.name == "functionality" else None
                self.fail(f"{statistic.name} is of a fault, and {NO_FAULT} is none", begin, hint)
            if self.take("}"):
                break
            self.expect(",", "`,` or `}` after a selector's value")
        return {label: found[label] for label in LABELS if label in found}

    def operator(self) -> Operator:
        self.space()
        match = _OPERATOR.match(self.text, self.at)
        if match is None:
            hint = "write <= or >=" if self.text.startswith(("=", "≤", "≥"), self.at) else None
            self.fail("expected one of <= >= < >", hint=hint)
        self.at = match.end()
        return Operator(match[0])

    def value(self, statistic: Statistic) -> tuple[Unit, Fraction]:
        """A number in base units; RuleSyntaxError when its unit is none that the statistic takes."""
        self.space()
        begin = self.at
        units = statistic.kind.units
        if statistic.name in {"resource", GROWTH} and str(statistic.argument).rpartition(".")[2] == "cpu":
            units = (Unit.RATIO,)
        wanted = " or ".join(_EXAMPLES[unit] for unit in units)
        unit, number = self.number()
        if number is None:
            token = _TOKEN.match(self.text, begin)
            shown = token[0] if token else ""
            self.fail(f"{statistic} takes {wanted}, not {shown!r}" if shown else f"expected {wanted}", begin)
        if unit is Unit.NUMBER and units == (Unit.RATIO,):
            unit = Unit.RATIO
            if number > 1:
                written = decimal_text(number)
                self.fail(f"{statistic} is a share: {written} is above 1", begin, f"did you mean {written}%?")
        if unit not in units:
            self.fail(f"{statistic} takes {wanted}, not {self.text[begin : self.at]!r}", begin)
        if number >= _MOST:
            self.fail("this number is too large to be meant", begin)
        if unit is Unit.DURATION and (number.denominator != 1 or number < 1):
            self.fail("a duration is a whole number of microseconds, at least 1", begin)
        if number < 0 and statistic.name not in _ANY_NUMBER:
            self.fail(f"{statistic} is never negative", begin)
        return unit, number

    def refuse_senseless(self, statistic: Statistic, bound: Bound, begin: int, what: str = "limit") -> None:
        if statistic.name == GROWTH:
            if not bound.operator.caps:
                self.fail(f"growth has no lower {what}", begin, "write <=")
            if bound.value == 0:
                self.fail(
                    "no samples can show that nothing grows at all",
                    begin,
                    f"give a {what} above 0, such as 1",
                )
            return
        if statistic.name in _ANY_NUMBER:
            return
        top = Fraction(1) if statistic.name in SHARES else None
        operator, value = bound.operator, bound.value
        if top is not None and value > top:
            self.fail(f"{statistic} is a share and never above 100%", begin)
        if (operator is Operator.AT_MOST and value == top) or (operator is Operator.AT_LEAST and value == 0):
            self.fail(f"no run could miss this {what}", begin)
        if (operator is Operator.ABOVE and value == top) or (operator is Operator.BELOW and value == 0):
            self.fail(f"no run could reach this {what}", begin)

    def per(self, statistic: Statistic) -> Per | None:
        """What a limit on growth is for."""
        self.space()
        begin = self.at
        match = re.compile(r"per\s+(hour\b|[\d.,]+\s+requests\b)").match(self.text, begin)
        if match is None:
            if statistic.name == GROWTH:
                self.fail("growth has a limit `per hour` or `per 1000 requests`", begin)
            return None
        if statistic.name != GROWTH:
            self.fail(
                f"{statistic.name} is not told per anything", begin, "only growth is, as in growth(p95)"
            )
        if match[1] != "hour" and match[1].split()[0].replace(",", "") != "1000":
            self.fail("growth has a limit `per hour` or `per 1000 requests`", begin)
        self.at = match.end()
        return Per.HOUR if match[1] == "hour" else Per.REQUESTS

    def window(self, statistic: Statistic, selector: dict[str, str]) -> Window | None:
        self.space()
        begin = self.at
        match = re.compile(r"for\b|within\b|over\b").match(self.text, begin)
        if match is None:
            return None
        self.at = match.end()
        self.space()
        length_at = self.at
        unit, length = self.number()
        if not statistic.kind.windows:
            self.fail(f"{statistic.name} takes no window", begin)
        if "fault" in selector:
            hint = "what waits in a second for an answer cannot be told apart by fault: judge all of them, or no window"
            self.fail("fault= takes no window", begin, hint)
        if unit is not Unit.DURATION or length is None or length < 1_000_000 or length % 1_000_000:
            self.fail("a window is a whole number of seconds, such as 10s or 1m", length_at)
        return Window(WindowKind(match[0]), int(length) // 1_000_000)

    def goal(self, rule: Rule) -> Bound | Span | None:
        self.space()
        if not self.take(","):
            return None
        self.space()
        match = re.compile(r"goal\b").match(self.text, self.at)
        if match is None:
            self.fail("after the comma comes a goal, as in `, goal < 1s`")
        self.at = match.end()
        self.space()
        begin = self.at
        if _OPERATOR.match(self.text, begin):
            operator = self.operator()
            unit, value = self.value(rule.statistic)
            goal: Bound | Span = Bound(operator, value)
            self.refuse_senseless(rule.statistic, Bound(operator, value), begin, "goal")
            ends = [value]
        else:
            unit, low = self.value(rule.statistic)
            self.space()
            self.expect("..", "`..` and the upper end of the goal, or an operator before it")
            again, high = self.value(rule.statistic)
            if again is not unit or low > high:
                self.fail("a goal's range runs from low to high in one unit", begin)
            goal = Span(low, high)
            ends = [low, high]
        if unit is not rule.unit:
            self.fail("goal and limit must have the same unit", begin)
        self.refuse_looser(rule.limit, goal, ends, begin)
        return goal

    def refuse_looser(self, limit: Bound, goal: Bound | Span, ends: list[Fraction], begin: int) -> None:
        if isinstance(goal, Bound):
            if goal.operator.caps is not limit.operator.caps:
                self.fail(f"the goal must look the same way as the limit, {limit.operator}", begin)
            if goal.value == limit.value and (goal.operator.strict or not limit.operator.strict):
                return
        if not all(limit.holds(end) for end in ends):
            self.fail("the goal is looser than the limit", begin)

    def fail_at_end(self, rule: Rule) -> NoReturn:
        rest = self.text[self.at :]
        if rule.relative is not None and re.match(r"(for|within|over)\b|,", rest):
            hint = "write a second rule with a limit of its own"
            self.fail("a limit that is said by the baseline has neither window nor goal", hint=hint)
        if re.match(r"(for|within|over)\b", rest):
            hint = "the window comes before the goal: `p95 <= 2s for 10s, goal < 1s`"
            if rule.window is not None:
                hint = "a rule has one window"
            self.fail("a window cannot stand here", hint=hint)
        if re.match(r"(and|or|&&|\|\|)", rest):
            self.fail("a rule has one limit", hint="write two rules")
        self.fail(f"{rest[:20]!r} cannot stand here", hint="a window, or a goal after a comma, or nothing")
