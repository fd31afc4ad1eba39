"""The options that several verbs share, each spelt once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the scenarios' random choices.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, messages on standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 3 on WARN too.")]
