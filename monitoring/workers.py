"""What each worker is seen to do: its latest second, what is missing of it, and what it has taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadproof.measure.interval import Interval
    from monitoring.families import Families
    from monitoring.labels import Labels
    from monitoring.look import Look

P99: Final = Fraction(99, 100)
MOST_MISSING: Final = 86_400
"""Seconds of one worker: of more, which no run of ours misses, the rest is not remembered."""


@dataclass
class _Worker:
    region: str
    intervals: int = 0
    newest: int | None = None
    missing: set[int] = field(default_factory=set)
    end_us: int = 0
    length_us: int = 0
    in_flight: int = 0
    oldest_us: int | None = None
    users: Mapping[str, int] = field(default_factory=dict)
    pacer_lag_us: int | None = None
    receive_lag_us: int | None = None
    busy: float | None = None
    cpu_us: int = 0
    throttled_us: int | None = None
    steal_us: int | None = None

    def add(self, interval: Interval) -> None:
        self.intervals += 1
        self.cpu_us += interval.cpu_us
        if interval.throttled_us is not None:
            self.throttled_us = (self.throttled_us or 0) + interval.throttled_us
        if interval.steal_us is not None:
            self.steal_us = (self.steal_us or 0) + interval.steal_us
        self.missing.discard(interval.second)
        if self.newest is not None and interval.second < self.newest:
            # Late: what it says of the moment is over.
            return
        if self.newest is not None:
            room = MOST_MISSING - len(self.missing)
            self.missing.update(range(self.newest + 1, min(interval.second, self.newest + 1 + room)))
        self.newest = interval.second
        self.end_us = interval.start_us + interval.length_us
        self.length_us = interval.length_us
        self.in_flight = interval.in_flight
        self.oldest_us = interval.oldest_us
        self.users = dict(interval.users)
        self.pacer_lag_us = interval.pacer_lag.quantile(P99)
        self.receive_lag_us = interval.receive_lag.quantile(P99)
        self.busy = interval.cpu_us / interval.length_us if interval.length_us else None


class Workers:
    """`planned` are worker -> region; nobody else is taken."""

    def __init__(self, planned: Mapping[str, str], labels: Labels) -> None:
        self._workers = {worker: _Worker(region) for worker, region in planned.items()}
        self._labels = labels

    def region(self, worker: str) -> str:
        """KeyError for one that was not planned."""
        return self._workers[worker].region

    def add(self, worker: str, interval: Interval) -> None:
        self._workers[worker].add(interval)

    def discovered(self, addresses: Mapping[str, str], port: int) -> list[dict[str, Any]]:
        """What Prometheus' HTTP service discovery reads: the planned workers' hosts, each at this port.

        https://prometheus.io/docs/prometheus/latest/http_sd/
        """
        return [
            {
                "targets": [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"],
                "labels": {"region": self._workers[name].region, "worker": name},
            }
            for name, address in sorted(addresses.items())
            if name in self._workers
        ]

    def collect(self, families: Families, look: Look) -> None:
        """What the workers have told, and whether they are there."""
        up = look.workers or {}
        memory = look.memory or {}
        planned: Counter[str] = Counter()
        users: Counter[tuple[str, str]] = Counter()
        in_flight: Counter[str] = Counter()
        oldest: dict[str, int] = {}
        for name, worker in self._workers.items():
            region = worker.region
            planned[region] += 1
            in_flight[region] += worker.in_flight if name in up else 0
            if name in up:
                for scenario, count in worker.users.items():
                    users[region, self._labels.bounded("scenario", scenario)[0]] += count
                if worker.oldest_us is not None:
                    oldest[region] = max(oldest.get(region, 0), worker.oldest_us)
            _collect_worker(families, name, worker, look.at_us, is_up=name in up)
            if name in up:
                families.add("loadproof_worker_memory_bytes", memory.get(name), region, name)
        for region, count in planned.items():
            families.add("loadproof_workers_planned", count, region)
            families.add("loadproof_requests_in_flight", in_flight[region], region)
            families.add("loadproof_oldest_request_seconds", oldest.get(region, 0) / 1e6, region)
        for (region, scenario), count in users.items():
            families.add("loadproof_users", count, region, scenario)

    def collect_locust(self, families: Families, up: Mapping[str, str]) -> None:
        """Locust's own words for the same."""
        states = Counter(up[worker] for worker in self._workers if worker in up)
        active = {name: sum(worker.users.values()) for name, worker in self._workers.items() if name in up}
        families.add("locust_users", sum(active.values()))
        families.add("locust_workers_count", len(self._workers))
        families.add("locust_workers_running_count", states["running"])
        families.add("locust_workers_hatching_count", states["spawning"])
        families.add("locust_workers_missing_count", len(self._workers) - len(active))
        for name in self._workers:
            families.add("locust_worker_detail", active.get(name, 0), name, up.get(name, "missing"))


def _collect_worker(families: Families, name: str, worker: _Worker, at_us: int, *, is_up: bool) -> None:
    labels = (worker.region, name)
    families.add("loadproof_worker_up", int(is_up), *labels)
    families.add("loadproof_intervals_total", worker.intervals, *labels)
    if worker.newest is None:
        return
    families.add("loadproof_intervals_missing", len(worker.missing), *labels)
    families.add("loadproof_worker_cpu_seconds_total", worker.cpu_us / 1e6, *labels)
    families.add("loadproof_worker_throttled_seconds_total", _seconds(worker.throttled_us), *labels)
    families.add("loadproof_worker_steal_seconds_total", _seconds(worker.steal_us), *labels)
    families.add("loadproof_worker_silence_seconds", max(0, at_us - worker.end_us) / 1e6, *labels)
    if is_up:
        families.add("loadproof_interval_length_seconds", worker.length_us / 1e6, *labels)
        families.add("loadproof_worker_pacer_lag_p99_seconds", _seconds(worker.pacer_lag_us), *labels)
        families.add("loadproof_worker_receive_lag_p99_seconds", _seconds(worker.receive_lag_us), *labels)
        families.add("loadproof_worker_cpu_ratio", worker.busy, *labels)


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6
