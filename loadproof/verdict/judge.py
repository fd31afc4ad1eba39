"""The judge: every rule to PASS, WARN, FAIL or NO_DATA, and the run to PASS, WARN, FAIL or INVALID."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING, Final

from loadproof.errors import RuleSyntaxError
from loadproof.units import format_duration
from loadproof.verdict.accounting import keep_books
from loadproof.verdict.case import Case, Measured, no_data, shown
from loadproof.verdict.criteria import judges_run
from loadproof.verdict.generator import SATURATED
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.implied import implied_rules
from loadproof.verdict.measures import measure
from loadproof.verdict.offered import NOT_OFFERED
from loadproof.verdict.result import Judgement, Reason, RuleResult, RuleVerdict, Verdict
from loadproof.verdict.rule import Bound, Operator, Span
from loadproof.verdict.validity import validity_reasons
from loadproof.verdict.windows import measure_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Plan
    from loadproof.verdict.evidence import Evidence
    from loadproof.verdict.facts import RunFacts, Stop
    from loadproof.verdict.rule import Rule

BY_WEIGHT: Final = (Verdict.FAIL, Verdict.INVALID, Verdict.WARN, Verdict.PASS)
"""Worst first. A broken limit that does not stand in an INVALID run is an INVALID reason, so FAIL outranks."""
LOAD: Final = frozenset({"rate", "peak_rate", "count", "users"})
"""Statistics that a smoke run cannot tell anything of."""
OURS: Final = (
    LOAD
    | {"capacity", "stall", "pacer_lag", "receive_lag", "user_wait"}
    | {"detection_time", "recovery_time", "overshoot", "residue"}
)
"""With latencies, what a generator that was saturated or offered another load may have broken itself."""


@dataclass(frozen=True)
class JudgedBy:
    """One rule of a run, written in its plan or implied by those that are."""

    rule: Rule
    optional: bool
    implied: bool
    delay_us: int | None = None
    """Of an abort rule: from when on it may end the run; None for others."""

    def __str__(self) -> str:
        return str(self.rule)


@dataclass(frozen=True)
class _Judged:
    rule: Rule
    measured: Measured
    result: RuleResult


def judge(plan: Plan, rules: Sequence[Rule], evidence: Evidence, facts: RunFacts) -> Judgement:
    """Judge a run by its rules and by its validity; a rule is optional if the plan marks that rule so."""
    case = Case(plan, evidence, facts)
    judged = [_as_fired(one, facts.stop) for one in _judge_rules(rules, case)]
    reasons = validity_reasons(case, [closed(rule, facts) for rule in rules], keep_books(case))
    reasons += [reason for one in judged if (reason := _no_data_reason(one, smoke=facts.smoke)) is not None]
    if all(one.result.verdict is RuleVerdict.NO_DATA for one in judged):
        text = "no rule was judged, so nothing was shown but that the run came to its end"
        if plan.search is not None and all(rule.statistic.name != "capacity" for rule in rules):
            text = "no rule says what the capacity must be: write one, such as `capacity >= 100`"
        reasons.append(Reason(Verdict.WARN, "no_rules", text))
    invalid = [reason for reason in reasons if reason.verdict is Verdict.INVALID]
    for one in judged:
        if _fired(one, facts.stop):
            continue  # it is the reason why the run ended
        if one.result.verdict is RuleVerdict.FAIL:
            reasons.append(_broken(one, invalid))
        elif one.result.verdict is RuleVerdict.WARN:
            reasons.append(Reason(Verdict.WARN, "rule", f"{one.rule}: {one.result.reason}"))
    reasons.sort(key=lambda reason: BY_WEIGHT.index(reason.verdict))
    verdict = reasons[0].verdict if reasons else Verdict.PASS
    return Judgement(verdict, tuple(reasons), tuple(one.result for one in judged))


def judge_rules(
    plan: Plan, rules: Sequence[Rule], evidence: Evidence, facts: RunFacts
) -> tuple[RuleResult, ...]:
    """The results that `judge` gives for the rules, without asking whether the run was valid.

    Of the workers, `Evidence.workers`, it needs nothing.
    """
    return tuple(one.result for one in _judge_rules(rules, Case(plan, evidence, facts)))


def closed(rule: Rule, facts: RunFacts) -> Rule:
    """A rule with the limit that follows from the baselines; as it is without them, or with a limit of its own."""
    baseline = facts.baseline.get(rule.subject) if rule.is_open else None
    return rule if baseline is None else rule.against(Fraction(baseline))


def broken_aborts(plan: Plan, evidence: Evidence, facts: RunFacts, now_us: int) -> list[RuleResult]:
    """The abort rules that are due at `now_us` and broken, with all that is missing taken as ok and fast."""
    case = Case(plan, evidence, facts)
    found = []
    for by in _written(plan):
        if by.delay_us is not None and by.delay_us <= now_us:
            one = _judge_rule(by, case)
            if one.result.verdict is RuleVerdict.FAIL and one.measured.stands(one.rule.limit):
                found.append(one.result)
    return found


def with_implied(plan: Plan, rules: Sequence[Rule]) -> list[JudgedBy]:
    """The rules in their order, each as the plan has it, then those that they imply.

    What only ends a hopeless run early implies nothing, if there are other latency rules.
    """
    known = _written(plan)
    written = []
    for rule in rules:
        by = next((one for one in known if one.rule == rule), JudgedBy(rule, optional=False, implied=False))
        written.append(by)
        if by in known:
            known.remove(by)
    implying = [by for by in written if by.delay_us is None]
    if not any(by.rule.statistic.is_latency for by in implying):
        implying = written
    implied = implied_rules([by.rule for by in implying], [by.rule for by in implying if by.optional])
    return written + [JudgedBy(rule, is_optional, implied=True) for rule, is_optional in implied]


def _written(plan: Plan) -> list[JudgedBy]:
    found = []
    for text in plan.rules:
        try:
            rule = parse_rule(text.text)
        except RuleSyntaxError:
            # Whoever read the plan has refused it; rules given beside a plan are judged all the same.
            continue
        delay_us = text.delay_us if text.abort else None
        found.append(JudgedBy(rule, text.optional, implied=False, delay_us=delay_us))
    return found


def _judge_rules(rules: Sequence[Rule], case: Case) -> list[_Judged]:
    return [
        _judge_rule(by, case)
        for by in with_implied(case.plan, rules)
        if by.delay_us is not None or judges_run(by.rule, case)
    ]


def _fired(one: _Judged, stop: Stop | None) -> bool:
    return one.result.abort and stop is not None and stop.rule == one.result.rule


def _as_fired(one: _Judged, stop: Stop | None) -> _Judged:
    """An abort rule that ended the run is broken, whatever came in while the run drained."""
    if stop is None or not _fired(one, stop):
        return one
    reason = f"it ended the run after {format_duration(stop.at_us)}: {stop.why}"
    return replace(one, result=replace(one.result, verdict=RuleVerdict.FAIL, reason=reason))


def _judge_rule(by: JudgedBy, case: Case) -> _Judged:
    rule = closed(by.rule, case.facts)
    if by.delay_us is not None:
        case = replace(case, delay_us=by.delay_us)
    if rule.is_open:
        measured = no_data(
            "no baseline tells what it is held against; name one with --baseline"
            if not case.facts.baseline
            else "the baselines have no value for it"
        )
    elif case.facts.smoke and rule.statistic.name in LOAD:
        measured = no_data("a smoke run makes no load", too_few=True)
    elif rule.window is not None:
        measured = measure_window(rule, case)
    else:
        measured = measure(rule, case)
    verdict, reason = conclude(rule, measured)
    goal = rule.goal_text
    result = RuleResult(
        rule=str(rule),
        statistic=str(rule.statistic),
        selector=dict(rule.selector),
        unit=rule.unit.value,
        value=measured.value,
        operator=rule.limit.operator.value,
        limit=None if rule.is_open else float(rule.limit.value),
        goal=goal,
        margin=_margin(rule.limit, measured.value),
        samples=measured.samples,
        confidence=measured.confidence,
        verdict=verdict,
        reason=reason,
        optional=by.optional,
        implied=by.implied,
        abort=by.delay_us is not None,
        per=rule.per,
    )
    return _Judged(rule, measured, result)


def conclude(rule: Rule, measured: Measured) -> tuple[RuleVerdict, str]:
    """The word on one rule and a sentence for it.

    A broken limit comes first: no interval, no small sample and no doubt makes it anything but FAIL.
    """
    limit = f"{rule.limit.operator} {rule.value_text(rule.limit.value)}{rule.per_text}"
    if rule.relative is not None and rule.relative.baseline is not None:
        limit += f" ({rule.limit_text}, which was {shown(rule.unit, rule.relative.baseline)})"
    kept = measured.holds(rule.limit)
    if kept is False:
        return RuleVerdict.FAIL, f"{measured.text}, which breaks {limit}"
    if measured.no_data is not None:
        return RuleVerdict.NO_DATA, measured.no_data
    doubts = list(measured.doubts)
    if kept is None:
        doubts.append(measured.unclear)
    elif measured.is_close(rule.limit):
        doubts.append("it is too close to call: the limit lies inside the 95 % interval")
    missed = _goal_missed(rule, measured)
    if missed is not False:
        doubts.append(f"the goal {rule.goal_text} is {'missed' if missed else 'not shown to be reached'}")
    if doubts:
        return RuleVerdict.WARN, f"{measured.text}, against {limit}, but {'; and '.join(doubts)}"
    goal = "" if rule.goal is None else f" and reaches the goal {rule.goal_text}"
    return RuleVerdict.PASS, f"{measured.text}, which keeps {limit}{goal}"


def _goal_missed(rule: Rule, measured: Measured) -> bool | None:
    """None when the evidence does not tell."""
    if rule.goal is None:
        return False
    bounds = [rule.goal] if isinstance(rule.goal, Bound) else _ends(rule.goal)
    kept = [measured.holds(bound) for bound in bounds]
    if False in kept:
        return True
    return None if None in kept else False


def _ends(goal: Span) -> list[Bound]:
    return [Bound(Operator.AT_LEAST, goal.low), Bound(Operator.AT_MOST, goal.high)]


def _no_data_reason(one: _Judged, *, smoke: bool) -> Reason | None:
    if one.result.verdict is not RuleVerdict.NO_DATA or one.result.optional:
        return None
    is_shortness = smoke and one.measured.too_few
    verdict = Verdict.WARN if is_shortness else Verdict.INVALID
    return Reason(verdict, "no_data", f"{one.rule} has no data: {one.result.reason}")


def _broken(one: _Judged, invalid: list[Reason]) -> Reason:
    """FAIL, unless what makes the run INVALID may also have broken the limit."""
    rule = one.rule
    text = f"{rule}: {one.result.reason}"
    statistic = rule.statistic.grown or rule.statistic
    is_ours = statistic.is_latency or statistic.name in OURS
    culprit = next((reason for reason in invalid if reason.code in {SATURATED, NOT_OFFERED}), None)
    if is_ours and culprit is not None:
        what = "was saturated" if culprit.code == SATURATED else "did not offer the planned load"
        return Reason(Verdict.INVALID, "rule", f"{text}; no verdict on the target, as the generator {what}")
    if invalid and not one.measured.stands(rule.limit):
        what = "what is missing from the run could have kept it"
        return Reason(Verdict.INVALID, "rule", f"{text}; no verdict on the target, as {what}")
    return Reason(Verdict.FAIL, "rule", text)


def _margin(limit: Bound, value: float | None) -> float | None:
    if value is None or not isfinite(value) or limit.value == 0:
        return None
    distance = float(limit.value) - value
    # Adding 0.0 makes a negative zero a plain one.
    return (distance if limit.operator.caps else -distance) / abs(float(limit.value)) + 0.0
