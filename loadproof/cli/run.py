"""`loadproof run`: a plan on this machine, from the first user to the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from loadproof.cli.asked import Asked
    from loadproof.plan.model import RuleText

SMOKE_US: Final = 60_000_000


def run(
    plan: options.PlanName = None,
    locustfile: options.Locustfile = None,
    users: options.Users = None,
    spawn_rate: options.SpawnRate = None,
    duration: options.Duration = None,
    target: options.Target = None,
    prometheus: options.Prometheus = None,
    metrics: options.Metrics = None,
    metrics_token: options.MetricsToken = None,
    web: options.Web = False,
    web_host: options.WebHost = None,
    web_port: options.WebPort = None,
    web_token: options.WebToken = None,
    autostart: options.Autostart = False,
    autoquit: options.Autoquit = None,
    region: options.Regions = None,
    workers: options.Workers = None,
    settings: options.Settings = None,
    env: options.Overlay = None,
    config_file: options.OverlayFile = None,
    rule: options.Rules = None,
    baseline: options.Baselines = None,
    unlike: options.Unlike = False,
    seed: options.Seed = None,
    stop_timeout: options.StopTimeout = None,
    test_name: options.TestName = None,
    test_type: Annotated[str | None, typer.Option(help="A built-in plan, as PLAN.")] = None,
    reports: options.Reports = Path("reports"),
    charts: options.Charts = Path("charts"),
    smoke: Annotated[
        bool, typer.Option("--smoke", help="One user a scenario, every task once, each exchange printed.")
    ] = False,
    no_analysis: options.NoAnalysis = False,
    yes: options.Yes = False,
    strict: options.Strict = False,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Run a plan: start workers, load the target, judge, and write the reports."""
    import sys

    from loadproof.cli.asked import ask
    from loadproof.cli.conducted import conduct
    from loadproof.cli.web_address import web_address
    from loadproof.errors import UsageError
    from loadproof.plan.overrides import Overrides

    if plan is not None and test_type is not None:
        raise UsageError("PLAN and --test-type both name the plan: give one of them")
    web_at = web_address(
        web=web,
        web_host=web_host,
        web_port=web_port,
        web_token=web_token,
        autostart=autostart,
        autoquit=autoquit,
    )
    changes = Overrides(
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
        stop_timeout=stop_timeout,
        test_name=test_name,
        env=env,
        config_file=config_file,
    )
    if json_output:
        # A locustfile prints what it likes, and standard output is for the results alone.
        sys.stdout = sys.stderr
    asked, notes = _for_this_machine(ask(plan or test_type, locustfile, changes), smoke=smoke)
    return conduct(
        asked,
        notes,
        None,
        baselines=tuple(baseline or ()),
        unlike=unlike,
        metrics=metrics,
        metrics_token=metrics_token,
        web=web_at,
        reports=reports,
        charts=charts,
        smoke=smoke,
        no_analysis=no_analysis,
        yes=yes,
        strict=strict,
        json_output=json_output,
        quiet=quiet,
        verbose=verbose,
    )


def _for_this_machine(asked: Asked, *, smoke: bool) -> tuple[Asked, tuple[str, ...]]:
    """The plan that this machine will run, with a seed, and what to tell the user about it."""
    import os
    from dataclasses import replace

    from loadproof.plan.model import ArrivalProcess, Phase
    from loadproof.plan.scaling import shrink_workers
    from loadproof.verdict.foreseen import without_data

    plan = asked.plan
    notes: list[str] = []
    if smoke:
        region = plan.regions[0].model_copy(update={"workers": 1, "max_users": None, "weight": None})
        phase = Phase(name="smoke", duration_us=SMOKE_US, users_from=1, users_to=1)
        plan = plan.model_copy(
            update={
                "regions": (region,),
                "load": (phase,),
                "rules": _without_load(asked),
                "faults": (),
                "arrival_process": ArrivalProcess.CONSTANT,
            }
        )
        notes.append(
            "smoke: one user of each scenario runs every task once, judged by checks and errors alone; "
            "such a run is WARN at best"
        )
    else:
        plan, note = shrink_workers(plan, len(os.sched_getaffinity(0)))
        if note is not None:
            notes.append(note)
        notes += without_data(plan, asked.rules)
    return replace(asked, plan=plan), tuple(notes)


def _without_load(asked: Asked) -> tuple[RuleText, ...]:
    """The rules that one user can show something of: checks and errors, in whatever phase or region."""
    return tuple(
        text
        for text, rule in zip(asked.plan.rules, asked.rules, strict=True)
        if rule.statistic.name in {"check", "error_ratio"}
        and not {"phase", "region", "fault"} & set(rule.selector)
    )
