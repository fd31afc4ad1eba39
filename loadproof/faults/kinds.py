"""Which class makes which kind of fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadproof.faults.command import TIMEOUT_US, Command
from loadproof.faults.container_disconnect import ContainerDisconnect
from loadproof.faults.container_kill import ContainerKill
from loadproof.faults.container_limits import ContainerLimits
from loadproof.faults.container_pause import ContainerPause
from loadproof.faults.kill import Kill
from loadproof.faults.partition import Partition
from loadproof.faults.pause import Pause
from loadproof.faults.pressure import LOADS, Pressure
from loadproof.faults.restart import Restart
from loadproof.faults.squeeze import Squeeze
from loadproof.faults.switch import Switch
from loadproof.faults.way import OnTheWay, Orders

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.faults.fault import Brief, Fault, Kind


@dataclass
class Parts:
    """What a run's faults break."""

    target: str
    """Its URL."""
    pids: tuple[int, ...]
    """Its processes, as they are now."""
    restart: tuple[str, ...]
    orders: Orders
    lifeline: int
    restarted: Callable[[int], None]
    """Told the process that has taken the target's place."""

    @classmethod
    def of(cls, brief: Brief, lifeline: int, restarted: Callable[[int], None]) -> Parts:
        return cls(brief.target, brief.pids, brief.restart, Orders(brief.proxy), lifeline, restarted)


def make(fault: Fault, parts: Parts) -> Kind:
    given = fault.settings
    match fault.kind:
        case "switch":
            return Switch(parts.target, given["set"])
        case (
            "database-down"
            | "gateway-timeout"
            | "memory-pressure"
            | "component-crash"
            | "state-corruption"
            | "storage-down"
            | "config-missing"
        ):
            # By the rule of `loadproof.plan.faults.SWITCHED`, which the keeper does not load.
            return Switch(parts.target, {fault.kind.replace("-", "_"): True})
        case "pause":
            return Pause(parts.pids)
        case "kill":
            return Kill(parts.pids, parts.target, parts.restart, parts.lifeline, parts.restarted)
        case "restart":
            return Restart(parts.pids, parts.target, parts.restart, parts.lifeline, parts.restarted)
        case "squeeze":
            return Squeeze(given, parts.pids)
        case "container_pause":
            return ContainerPause(given["container"])
        case "container_kill":
            return ContainerKill(given["container"])
        case "container_disconnect":
            return ContainerDisconnect(given["container"], given.get("network"))
        case "container_limits":
            return ContainerLimits(given["container"], given)
        case "partition":
            return Partition(given)
        case "command":
            return Command(given["command"], given["revert"], given.get("timeout", TIMEOUT_US))
        case kind if kind in LOADS:
            return Pressure(kind, given)
        case _:
            return OnTheWay(fault, parts.orders)
