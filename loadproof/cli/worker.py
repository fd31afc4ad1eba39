"""`loadproof worker`: one worker of a region, on a host of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from loadproof.cli import options


def worker(
    region: Annotated[str, typer.Option(metavar="NAME", help="Region of the plan that this host stands in.")],
    master: Annotated[
        str,
        typer.Option(
            metavar="HOST[:PORT]",
            envvar=["LOCUST_MASTER_NODE_HOST", "LOCUST_MASTER_HOST"],
            help="Where the master listens; without a port LOCUST_MASTER_NODE_PORT, LOCUST_MASTER_PORT or 5557.",
        ),
    ] = "127.0.0.1",
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="This worker's .key file; without one, loopback only."),
    ] = None,
    master_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The master's public key, master.pub.")
    ] = None,
    locustfile: Annotated[
        Path | None,
        typer.Option("--locustfile", "-f", help="This host's copy of the locustfile, if the plan runs one."),
    ] = None,
    journal_dir: Annotated[
        Path, typer.Option(help="Where the worker's own journal goes, in a folder for each run.")
    ] = Path("journals"),
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", envvar="ARTILLERY_DEBUG", help="Log more, on standard error."),
    ] = False,
) -> int:
    """Join a master, run this worker's share of its plan, and hand over the journal."""
    import logging

    from distributed.hosts import is_loopback
    from distributed.link.keys import read_worker_keys, take_shared
    from distributed.worker_process import OwnHost, run_on_own_host
    from loadproof.errors import UsageError

    host, port = _place(master)
    if (key is None) != (master_key is None):
        raise UsageError("--key and --master-key belong together: give both, or neither on loopback")
    if key is not None and master_key is not None:
        keys = read_worker_keys(key, master_key)
    elif is_loopback(host):
        keys = take_shared(port, region)
    else:
        raise UsageError(
            f"without keys a worker connects to loopback only, and {host} is not: name this worker's files "
            "with --key and --master-key"
        )
    if keys.worker.rpartition("-")[0] != region:
        raise UsageError(f"{key} is the key of worker {keys.worker}, which is not of region {region}")
    logging.basicConfig(
        level="INFO" if verbose else "WARNING",
        format=f"%(asctime)s {keys.worker} %(levelname)s %(name)s: %(message)s",
    )
    run_on_own_host(
        OwnHost(host, port, region, keys, journal_dir, locustfile, lambda text: print(text, flush=True))
    )
    return 0


def _place(text: str) -> tuple[str, int]:
    """HOST, HOST:PORT, an IPv6 address, or one in brackets with a port."""
    from loadproof.cli.host_port import host_and_port, port_number

    host, number = host_and_port("--master", text)
    told = f"--master {text}"
    for name in ("LOCUST_MASTER_NODE_PORT", "LOCUST_MASTER_PORT"):
        if number is None and (number := os.environ.get(name) or None) is not None:
            told = f"{name}={number}"
    return host, options.MASTER_PORT if number is None else port_number(told, number)
