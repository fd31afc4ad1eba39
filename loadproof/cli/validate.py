"""`loadproof validate`: what a plan asks for, without load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from loadproof.cli.asked import Asked
    from loadproof.plan.model import Fault, Guard, Phase, Plan
    from loadproof.verdict.judge import JudgedBy


def validate(
    plan: options.PlanName = None,
    locustfile: options.Locustfile = None,
    users: options.Users = None,
    spawn_rate: options.SpawnRate = None,
    duration: options.Duration = None,
    target: options.Target = None,
    prometheus: options.Prometheus = None,
    region: options.Regions = None,
    workers: options.Workers = None,
    settings: options.Settings = None,
    env: options.Overlay = None,
    config_file: options.OverlayFile = None,
    rule: options.Rules = None,
    seed: options.Seed = None,
) -> int:
    """Explain who runs, how many, when, and judged how; report every mistake."""
    from loadproof.cli.asked import ask
    from loadproof.errors import ExitCode
    from loadproof.plan.overrides import Overrides

    overrides = Overrides(
        users=users,
        duration=duration,
        spawn_rate=spawn_rate,
        target=target,
        prometheus=prometheus,
        region=tuple(region or ()),
        workers=workers,
        rules=tuple(rule or ()),
        seed=seed,
        set=tuple(settings or ()),
        env=env,
        config_file=config_file,
    )
    for line in explanation(ask(plan, locustfile, overrides)):
        print(line)
    return ExitCode.OK


def explanation(asked: Asked) -> list[str]:
    """The plan in words, a line each."""
    from distributed.limits import stop_timeout_us
    from loadproof.units import format_count, format_duration, format_ratio
    from loadproof.verdict.foreseen import without_data
    from loadproof.verdict.judge import with_implied

    plan, suite = asked.plan, asked.suite
    named = {"suite": plan.suite, "locustfile": plan.locustfile}
    parts = [f"{key} {name}" for key, name in named.items() if name is not None]
    if plan.flows:
        parts.append(f"{len(plan.flows)} flow{'s'[: len(plan.flows) != 1]}")
    what = " and ".join(parts)
    lines = [f"{plan.title} ({plan.name}): {what} against {plan.target}", "", "when"]
    at = 0
    for phase in plan.load:
        warmup = ", warm-up: not judged for latency, rate and errors" if phase.warmup else ""
        lines.append(
            f"  {format_duration(at):>8}  {phase.name}: {_load(phase)} for "
            f"{format_duration(phase.duration_us)}{_arrivals(plan, at, at + phase.duration_us)}{warmup}"
        )
        at += phase.duration_us
    lines += [
        f"  {format_duration(at):>8}  end, then up to {format_duration(stop_timeout_us(plan))} to drain",
        "",
        "who",
    ]
    weights = plan.scenarios if plan.scenarios is not None else suite.weights
    total = sum(weights.values())
    for name, weight in weights.items():
        checks = ", ".join(suite.declared("checks").get(name, ())) or "none"
        lines.append(f"  {format_ratio(weight / total):>8}  {name}; checks: {checks}")
    lines += ["", "from where"]
    for region in plan.regions:
        cap = "" if region.max_users is None else f", at most {format_count(region.max_users)} users"
        need = "" if region.quorum == 1 else f", at least {region.quorum} of them"
        lines.append(f"  {region.name}: {region.workers} worker{'s'[: region.workers != 1]}{need}{cap}")
    lines += ["", "judged by"]
    lines += [
        f"  {one.rule}{'  (optional)' if one.optional else ''}{'  (implied)' if one.implied else ''}"
        f"{_abort(one)}{_held(one)}{_sought(one, plan)}"
        for one in with_implied(plan, asked.rules)
    ]
    if plan.prometheus is not None:
        lines.append(f"  promql(...) asks {plan.prometheus.url} once a second")
    if not asked.rules:
        lines.append("  no rule: such a run is judged on its evidence alone, and is WARN at best")
    if plan.search is not None:
        lines += ["", "searched for", *_search(plan)]
    if plan.guards:
        lines += ["", "guarded by", *map(_guard, plan.guards)]
    if plan.faults:
        lines += ["", "broken on purpose", *map(_fault, sorted(plan.faults, key=lambda fault: fault.at_us))]
        lines += [f"  {text}" for text in without_data(plan, asked.rules)]
    return lines


def _search(plan: Plan) -> list[str]:
    from loadproof.plan.model import PARTS
    from loadproof.plan.search import level_text, steps_of
    from loadproof.units import format_ratio

    assert plan.search is not None
    steps = steps_of(plan)
    lowest, highest = (
        level_text(level, grain=steps.grain, is_open=plan.open) for level in (steps.lowest, steps.highest)
    )
    often = f"{plan.search.confirm} probe{'s'[: plan.search.confirm != 1]}"
    close = format_ratio(plan.search.precision / PARTS)
    return [
        f"  the highest load that breaks no rule, from {lowest} to {highest}, in the phase {plan.load[-1].name}",
        f"  to {close} of itself, confirmed by {often} of {steps.settle_s} s to settle and {steps.hold_s} s to look",
    ]


def _sought(one: JudgedBy, plan: Plan) -> str:
    """What a rule is for in a plan that searches."""
    from loadproof.verdict.criteria import limits_load

    if plan.search is None or one.delay_us is not None or not limits_load(one.rule, plan):
        return ""
    elsewhere = "phase" not in one.rule.selector and any(not phase.warmup for phase in plan.load[:-1])
    census = one.rule.statistic.name == "check" and one.rule.is_census
    return "  (the search goes by it too)" if elsewhere or census else "  (the search goes by it)"


def _fault(fault: Fault) -> str:
    from loadproof.plan.faults import settings_text
    from loadproof.units import format_duration

    what = " ".join(filter(None, (fault.kind, settings_text(fault))))
    told = what if fault.name == fault.kind else f"{fault.name}: {what}"
    return f"  {format_duration(fault.at_us):>8}  {told}, for {format_duration(fault.for_us)}"


def _guard(guard: Guard) -> str:
    from loadproof.plan.guards import kind_of, shown_level

    kind = kind_of(guard)
    levels = {"warns": guard.warn, "stops the run": guard.stop}
    what = "below" if kind.lowest else "at"
    told = (
        f"{does} {what} {shown_level(kind, level)}" for does, level in levels.items() if level is not None
    )
    return f"  {guard.name}: {', '.join(told)}"


def _held(one: JudgedBy) -> str:
    """How a limit comes about that is said by the baseline."""
    if one.rule.relative is None:
        return ""
    return "  (the limit follows from the baseline; without --baseline it has no data)"


def _abort(rule: JudgedBy) -> str:
    from loadproof.units import format_duration

    if rule.delay_us is None:
        return ""
    since = f" from {format_duration(rule.delay_us)} on" if rule.delay_us else ""
    return f"  (ends the run{since} as soon as it is broken)"


def _load(phase: Phase) -> str:
    """What a phase asks for, as `0 to 1,000 arrivals a second`."""
    from loadproof.plan.model import RATE_PERIOD_S
    from loadproof.units import format_count, format_duration

    first, last, what = float(phase.users_from), float(phase.users_to), "users"
    if phase.arrivals_from is not None and phase.arrivals_to is not None:
        first, last = phase.arrivals_from / RATE_PERIOD_S, phase.arrivals_to / RATE_PERIOD_S
        what = "arrivals a second"
    if phase.pace_us is not None:
        what += f", each with a task every {format_duration(phase.pace_us)},"
    return (
        f"{format_count(last) if first == last else f'{format_count(first)} to {format_count(last)}'} {what}"
    )


def _arrivals(plan: Plan, start_us: int, end_us: int) -> str:
    """How many starts a phase of an open plan intends, and who serves them."""
    from loadproof.plan.arrivals import arrivals_before
    from loadproof.plan.model import ArrivalProcess
    from loadproof.plan.profile import users_at
    from loadproof.units import format_count

    if not plan.open:
        return ""
    starts = arrivals_before(plan.load, end_us) - arrivals_before(plan.load, start_us)
    about = "about " if plan.arrival_process is ArrivalProcess.POISSON else ""
    users = users_at(plan.load, start_us)
    return f", {about}{format_count(starts)} in all, served by up to {format_count(users)} users"
