"""`loadproof run`: a plan on this machine, from the first user to the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from distributed.run import Ended
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
    region: options.Regions = None,
    workers: options.Workers = None,
    settings: options.Settings = None,
    env: options.Overlay = None,
    config_file: options.OverlayFile = None,
    rule: options.Rules = None,
    seed: options.Seed = None,
    stop_timeout: Annotated[
        str | None, typer.Option(help="How long a stop waits for requests in flight, such as 30s.")
    ] = None,
    test_name: Annotated[str | None, typer.Option(help="Name of the run, in place of the plan's.")] = None,
    test_type: Annotated[str | None, typer.Option(help="A built-in plan, as PLAN.")] = None,
    reports: Annotated[Path, typer.Option(help="Where the run folder goes.")] = Path("reports"),
    charts: Annotated[Path, typer.Option(help="Where the PNG charts go.")] = Path("charts"),
    smoke: Annotated[
        bool, typer.Option("--smoke", help="One user a scenario, every task once, each exchange printed.")
    ] = False,
    no_analysis: Annotated[
        bool, typer.Option("--no-analysis", help="Leave the reports to `report`.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Load a host that is neither loopback nor in `allow_hosts`.")
    ] = False,
    strict: options.Strict = False,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more to the run's log.")] = False,
) -> int:
    """Run a plan: start workers, load the target, judge, and write the reports."""
    import sys

    from rich.console import Console

    from distributed.run import Options, needs_permission, run_plan
    from loadproof.cli.asked import ask
    from loadproof.cli.panel import LivePanel
    from loadproof.errors import ExitCode, UsageError
    from loadproof.plan.overrides import Overrides

    if plan is not None and test_type is not None:
        raise UsageError("PLAN and --test-type both name the plan: give one of them")
    changes = tuple(settings or ())
    if stop_timeout is not None:
        changes += (f"stop_timeout={stop_timeout}",)
    if test_name is not None:
        changes += (f"name={test_name}",)
    if json_output:
        # A locustfile prints what it likes, and standard output is for the results alone.
        sys.stdout = sys.stderr
    overrides = Overrides(
        users=users,
        duration=duration,
        spawn_rate=spawn_rate,
        target=target,
        region=tuple(region or ()),
        workers=workers,
        rules=tuple(rule or ()),
        seed=seed,
        set=changes,
        env=env,
        config_file=config_file,
    )
    asked, notes = _for_this_machine(ask(plan or test_type, locustfile, overrides), smoke=smoke)
    host = needs_permission(asked.plan)
    if host is not None and not yes:
        raise UsageError(
            f"{host} is not this machine: if you may load it, say --yes or add it to the plan's `allow_hosts`"
        )
    try:
        charts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write charts to {charts}: {error.strerror}; name another with --charts"
        ) from error
    console = Console(file=sys.stdout, highlight=False)
    if not quiet:
        for note in (_headline(asked), *notes):
            console.print(note, markup=False, soft_wrap=True)
    with LivePanel(asked.plan.name, asked.plan.duration_us, console, quiet=quiet or smoke) as panel:
        ended = run_plan(
            asked.plan,
            asked.suite,
            Options(
                reports=reports,
                smoke=smoke,
                smoke_output=console.file.fileno(),
                log_level="INFO" if verbose else "WARNING",
                notes=notes,
            ),
            panel.show,
        )
    if no_analysis:
        console.print(f"not judged: `loadproof report {ended.folder}` does it", markup=False, soft_wrap=True)
        code: int = ExitCode.OK if ended.complete else ExitCode.INVALID
    else:
        code = _report(ended, charts, json_output=json_output, quiet=quiet, strict=strict)
    return code if ended.signal is None else 128 + ended.signal


def _for_this_machine(asked: Asked, *, smoke: bool) -> tuple[Asked, tuple[str, ...]]:
    """The plan that this machine will run, with a seed, and what to tell the user about it."""
    import os
    import secrets
    from dataclasses import replace

    from loadproof.plan.model import ArrivalProcess, Phase
    from loadproof.plan.scaling import shrink_workers

    plan = asked.plan
    notes: list[str] = []
    if plan.seed is None:
        plan = plan.model_copy(update={"seed": secrets.randbelow(2**31)})
    if smoke:
        region = plan.regions[0].model_copy(update={"workers": 1, "max_users": None, "weight": None})
        phase = Phase(name="smoke", duration_us=SMOKE_US, users_from=1, users_to=1)
        plan = plan.model_copy(
            update={
                "regions": (region,),
                "load": (phase,),
                "rules": _without_load(asked),
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
    return replace(asked, plan=plan), tuple(notes)


def _without_load(asked: Asked) -> tuple[RuleText, ...]:
    """The rules that one user can show something of: checks and errors, in whatever phase or region."""
    return tuple(
        text
        for text, rule in zip(asked.plan.rules, asked.rules, strict=True)
        if rule.statistic.name in {"check", "error_ratio"} and not {"phase", "region"} & set(rule.selector)
    )


def _headline(asked: Asked) -> str:
    from loadproof.plan.model import RATE_PERIOD_S
    from loadproof.units import format_count, format_duration, format_rate

    plan = asked.plan
    workers = sum(region.workers for region in plan.regions)
    load = f"{format_count(plan.max_users)} user{'s'[: plan.max_users != 1]}"
    if plan.open:
        load = f"up to {format_rate(plan.max_arrivals / RATE_PERIOD_S)} arrivals, {load}"
    return (
        f"{plan.title}: {load}, {format_duration(plan.duration_us)}, "
        f"{workers} worker{'s'[: workers != 1]} in {len(plan.regions)} region{'s'[: len(plan.regions) != 1]}, "
        f"target {plan.target}"
    )


def _report(ended: Ended, charts: Path, *, json_output: bool, quiet: bool, strict: bool) -> int:
    """Judge in a process of its own: the analyzer's memory and libraries are none of the generator's."""
    import subprocess
    import sys

    from loadproof.errors import ExitCode

    command = [sys.executable, "-m", "loadproof", "report", str(ended.folder), "--charts", str(charts)]
    flags = {"--json": json_output, "--quiet": quiet, "--strict": strict}
    command += [flag for flag, wanted in flags.items() if wanted]
    code = subprocess.run(command, check=False, start_new_session=True).returncode
    return code if code >= 0 else ExitCode.INTERNAL
