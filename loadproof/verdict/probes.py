"""One probe of a search, judged: the rules of the plan on a stretch of the run in which the load stood still.

The stretch is a run of its own before the judge: a plan of one phase with that load, and the intervals of its seconds
alone. What is said of it is what is said of any run; only what it means is another thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from loadproof.units import format_count, format_duration, format_ratio
from loadproof.verdict.arrived import LATE, allowance
from loadproof.verdict.case import Case
from loadproof.verdict.criteria import criteria
from loadproof.verdict.evidence import SECOND_US, Evidence
from loadproof.verdict.generator import LONGEST_INTERVAL_US, lag_limit_us
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.judge import judge_rules
from loadproof.verdict.measures import measure
from loadproof.verdict.offered import LEAST, MOST
from loadproof.verdict.result import RuleVerdict
from loadproof.verdict.search import Word
from loadproof.verdict.shortfall import seen_user_us

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadproof.plan.model import Phase, Plan
    from loadproof.verdict.facts import RunFacts
    from loadproof.verdict.rule import Rule

WAITED_US: Final = SECOND_US // 10
"""A start that waited so long for its user stood in a queue."""
_BEFORE: Final = "(before)"
_ERRORS: Final = parse_rule("error_ratio <= 99%")
_P95: Final = parse_rule("p95 <= 1h")
_RATE: Final = parse_rule("rate >= 1/s")


@dataclass(frozen=True)
class Step:
    """One probe as it was carried out; times are run time."""

    level: int
    at_us: int
    """From here on there was this load."""
    from_us: int
    """From here on, a whole second, until `to_us` it was looked at."""
    to_us: int
    guard: str | None = None
    """Why a guard on the target held this load to be too much, or on the generator, in words."""
    guarded: str | None = None
    """The guard."""

    @property
    def seconds(self) -> range:
        return range(self.from_us // SECOND_US, self.to_us // SECOND_US)


@dataclass(frozen=True)
class Probed:
    """What a probe has shown."""

    step: Step
    word: Word
    why: str
    """A sentence."""
    broken: tuple[str, ...]
    """The rules that it broke, or the guard, by their texts; the first of them first."""
    unproven: tuple[str, ...]
    """Rules that it has too little data for."""
    rate_per_s: float | None
    """Ok requests a second."""
    p95_us: float | None
    """Of every request due; infinite where it lies among those without an answer."""
    error_ratio: float | None
    requests: int


def evidence_of(plan: Plan, grain: int, step: Step, limits_us: Sequence[int]) -> Evidence:
    """Empty: it wants the intervals of the step's seconds and no others."""
    return Evidence(_plan_of(plan, step.level * grain, step), limits_us)


def judge_probe(evidence: Evidence, step: Step, facts: RunFacts) -> Probed:
    """What the intervals in an `evidence_of` the step say; of the facts only the samples count."""
    plan = evidence.plan
    facts = replace(facts, stop=None, goes_on=False, smoke=False, baseline={}, epochs=(), absences=())
    case = Case(plan, evidence, facts)
    rules = criteria(plan)
    results = judge_rules(plan, rules, evidence, facts)
    broken = [one for one in results if one.verdict is RuleVerdict.FAIL]
    names = tuple(one.rule for one in broken)
    # Rules that may have no data are no limit as long as there is none.
    is_judged = any(one.verdict is not RuleVerdict.NO_DATA and not one.implied for one in results)
    unproven = tuple(
        one.rule for one in results if one.verdict is RuleVerdict.NO_DATA and not (one.optional and is_judged)
    )
    ended = sum(tally.histogram.count for tally in evidence.totals.values())
    word, why = Word.HELD, "every rule was kept"
    if (unfit := _unfit(case, rules, step)) is not None:
        word, why, names = Word.NOTHING, unfit, ()
    elif step.guard is not None:
        word, why, names = Word.BROKE, step.guard, (f"guard {step.guarded}", *names)
    elif broken:
        word, why = Word.BROKE, f"{broken[0].rule}: {broken[0].reason}"
    elif not ended:
        word, why = Word.NOTHING, "no request ended in it"
    return Probed(
        step,
        word,
        why,
        names,
        unproven,
        measure(_RATE, case).value,
        measure(_P95, case).value,
        measure(_ERRORS, case).value,
        ended,
    )


def _plan_of(plan: Plan, load: int, step: Step) -> Plan:
    length_us = step.to_us - step.from_us

    def phase(**changes: object) -> Phase:
        loads = (
            {"arrivals_from": load, "arrivals_to": load}
            if plan.open
            else {"users_from": load, "users_to": load}
        )
        return plan.load[-1].model_copy(update={**loads, **changes})

    phases = [phase(duration_us=length_us)]
    if step.from_us:
        phases.insert(0, phase(name=_BEFORE, duration_us=step.from_us, warmup=True))
    return plan.model_copy(update={"load": tuple(phases), "search": None, "faults": ()})


def _unfit(case: Case, rules: Sequence[Rule], step: Step) -> str | None:
    """Why the probe says nothing of the target: the load was not made, or not as it should be."""
    if step.guard is not None and (step.guarded or "").startswith("generator."):
        return step.guard
    seconds = step.seconds
    limit_us = lag_limit_us(rules)
    for name, worker in sorted(case.evidence.workers.items()):
        for lag in ("pacer_lag_us", "receive_lag_us"):
            late = [second for second in worker.seconds if (getattr(second, lag) or 0) > limit_us]
            if 2 * len(late) > len(worker.seconds):
                what = lag.removesuffix("_us")
                return f"the generator was the limit: the P99 of {what} on {name} stayed above {format_duration(float(limit_us))}"
        if any(second.length_us > LONGEST_INTERVAL_US for second in worker.seconds):
            return f"the generator was the limit: {name} was too busy to close a second in time"
        if any(second.throttled_us for second in worker.seconds):
            return f"the generator was the limit: the CPU quota of {name}'s container held it back"
    return _not_offered_open(case, step) if case.plan.open else _not_offered(case, seconds)


def _not_offered(case: Case, seconds: range) -> str | None:
    planned = case.plan.load[-1].users_to * len(seconds) * SECOND_US
    seen = sum(seen_user_us(case.evidence, seconds.stop)[seconds.start :])
    if LEAST * planned <= seen <= MOST * planned:
        return None
    return (
        f"the load was not there: {format_count(round(seen / len(seconds) / SECOND_US, 1))} users on average in place "
        f"of {format_count(case.plan.load[-1].users_to)}"
    )


def _not_offered_open(case: Case, step: Step) -> str | None:
    starts = case.shortfall.starts(None)
    planned = starts.planned(step.seconds)
    most, fewest = starts.most(step.seconds), starts.fewest(step.seconds)
    spare = allowance(case.plan, planned)
    # Starts that still wait for a user are counted when one takes them: fewer are no sign of less load then.
    longest_us = max((waits.max or 0 for waits in case.evidence.user_waits.values()), default=0)
    is_queueing = longest_us > WAITED_US
    if (most < LEAST * planned - spare and not is_queueing) or fewest > MOST * planned + spare:
        return (
            f"the load was not there: {format_count(most)} starts in place of {format_count(round(planned))}"
        )
    taken, no_user, late = (
        sum(column)
        for column in zip(*(table.sums() for table in case.evidence.arrivals.values()), strict=True)
    )
    if late > LATE * (taken + no_user + late):
        share = format_ratio(float(Fraction(late, taken + no_user + late)))
        return f"the generator was the limit: its own timer was too late for {share} of the starts"
    return None
