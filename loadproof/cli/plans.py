"""`loadproof plans`: the built-in plans."""

from __future__ import annotations

from typing import Annotated

import typer


def plans(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List the built-in plans: what they ask for and where they stand."""
    import json

    from loadproof.cli.tables import table, wide_console
    from loadproof.errors import ExitCode
    from loadproof.plan.builtin import builtin_plans
    from loadproof.plan.reader import read_plan
    from loadproof.units import format_count, format_duration

    found = {name: (path, read_plan(path, environ={})) for name, path in builtin_plans().items()}
    if json_output:
        print(
            json.dumps(
                [
                    {
                        "name": name,
                        "title": plan.title,
                        "users": plan.max_users,
                        "duration_s": plan.duration_us / 1_000_000,
                        "suite": plan.suite,
                        "flows": [flow.name for flow in plan.flows],
                        "file": str(path),
                    }
                    for name, (path, plan) in found.items()
                ],
                indent=1,
            )
        )
        return ExitCode.OK
    listed = table(("PLAN", "USERS", "LASTS", "REGIONS", "WHAT"), left=("PLAN", "WHAT"))
    for name, (_, plan) in found.items():
        listed.add_row(
            name,
            format_count(plan.max_users),
            format_duration(plan.duration_us),
            str(len(plan.regions)),
            plan.title,
        )
    wide_console().print(listed)
    print("\nStart one with `loadproof run PLAN`; `loadproof validate PLAN` explains it without load.")
    return ExitCode.OK
