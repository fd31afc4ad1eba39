"""Guards: what a run may take before it warns or is stopped, looked at once a second of run time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from loadproof.plan.guards import each_side, kind_of, shown_level
from loadproof.plan.model import PARTS
from loadproof.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadproof.plan.model import Guard, Plan

WINDOW_US: Final = 10_000_000
"""CPU, growth and errors are looked at over so long: a single second of each says nothing."""
FEWEST_REQUESTS: Final = 20
"""Of fewer in a window no share of errors is told."""
BLIND_US: Final = 15_000_000
"""A resource that was measured and is not any more for so long is told of: its guard guards nothing."""


class Reading(NamedTuple):
    """What the run as a whole is like now."""

    at_us: int
    users: int
    requests: int
    """That ended, since the start."""
    failures: int
    free_bytes: int | None
    """Of the disk that holds the run folder."""


class Tripped(NamedTuple):
    guard: str
    """`target.memory`, `duration`, ..."""
    level: str
    """`warn`, `stop`, or `blind` for one that sees nothing any more."""
    at_us: int
    why: str


class Guards:
    """Each level of each guard trips once."""

    def __init__(self, plan: Plan) -> None:
        self._guards = [one for guard in plan.guards for one in each_side(guard)]
        self._seen: dict[str, deque[tuple[int, float]]] = {}
        """Resource, and what the whole run is like -> the readings of the last window, and the one before it."""
        self._told: set[tuple[str, str]] = set()
        self.tripped: list[Tripped] = []
        self.reached: list[Tripped] = []
        """Every level that is reached as of the last look, whether for the first time or not."""

    def __bool__(self) -> bool:
        return bool(self._guards)

    def sample(self, at_us: int, name: str, value: float) -> None:
        """A resource was read: `generator.rss`, `target.cpu`, ..."""
        seen = self._seen.setdefault(name, deque())
        seen.append((at_us, value))
        while len(seen) > 2 and seen[1][0] <= at_us - WINDOW_US:
            seen.popleft()

    def look(self, reading: Reading) -> list[Tripped]:
        """What trips now, for the first time."""
        self.sample(reading.at_us, "requests", reading.requests)
        self.sample(reading.at_us, "failures", reading.failures)
        self.reached = [
            Tripped(guard.name, level, reading.at_us, why)
            for guard in self._guards
            for level, why in self._trips(guard, reading)
        ]
        found = [trip for trip in self.reached if (trip.guard, trip.level) not in self._told]
        self._told |= {(trip.guard, trip.level) for trip in found}
        self.tripped += found
        return found

    def remember(self, tripped: Tripped) -> None:
        """What the master of this run, that was killed, has noted."""
        self._told.add((tripped.guard, tripped.level))
        self.tripped.append(tripped)

    def _trips(self, guard: Guard, reading: Reading) -> Iterator[tuple[str, str]]:
        kind = kind_of(guard)
        if kind.of_side and self._is_blind(guard, reading.at_us):
            yield "blind", f"the guard {guard.name} has seen nothing for {format_duration(BLIND_US)}"
        value = self._value(guard, reading)
        if value is None:
            return
        for level in ("warn", "stop"):
            limit = getattr(guard, level)
            if limit is not None and (value < limit if kind.lowest else value >= limit):
                word = "is below" if kind.lowest else "has reached"
                yield (
                    level,
                    f"{guard.name} is {shown_level(kind, value)} and {word} the level of {shown_level(kind, limit)}",
                )

    def _value(self, guard: Guard, reading: Reading) -> float | None:
        """In the unit of its levels; None where nothing is known yet."""
        side, _, what = guard.name.rpartition(".")
        match what:
            case "memory":
                seen = self._recent(f"{side}.rss", reading.at_us)
                return seen[-1][1] if seen else None
            case "memory_growth":
                seen = self._whole_window(f"{side}.rss")
                return (seen[-1][1] - seen[0][1]) * 1e6 / (seen[-1][0] - seen[0][0]) if seen else None
            case "cpu":
                seen = self._whole_window(f"{side}.cpu")
                return PARTS * sum(value for _, value in seen) / len(seen) if seen else None
            case "errors":
                requests, failures = (
                    counts[-1][1] - counts[0][1]
                    for counts in map(self._seen.__getitem__, ("requests", "failures"))
                )
                return PARTS * failures / requests if requests >= FEWEST_REQUESTS else None
            case "users":
                return reading.users
            case "free_disk":
                return reading.free_bytes
            case _:
                return reading.at_us

    def _recent(self, name: str, now_us: int) -> list[tuple[int, float]]:
        seen = self._seen.get(name)
        return list(seen) if seen and now_us - seen[-1][0] < BLIND_US else []

    def _whole_window(self, name: str) -> list[tuple[int, float]]:
        seen = self._seen.get(name)
        return list(seen) if seen and seen[-1][0] - seen[0][0] >= WINDOW_US else []

    def _is_blind(self, guard: Guard, now_us: int) -> bool:
        side, _, what = guard.name.rpartition(".")
        seen = self._seen.get(f"{side}.cpu" if what == "cpu" else f"{side}.rss")
        return seen is not None and now_us - seen[-1][0] >= BLIND_US


def resources_of(guard: Guard) -> list[str]:
    """Those that it goes by: `target.rss`, ..."""
    return [
        f"{side}.{'cpu' if what == 'cpu' else 'rss'}"
        for one in each_side(guard)
        if kind_of(one).of_side
        for side, _, what in [one.name.rpartition(".")]
    ]
