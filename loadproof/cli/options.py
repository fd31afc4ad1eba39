"""The options that several verbs share, each spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

PlanName = Annotated[
    str | None, typer.Argument(metavar="PLAN", help="A built-in plan (see `loadproof plans`) or a file.")
]
Locustfile = Annotated[
    Path | None, typer.Option("--locustfile", "-f", help="Run any Locust file, without a plan.")
]
Users = Annotated[int | None, typer.Option("--users", "-u", help="Scale the plan to this peak.")]
SpawnRate = Annotated[
    float | None, typer.Option("--spawn-rate", "-r", help="Users a second in the first rise.")
]
Duration = Annotated[
    str | None, typer.Option("--duration", "-t", help="Scale the plan to this length, such as 90s or 2h.")
]
Target = Annotated[
    str | None, typer.Option("--target", "-H", help="URL of the system under test, or `embedded`.")
]
Prometheus = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Prometheus that promql(...) rules ask, once a second during the run."),
]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="[HOST:]PORT", help="Serve live metrics for Prometheus at /metrics; 9646 is usual."),
]
MetricsToken = Annotated[
    Path | None,
    typer.Option("--metrics-token", metavar="FILE", help="Its content is asked of who wants metrics."),
]
Web = Annotated[
    bool,
    typer.Option("--web", help="Serve Locust's web UI, with tabs for the plan; the load waits for Start."),
]
WebHost = Annotated[
    str | None, typer.Option(metavar="HOST", help="Address of the web UI; 127.0.0.1 without it.")
]
WebPort = Annotated[
    int | None,
    typer.Option("--web-port", "-P", min=0, max=65535, help="Port of the web UI; 8089 without it."),
]
WebToken = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Its content is asked of who opens the web UI; without it a link opens it once."
    ),
]
Autostart = Annotated[
    bool, typer.Option("--autostart", help="Begin the load without waiting for the web UI's Start.")
]
Autoquit = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="End so long after the run has ended; without it the web UI stays until Ctrl-C.",
    ),
]
Regions = Annotated[list[str] | None, typer.Option("--region", help="Keep only this region; may repeat.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Workers of all regions together.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the plan; may repeat."),
]
Overlay = Annotated[str | None, typer.Option("--env", metavar="NAME", help="Apply an overlay of the plan.")]
OverlayFile = Annotated[Path | None, typer.Option("--config-file", help="Apply an overlay from a file.")]
Rules = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="RULE", help='Add a rule, such as "p95 <= 250ms"; may repeat.'),
]
Baselines = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="RUN",
        help="Compare with this run, those of a folder, or latest:NAME; may repeat.",
    ),
]
Unlike = Annotated[bool, typer.Option("--unlike", help="Compare with baselines that are not alike, too.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the scenarios' random choices.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, messages on standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 3 on WARN too.")]
StopTimeout = Annotated[
    str | None, typer.Option(help="How long a stop waits for requests in flight, such as 30s.")
]
TestName = Annotated[str | None, typer.Option(help="Name of the run, in place of the plan's.")]
Reports = Annotated[Path, typer.Option(help="Where the run folder goes.")]
Charts = Annotated[Path, typer.Option(help="Where the PNG charts go.")]
NoAnalysis = Annotated[bool, typer.Option("--no-analysis", help="Leave the reports to `report`.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Load a host that is neither loopback nor in `allow_hosts`.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", envvar="ARTILLERY_DEBUG", help="Log more to the run's log.")
]
MASTER_PORT: Final = 5557
