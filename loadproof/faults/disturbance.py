"""What the proxy does to the bytes that it carries, of all faults that are open together."""

from __future__ import annotations

import random
from typing import Any, Final

US: Final = 1e-6
SLICES_PER_S: Final = 20
"""A limited way passes on in so many pieces a second."""


class Disturbance:
    """Nothing at first. Times are seconds."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._open: dict[str, tuple[str, dict[str, Any]]] = {}
        self._random: dict[str, random.Random] = {}
        self.bytes_per_s: int | None = None
        self.latency_s = 0.0
        """Without jitter."""
        self.close_s = 0.0
        self.kinds: frozenset[str] = frozenset()
        self._free_s = {True: 0.0, False: 0.0}
        """When a limited way is free again, from and to the target."""

    def begin(self, name: str, kind: str, settings: dict[str, Any]) -> None:
        self._open[name] = kind, settings
        self._random[name] = random.Random(f"{self._seed} {name}")
        self._sum_up()

    def end(self, name: str) -> None:
        self._open.pop(name, None)
        self._sum_up()

    @property
    def delays(self) -> bool:
        return not self.kinds.isdisjoint({"latency", "bandwidth"})

    def draw_latency_s(self) -> float:
        """Of the next bytes of the target."""
        total = 0.0
        for name, settings in self._of("latency"):
            jitter = settings.get("jitter", 0)
            total += settings["latency"] + (self._random[name].uniform(-jitter, jitter) if jitter else 0)
        return total * US

    def passed_s(self, size: int, now_s: float, *, from_target: bool) -> float:
        """When so many more bytes have passed the way, which all connections share."""
        if self.bytes_per_s is None:
            return now_s
        passed = max(now_s, self._free_s[from_target]) + size / self.bytes_per_s
        self._free_s[from_target] = passed
        return passed

    @property
    def slice_bytes(self) -> int:
        assert self.bytes_per_s is not None
        return max(1, self.bytes_per_s // SLICES_PER_S)

    def _of(self, wanted: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, settings) for name, (kind, settings) in self._open.items() if kind == wanted]

    def _sum_up(self) -> None:
        self.kinds = frozenset(kind for kind, _ in self._open.values())
        self.latency_s = sum(settings["latency"] for _, settings in self._of("latency")) * US
        self.close_s = sum(settings["delay"] for _, settings in self._of("slow_close")) * US
        self.bytes_per_s = min((settings["bandwidth"] for _, settings in self._of("bandwidth")), default=None)
