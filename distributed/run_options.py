"""How to run a plan, beside what the plan says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed.link.keys import MasterKeys
    from distributed.metrics_server import MetricsAddress
    from distributed.web.runs import WebRuns


@dataclass(frozen=True)
class Listen:
    """Where a master waits for workers that others start."""

    host: str
    port: int
    keys: MasterKeys | None
    """None makes throw-away keys for workers of the same user on this machine."""
    say: Callable[[str], None]
    fault_proxy: tuple[str, int] | None = None
    """Where workers reach the proxy that makes the plan's faults on the way, at a free port for 0; None without one."""


@dataclass(frozen=True)
class Options:
    reports: Path
    smoke: bool = False
    smoke_output: int = 2
    """File descriptor that a smoke run's exchanges are printed to."""
    log_level: str = "WARNING"
    notes: tuple[str, ...] = ()
    """Said to the user before the start; kept as events."""
    listen: Listen | None = None
    """None starts the workers here, beside the master."""
    go_on: Path | None = None
    """The folder of a run whose master died, to go on with."""
    metrics: MetricsAddress | None = None
    """Where Prometheus finds the run's live numbers; None serves none."""
    web: WebRuns | None = None
    """The web UI that shows the run, and in which its load is begun."""
