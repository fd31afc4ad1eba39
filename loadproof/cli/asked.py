"""From a command's words to a plan that can be run: the mistakes of plan, rules and suite, all at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING

from loadproof.errors import Mistake, PlanError, RuleSyntaxError, UsageError
from loadproof.plan.builtin import resolve
from loadproof.plan.model import NO_FAULT, RATE_PERIOD_S
from loadproof.plan.overrides import Overrides
from loadproof.plan.reader import LoadedPlan, bare_plan, load_plan
from loadproof.units import format_count
from loadproof.verdict.grammar import parse_rule
from loadproof.verdict.rule import GROWTH, PROMQL, RECOVERY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from distributed.suite import Suite
    from loadproof.plan.flows import Flow
    from loadproof.plan.model import Plan, RuleText
    from loadproof.verdict.rule import Rule


@dataclass(frozen=True)
class Asked:
    """A plan with its suite and rules; all three fit together."""

    plan: Plan
    suite: Suite
    rules: tuple[Rule, ...]


def ask(plan: str | None, locustfile: Path | None, overrides: Overrides) -> Asked:
    """Read what is asked for; PlanError or UsageError tells everything that is wrong with it.

    `plan` is a built-in name or a file, `locustfile` stands for a plan of one user for a minute.
    """
    if (plan is None) == (locustfile is None):
        raise UsageError(
            "name either a plan or a locustfile: `loadproof run PLAN` or `loadproof run -f FILE`; "
            "`loadproof plans` lists the built-in plans"
        )
    if plan is not None:
        return fit(load_plan(resolve(plan), overrides))
    assert locustfile is not None
    return _bare(locustfile, overrides)


def again(folder: Path) -> Asked:
    """What a run folder says was asked for; the environment has had its say then."""
    if not (folder / "plan.yaml").is_file():
        raise UsageError(f"{folder} is no run folder: it lacks plan.yaml")
    return fit(load_plan(folder / "plan.yaml", Overrides(), environ={}))


def _bare(locustfile: Path, overrides: Overrides) -> Asked:
    """A locustfile alone says itself where the load goes and, by a load shape, how much it is."""
    from distributed.shape import stretches
    from distributed.suite import load_suite
    from loadproof.units import parse_duration

    try:
        suite = load_suite(None, str(locustfile))
    except UsageError:
        return fit(bare_plan(locustfile, overrides))
    if len(suite.shapes) > 1:
        names = ", ".join(type(shape).__name__ for shape in suite.shapes)
        raise UsageError(f"locustfile {locustfile} brings several load shapes ({names}): leave one")
    if len(suite.hosts) > 1 and overrides.target is None:
        raise UsageError(
            f"locustfile {locustfile} names several hosts ({', '.join(suite.hosts)}), and a run has one target: "
            "name it with --target"
        )
    load: tuple[tuple[int, int, int], ...] = ()
    for shape in suite.shapes:
        seconds = None if overrides.duration is None else parse_duration(overrides.duration) // 1_000_000
        options = SimpleNamespace(
            num_users=overrides.users, spawn_rate=overrides.spawn_rate, run_time=seconds
        )
        load = stretches(shape, options, None if shape.use_common_options else seconds)
        if shape.use_common_options:
            overrides = replace(overrides, users=None, spawn_rate=None, duration=None)
    return fit(bare_plan(locustfile, overrides, host=next(iter(suite.hosts), None), stretches=load), suite)


def fit(loaded: LoadedPlan, suite: Suite | None = None) -> Asked:
    """Import the plan's suite, unless it is given, and read its rules; PlanError with every mistake of both."""
    from distributed.suite import load_suite, with_flow

    plan = loaded.plan
    mistakes: list[Mistake] = []
    rules: list[Rule] = []
    if suite is None:
        path = ("suite",) if plan.suite is not None else ("locustfile",)
        try:
            suite = load_suite(plan.suite, plan.locustfile)
        except UsageError as error:
            mistakes.append(loaded.mistake(path, str(error)))
        if suite is not None and suite.shapes:
            names = ", ".join(type(shape).__name__ for shape in suite.shapes)
            message = f"the locustfile brings a load shape ({names}), and the plan's `load` says the same"
            hint = "remove the class, or run the locustfile without a plan: `loadproof run -f FILE`"
            mistakes.append(loaded.mistake(path, message, hint))
    for flow in plan.flows:
        if suite is None:
            break
        try:
            suite = with_flow(suite, flow)
        except UsageError as error:
            mistakes.append(loaded.mistake(("flows", flow.name), str(error)))
            continue
        mistakes += _row_mistakes(loaded, flow, suite)
    if suite is not None:
        mistakes += _scenario_mistakes(loaded, suite)
        mistakes += _start_mistakes(loaded, suite)
    if plan.search is not None:
        mistakes += _search_for_nothing(loaded)
    for index, text in enumerate(plan.rules):
        try:
            rule = parse_rule(text.text)
        except RuleSyntaxError as error:
            mistakes.append(loaded.mistake(("rules", index), str(error), error.hint, column=error.column))
            continue
        rules.append(rule)
        if text.abort and rule.relative is not None:
            message = "an abort rule needs a limit of its own: a run that goes on is held against no baseline"
            mistakes.append(loaded.mistake(("rules", index), message))
        mistakes += (
            loaded.mistake(("rules", index), message, hint)
            for message, hint in _search_mistakes(rule, text, plan)
        )
        mistakes += (
            loaded.mistake(("rules", index), message, hint)
            for message, hint in _live_mistakes(rule, text, plan)
        )
        mistakes += (
            loaded.mistake(("rules", index), message, hint)
            for message, hint in _name_mistakes(rule, plan, suite)
        )
    if mistakes or suite is None:
        raise PlanError(mistakes)
    return Asked(plan, suite, tuple(rules))


