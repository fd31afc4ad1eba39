"""`loadproof target`: the reference target as a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer


def target(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Server processes sharing the port.")] = 1,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="LOADPROOF_TARGET_STORE",
            help="sqlite:///PATH or postgresql://USER@HOST:PORT/DB, whose password PGPASSWORD or PGPASSFILE says; "
            "without it a temporary file that ends with the target.",
        ),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            envvar="LOADPROOF_TARGET_REDIS",
            help="redis://HOST:PORT/0 for sessions and the cache of reads; without it they are in memory.",
        ),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Plant a fault, such as slow=3s or errors=0.02; may repeat."),
    ] = None,
) -> int:
    """Serve the reference target until Ctrl-C."""
    from target.server import serve

    return serve(host, port, processes, store, None, redis=redis, switches=tuple(switch or ()))
