"""`loadproof keys`: the key set for a master and workers on hosts of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadproof.cli import options  # noqa: TC001 typer reads the annotations when the verb is registered

if TYPE_CHECKING:
    from loadproof.plan.model import Region


def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the key set.")],
    plan: options.PlanName = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:WORKERS]", help="Without a plan: a region and its number of workers; may repeat."
        ),
    ] = None,
) -> int:
    """Make a key for the master and one for each worker of a plan, and say where each belongs."""
    from distributed.link.keys import (
        AUTHORISED,
        MASTER_KEY,
        MASTER_PUB,
        make_keys,
        worker_key,
        write_master_side,
        write_worker_side,
    )
    from distributed.placement import seats
    from loadproof.errors import UsageError

    workers = [seat.worker for seat in seats(_regions(plan, region or []))]
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        taken = next(folder.iterdir(), None)
    except OSError as error:
        raise UsageError(
            f"cannot write a key set to {folder}: {error.strerror}; name a new folder"
        ) from error
    if taken is not None:
        raise UsageError(f"{folder} is not empty, and a key set is never overwritten: name a new folder")
    of_master, of_workers = make_keys(workers)
    write_master_side(folder, of_master)
    write_worker_side(folder, of_workers)
    prints = of_master.fingerprints
    print(f"made the keys of a master and {len(workers)} worker{'s'[: len(workers) != 1]} in {folder}:")
    print(f"  the master's host keeps {MASTER_KEY} and {AUTHORISED}: {prints['master']}")
    for worker in workers:
        print(f"  {worker}'s host gets {worker_key(Path(), worker)} and {MASTER_PUB}: {prints[worker]}")
    print("the numbers are fingerprints, as a run's manifest lists them; every .key file is a secret:")
    print("copy it over a connection that you trust, and give no two workers the same")
    return 0


def _regions(plan: str | None, given: list[str]) -> tuple[Region, ...]:
    from loadproof.errors import UsageError
    from loadproof.plan.builtin import resolve
    from loadproof.plan.model import Region
    from loadproof.plan.reader import read_plan

    if (plan is None) == (not given):
        raise UsageError(
            "say for whom: `loadproof keys DIR PLAN`, or `loadproof keys DIR --region NAME:WORKERS`"
        )
    if plan is not None:
        return read_plan(resolve(plan)).regions
    regions: dict[str, Region] = {}
    for text in given:
        match = re.fullmatch(r"([a-z0-9]+(?:-[a-z0-9]+)*)(?::([1-9]\d{0,3}))?", text)
        if match is None or match[1] in regions:
            raise UsageError(f"--region {text}: write each region once, as us-east-1:3 for three workers")
        regions[match[1]] = Region(name=match[1], workers=int(match[2] or 1))
    return tuple(regions.values())