def _row_mistakes(loaded: LoadedPlan, flow: Flow, suite: Suite) -> Iterable[Mistake]:
    """Rows are dealt by user slots, of whatever scenario: the last slot needs a row too."""
    users = loaded.plan.max_users
    if flow.rows is not None and (rows := len(suite.classes[flow.name].rows.all)) < users:
        message = f"the flow has {format_count(rows)} rows, and the plan {format_count(users)} users"
        yield loaded.mistake(("flows", flow.name), message, "no two users share a row: add rows")


def _scenario_mistakes(loaded: LoadedPlan, suite: Suite) -> Iterable[Mistake]:
    weights = suite.weights
    if loaded.plan.scenarios is None and weights and not any(weights.values()) and not suite.fixed:
        yield loaded.mistake(("flows",), "every scenario has weight 0", "give one of them a weight above 0")
    for name in loaded.plan.scenarios or ():
        if name not in suite.classes:
            message = f"the suite has no scenario {name!r}"
            yield loaded.mistake(("scenarios", name), message, known_names(name, suite.classes))


def _start_mistakes(loaded: LoadedPlan, suite: Suite) -> Iterable[Mistake]:
    """Who starts tasks when the plan says must be ours: Locust's own users ask nobody."""
    from loadproof.client.user import LoadUser

    plan = loaded.plan
    key = "arrivals" if plan.open else "pace"
    timed = [index for index, phase in enumerate(plan.load) if plan.open or phase.pace_us is not None]
    if not timed:
        return
    playing = {**suite.weights, **suite.fixed} if plan.scenarios is None else plan.scenarios
    stock = [
        name
        for name, share in playing.items()
        if share and name in suite.classes and not issubclass(suite.classes[name], LoadUser)
    ]
    if stock:
        message = (
            f"`{key}` says when users start their tasks, and {_listed(stock)} would not ask: no LoadUser"
        )
        hint = "derive from LoadUser (`from loadproof.client.user import LoadUser`), or plan `users` alone"
        yield loaded.mistake(("load", timed[0], key), message, hint)
    if plan.open and plan.scenarios is None and suite.fixed:
        message = f"`arrivals` go to scenarios by weight, and {_listed(suite.fixed)} would have a `fixed_count` of users"
        yield loaded.mistake(("load", 0, key), message, "give the plan `scenarios` with their weights")


def _listed(names: Iterable[str]) -> str:
    *most, last = sorted(names)
    return f"{', '.join(most)} and {last}" if most else last


