"""`loadproof master`: a plan run by workers that join from hosts of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loadproof.cli import options


def master(
    plan: options.PlanName = None,
    locustfile: options.Locustfile = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Key set of `loadproof keys`; without one, loopback only."),
    ] = None,
    bind: Annotated[
        str, typer.Option(metavar="HOST", envvar="LOCUST_MASTER_BIND_HOST", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            envvar=["LOCUST_MASTER_BIND_PORT", "LOCUST_MASTER_PORT"],
            help="Port to listen at.",
        ),
    ] = options.MASTER_PORT,
    fault_proxy: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="An address of this machine at which workers reach the proxy for the plan's faults on the way to its "
            "target.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with the run of this folder, whose master died."),
    ] = None,
    join_timeout: Annotated[
        str | None, typer.Option(help="How long to wait for workers, in place of the plan's word.")
    ] = None,
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
    workers: Annotated[
        int | None,
        typer.Option("--workers", "--expect-workers", help="Workers of all regions together."),
    ] = None,
    settings: options.Settings = None,
    env: options.Overlay = None,
    config_file: options.OverlayFile = None,
    rule: options.Rules = None,
    baseline: options.Baselines = None,
    unlike: options.Unlike = False,
    seed: options.Seed = None,
    stop_timeout: options.StopTimeout = None,
    test_name: options.TestName = None,
    reports: options.Reports = Path("reports"),
    charts: options.Charts = Path("charts"),
    no_analysis: options.NoAnalysis = False,
    yes: options.Yes = False,
    strict: options.Strict = False,
    json_output: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Wait for the workers of a plan, run it with them, judge, and write the reports."""
    import sys

    from distributed.hosts import is_loopback
    from distributed.link.keys import read_master_keys
    from distributed.run_options import Listen
    from loadproof.cli.asked import again, ask
    from loadproof.cli.conducted import conduct
    from loadproof.cli.host_port import fault_proxy_at
    from loadproof.cli.web_address import web_address
    from loadproof.errors import UsageError
    from loadproof.plan.model import EMBEDDED
    from loadproof.plan.overrides import Overrides

    if keys is None and not is_loopback(bind):
        raise UsageError(
            f"without keys a master listens on loopback only, and {bind} is not: make a key set with "
            "`loadproof keys DIR PLAN` and name it with --keys DIR"
        )
    proxy_at = None if fault_proxy is None else fault_proxy_at(fault_proxy)
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
        join_timeout=join_timeout,
        test_name=test_name,
        env=env,
        config_file=config_file,
    )
    of_master = None if keys is None else read_master_keys(keys)
    if json_output:
        # A locustfile prints what it likes, and standard output is for the results alone.
        sys.stdout = sys.stderr
    if resume is None:
        asked = ask(plan, locustfile, changes)
    elif plan is not None or locustfile is not None or changes != Overrides():
        raise UsageError(
            "--resume goes on with a run as it began: leave out the plan and all that changes it"
        )
    elif keys is None:
        raise UsageError(
            "--resume needs the key set of the run: without its keys no worker trusts this master"
        )
    elif fault_proxy is not None:
        raise UsageError("--resume goes on with the run's own proxy for faults: leave out --fault-proxy")
    else:
        asked = again(resume)
    if asked.plan.target == EMBEDDED and not is_loopback(bind):
        raise UsageError(
            "the embedded target listens on this machine only, and workers would come from others: "
            "name the target's URL with --target"
        )

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    return conduct(
        asked,
        (),
        Listen(bind, port, of_master, say, proxy_at),
        baselines=tuple(baseline or ()),
        unlike=unlike,
        go_on=resume,
        metrics=metrics,
        metrics_token=metrics_token,
        web=web_at,
        reports=reports,
        charts=charts,
        smoke=False,
        no_analysis=no_analysis,
        yes=yes,
        strict=strict,
        json_output=json_output,
        quiet=quiet,
        verbose=verbose,
    )
