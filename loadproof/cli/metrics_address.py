"""`--metrics [HOST:]PORT` and `--metrics-token FILE` as the address that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed.metrics_server import MetricsAddress
from loadproof.cli.token_file import read_token
from loadproof.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def metrics_address(said: str | None, token_file: Path | None) -> MetricsAddress | None:
    """None where no metrics are asked for; UsageError for what is no address or no token."""
    if said is None:
        if token_file is not None:
            raise UsageError("--metrics-token goes with --metrics [HOST:]PORT")
        return None
    host, _, port = said.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--metrics {said!r} is not an address: write 9646, or 10.0.0.5:9646")
    return MetricsAddress(
        host.strip("[]") or "127.0.0.1", int(port), read_token(token_file, "--metrics-token")
    )