def _name_mistakes(rule: Rule, plan: Plan, suite: Suite | None) -> Iterable[tuple[str, str]]:
    """Names in a rule that can be known before the run; endpoints and methods cannot."""
    known: dict[str, Iterable[str]] = {
        "region": [region.name for region in plan.regions],
        "phase": [phase.name for phase in plan.load],
        "fault": [fault.name for fault in plan.faults],
    }
    if suite is not None:
        known["scenario"] = plan.scenarios if plan.scenarios is not None else suite.classes
    for selector, value in rule.selector.items():
        names = list(known.get(selector, [value]))
        if value not in names and (selector, value) != ("fault", NO_FAULT):
            yield f"the plan has no {selector} {value!r}", known_names(value, names)
    statistic = rule.statistic
    if statistic.name in RECOVERY and not rule.selector.get("fault") and not plan.faults:
        yield f"{statistic.name} is of a fault, and the plan has none", "give it `faults`"
    if suite is not None and statistic.argument is not None and statistic.name in {"check", "metric"}:
        kind = f"{statistic.name}s"
        chosen = plan.scenarios if plan.scenarios is not None else suite.classes
        declared = {
            name for scenario, names in suite.declared(kind).items() if scenario in chosen for name in names
        }
        if statistic.argument not in declared:
            message = f"no scenario of the plan declares the {statistic.name} {statistic.argument!r}"
            yield message, known_names(statistic.argument, declared)


def _search_for_nothing(loaded: LoadedPlan) -> Iterable[Mistake]:
    """A search that no load can end would call any target fine."""
    from loadproof.verdict.criteria import has_limit

    try:
        if has_limit(loaded.plan):
            return
    except RuleSyntaxError:
        return  # said of the rule itself
    message = "no rule says what a load must not break, so every load would hold"
    yield loaded.mistake(("search",), message, "write one, such as `p95 <= 2s`, that is no abort rule")


def _search_mistakes(rule: Rule, text: RuleText, plan: Plan) -> Iterable[tuple[str, str]]:
    """Rules on a capacity that nobody looks for, and rules that a search leaves nothing to say."""
    from loadproof.plan.search import level_text, steps_of
    from loadproof.verdict.criteria import limits_load
    from loadproof.verdict.rule import RECOVERY, Unit

    name = rule.statistic.name
    if plan.search is None:
        if name == "capacity":
            yield "the plan searches for no capacity", "give it `search: {}`"
        return
    if name == "capacity":
        unit, example = (Unit.RATE, "100/s") if plan.open else (Unit.NUMBER, "100")
        if rule.unit is not unit:
            what = "arrivals a second" if plan.open else "users"
            yield f"the load of this plan is {what}", f"write `capacity >= {example}`"
        elif not rule.limit.operator.caps:
            steps = steps_of(plan)
            highest = steps.highest * steps.grain / (RATE_PERIOD_S if plan.open else 1)
            if not rule.limit.holds(Fraction(highest)):
                shown = level_text(steps.highest, grain=steps.grain, is_open=plan.open)
                yield (
                    f"the search tries no load above {shown}, and could not show this",
                    "let the last phase have more",
                )
        return
    elsewhere = any(not phase.warmup for phase in plan.load[:-1])
    says = limits_load(rule, plan) or text.abort or name in RECOVERY or "fault" in rule.selector
    phase = rule.selector.get("phase")
    if not says and (phase == plan.load[-1].name or (phase is None and not elsewhere)):
        message = (
            f"{name} neither limits the load that is searched for, nor is there another phase to judge by it"
        )
        yield message, "remove the rule, or add a phase before the search"


def _live_mistakes(rule: Rule, text: RuleText, plan: Plan) -> Iterable[tuple[str, str]]:
    """What cannot be known while the run goes on; an optional rule may ask for samples that are not everywhere."""
    from distributed.resources import SAMPLED

    if text.abort and rule.relative is not None:
        yield (
            "an abort rule needs a limit of its own: baselines are looked at after the run",
            "write a number",
        )
    of_requests = rule.statistic.grown is not None
    if text.optional or of_requests or not (rule.statistic.is_sampled or rule.statistic.name == GROWTH):
        return
    resources = {} if plan.prometheus is None else plan.prometheus.resources
    name = str(rule.statistic.argument)
    if rule.statistic.name == PROMQL:
        if plan.prometheus is None:
            message = "promql(...) needs a Prometheus to ask, and the plan names none"
            yield message, "name it with --prometheus URL, or as the plan's `prometheus`"
    elif name not in SAMPLED and name not in resources:
        hint = known_names(name, {*SAMPLED, *resources})
        yield f"there is no resource {name!r}", f"{hint}; the plan's `prometheus` can add others"


def known_names(wrong: str, names: Iterable[str]) -> str:
    """A hint: the nearest of the names, or all of them."""
    names = sorted(names)
    near = difflib.get_close_matches(wrong, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if names else "there are none"
