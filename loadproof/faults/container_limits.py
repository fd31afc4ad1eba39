"""`container_limits`: a container gets less CPU, memory or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from loadproof.faults.docker import Container
from loadproof.faults.machine import cores_of

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo

PERIOD_US: Final = 100_000
LEAST_QUOTA_US: Final = 1_000
NONE: Final = -1
"""No limit: the engine takes 0 as `leave it as it is`."""
ALL_MEMORY: Final = 2**63 - 4096
"""The engine refuses NONE for memory; this is what the kernel shows where there is no limit."""


class ContainerLimits:
    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self._name = name
        self._cores: str | None = settings.get("cores")
        self._memory: int | None = settings.get("memory")

    def prepare(self) -> Undo:
        container = Container(self._name)
        found = container.running()
        limits, before = self._cpu(found["HostConfig"])
        if self._memory is not None:
            had = found["HostConfig"]
            limits |= {"Memory": self._memory, "MemorySwap": self._memory}
            before |= {key: had[key] if had[key] > 0 else ALL_MEMORY for key in ("Memory", "MemorySwap")}
        return {"id": found["Id"], "engine": container.engine, "limits": limits, "before": before}

    def inject(self, undo: Undo) -> None:
        Container(undo["id"], undo["engine"]).do("update", undo["limits"])

    def revert(self, undo: Undo) -> str:
        Container(undo["id"], undo["engine"]).do("update", undo["before"])
        return ""

    def _cpu(self, had: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
        """What is wanted and what there was, in that one of the two ways in which the container has it."""
        if self._cores is None:
            return {}, {}
        cores = cores_of(self._cores)
        if had["NanoCpus"]:
            return {"NanoCpus": round(cores * 1e9)}, {"NanoCpus": had["NanoCpus"]}
        period_us = had["CpuPeriod"] or PERIOD_US
        quota_us = max(LEAST_QUOTA_US, round(cores * period_us))
        return (
            {"CpuPeriod": period_us, "CpuQuota": quota_us},
            {"CpuPeriod": period_us, "CpuQuota": had["CpuQuota"] or NONE},
        )
