"""The target's own metrics in Prometheus format, summed over its server processes.

A `Tally` a process holds the numbers, prometheus_client writes them. Its own multi-process mode is not used:
it is chosen by an environment variable when the library is first imported, and leaves out process metrics.
"""

from __future__ import annotations

import os
import sys
import time
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from target.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENDPOINT_KEY: Final = "target.endpoint"
"""Where in the scope the route leaves its name."""
UNROUTED: Final = "(unrouted)"
RECORDS: Final = 8192
MOST_ENDPOINTS: Final = 256
"""Further ones are shown as OTHER: only a client with odd methods on every path comes so far."""
OTHER: Final = "(other)"

CACHES: Final = ("sessions", "reads")
LOOKUPS: Final = ("hit", "miss", "error")
FLOWS: Final = (
    *("completed", "failed", "refused", "running", "waiting", "drafts", "draft_bytes", "let_go", "cleanups"),
    *("circuit_half_open", "circuit_open", "circuit_openings"),
)
"""Numbers of the writing flow."""

LATENCY_US: Final = (
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000,
    250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
)  # fmt: skip
PROOF_US: Final = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000)
GROUP_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_MORE: Final = "+Inf"
_OBJECTS: Final = 0
"""Which of the tally's spare words counts objects."""


class Metrics:
    """Counts for the process numbered `process`, and renders the sums over all `processes`."""

    def __init__(self, folder: Path, process: int, processes: int) -> None:
        self._next_look_ns = 0
        self._all = [Tally(folder / f"metrics-{number}", RECORDS) for number in range(processes)]
        self._own = self._all[process]
        self._own.own()
        self.looked(0)
        self._requests: dict[tuple[str, int], int] = {}
        self._latencies: dict[str, tuple[list[int], int]] = {}
        self._groups = [self._slot("group", _text(bound)) for bound in (*GROUP_SIZES, None)]
        self._group_jobs = self._slot("group_jobs")
        self._kept = self._slot("writes", "kept")
        self._undone = self._slot("writes", "undone")
        self._lookups = {
            (cache, outcome): self._slot("lookups", cache, outcome) for cache in CACHES for outcome in LOOKUPS
        }
        self._flows = {name: self._slot("flows", name) for name in FLOWS}
        self._proofs: dict[str, tuple[list[int], int]] = {}
        self.processes = processes
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def request(self, endpoint: str, status: int, elapsed_us: int) -> None:
        """One request answered: `endpoint` is `METHOD /template/:id`."""
        if endpoint not in self._latencies and len(self._latencies) >= MOST_ENDPOINTS:
            endpoint = OTHER
        slot = self._requests.get((endpoint, status))
        if slot is None:
            slot = self._requests[endpoint, status] = self._slot("requests", endpoint, str(status))
        self._own.add(slot)
        latency = self._latencies.get(endpoint)
        if latency is None:
            buckets = [self._slot("latency", endpoint, _text(bound)) for bound in (*LATENCY_US, None)]
            latency = self._latencies[endpoint] = (buckets, self._slot("latency_us", endpoint))
        self._own.add(latency[0][bisect_left(LATENCY_US, elapsed_us)])
        self._own.add(latency[1], elapsed_us)

    def group(self, kept: int, undone: int) -> None:
        """One group commit of the store."""
        self._own.add(self._groups[bisect_left(GROUP_SIZES, kept + undone)])
        self._own.add(self._group_jobs, kept + undone)
        self._own.add(self._kept, kept)
        self._own.add(self._undone, undone)

    def lookup(self, cache: str, outcome: str) -> None:
        """One look into a cache of CACHES, which had one of the LOOKUPS as outcome."""
        self._own.add(self._lookups[cache, outcome])

    def proof(self, result: str, cpu_us: int) -> None:
        """One problem that the solver worked on: `result` is how it ended, of a few."""
        proofs = self._proofs.get(result)
        if proofs is None:
            buckets = [self._slot("proof", result, _text(bound)) for bound in (*PROOF_US, None)]
            proofs = self._proofs[result] = (buckets, self._slot("proof_us", result))
        self._own.add(proofs[0][bisect_left(PROOF_US, cpu_us)])
        self._own.add(proofs[1], cpu_us)

    def flow(self, what: str, amount: int = 1) -> None:
        """One of FLOWS has grown by so much, or shrunk; never below 0."""
        self._own.add(self._flows[what], amount)

    def looked(self, now_ns: int) -> None:
        """A request ended: once a second it is a moment to look how many objects there are."""
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + 1_000_000_000
            self._own.spare[_OBJECTS] = sys.getallocatedblocks()

    def objects(self) -> int:
        """Small objects in use in all processes, of each as it was after one of its last requests."""
        self._own.spare[_OBJECTS] = sys.getallocatedblocks()
        return sum(tally.spare[_OBJECTS] for tally in self._all)

    def flows(self) -> dict[str, int]:
        """Each of FLOWS over all processes, as it is now."""
        sums = dict.fromkeys(FLOWS, 0)
        for tally in self._all:
            for key, count in tally.items():
                kind, _, name = key.decode().partition("\t")
                if kind == "flows":
                    sums[name] += count
        return sums

    def exposition(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        sums: dict[tuple[str, ...], int] = {}
        for tally in self._all:
            for key, count in tally.items():
                labels = tuple(key.decode().split("\t"))
                sums[labels] = sums.get(labels, 0) + count
        yield from _requests(sums)
        yield from _store(sums)
        yield from _caches(sums)
        yield _proofs(sums)
        yield from _flows(sums)
        yield from _processes([tally.owner for tally in self._all])

    def _slot(self, *labels: str) -> int:
        return self._own.slot("\t".join(labels).encode())


class Timed:
    """ASGI middleware: times every request and counts it by endpoint and status.

    Starlette's BaseHTTPMiddleware would cost a task and a stream a request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic_ns()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            endpoint = scope.get(ENDPOINT_KEY) or f"{scope['method']} {UNROUTED}"
            ended = time.monotonic_ns()
            self._metrics.request(endpoint, status, (ended - started) // 1_000)
            self._metrics.looked(ended)


def _requests(sums: dict[tuple[str, ...], int]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "target_requests",
        "Requests answered, by endpoint template and status.",
        labels=["endpoint", "status"],
    )
    latency = HistogramMetricFamily(
        "target_request_duration_seconds",
        "From a request's headers to its complete answer.",
        labels=["endpoint"],
    )
    for (kind, *labels), count in sorted(sums.items()):
        if kind == "requests":
            requests.add_metric(labels, count)
        elif kind == "latency_us":
            of = [sums[("latency", *labels, _text(bound))] for bound in (*LATENCY_US, None)]
            buckets = _cumulative([bound / 1e6 for bound in LATENCY_US], of)
            latency.add_metric(labels, buckets, sum_value=count / 1e6)
    yield requests
    yield latency


def _store(sums: dict[tuple[str, ...], int]) -> Iterator[Metric]:
    writes = CounterMetricFamily(
        "target_store_writes", "Write jobs of the store, kept or undone.", labels=["outcome"]
    )
    for outcome in ("kept", "undone"):
        writes.add_metric([outcome], sums["writes", outcome])
    yield writes
    groups = [sums["group", _text(bound)] for bound in (*GROUP_SIZES, None)]
    yield HistogramMetricFamily(
        "target_store_group_size",
        "Write jobs in one group commit.",
        buckets=_cumulative(GROUP_SIZES, groups),
        sum_value=sums["group_jobs",],
    )


def _caches(sums: dict[tuple[str, ...], int]) -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "target_cache_lookups",
        "Looks into a cache: it was there, was not, or the cache did not say.",
        labels=["cache", "outcome"],
    )
    for cache in CACHES:
        for outcome in LOOKUPS:
            lookups.add_metric([cache, outcome], sums["lookups", cache, outcome])
    yield lookups


def _proofs(sums: dict[tuple[str, ...], int]) -> Metric:
    proofs = HistogramMetricFamily(
        "target_proof_duration_seconds",
        "CPU time of the solver for one problem, by how it ended.",
        labels=["result"],
    )
    for (kind, *labels), microseconds in sorted(sums.items()):
        if kind == "proof_us":
            of = [sums["proof", *labels, _text(bound)] for bound in (*PROOF_US, None)]
            buckets = _cumulative([bound / 1e6 for bound in PROOF_US], of)
            proofs.add_metric(labels, buckets, sum_value=microseconds / 1e6)
    return proofs


def _flows(sums: dict[tuple[str, ...], int]) -> Iterator[Metric]:
    flows = CounterMetricFamily("target_flows", "Writing flows, by how they ended.", labels=["outcome"])
    for outcome in ("completed", "failed", "refused"):
        flows.add_metric([outcome], sums["flows", outcome])
    yield flows
    now = GaugeMetricFamily("target_flows_now", "Writing flows that are in progress.", labels=["state"])
    for state in ("running", "waiting"):
        now.add_metric([state], sums["flows", state])
    yield now
    yield GaugeMetricFamily("target_drafts", "Drafts that writing flows keep.", sums["flows", "drafts"])
    yield GaugeMetricFamily("target_draft_bytes", "Their memory.", sums["flows", "draft_bytes"])
    openings = sums["flows", "circuit_openings"]
    yield CounterMetricFamily(
        "target_circuit_openings", "How often the writing flow's circuit opened.", openings
    )


def _processes(owners: Iterable[int | None]) -> Iterator[Metric]:
    """CPU and memory of the server processes as the kernel accounts them."""
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    cpu = 0.0
    resident = 0
    alive = 0
    for pid in owners:
        try:
            # The second field is the command in parentheses, which may hold spaces.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue  # not started yet, or gone
        cpu += (int(fields[11]) + int(fields[12])) / ticks
        resident += pages * page
        alive += 1
    yield GaugeMetricFamily("target_processes", "Server processes that are alive.", alive)
    yield CounterMetricFamily("target_cpu_seconds", "CPU time of the server processes.", cpu)
    yield GaugeMetricFamily("target_resident_memory_bytes", "Memory of the server processes.", resident)


def _cumulative(bounds: Iterable[float], counts: list[int]) -> list[Any]:
    buckets: list[tuple[str, float]] = []
    total = 0
    for label, count in zip([*(str(float(bound)) for bound in bounds), _MORE], counts, strict=True):
        total += count
        buckets.append((label, total))
    return buckets


def _text(bound: int | None) -> str:
    return _MORE if bound is None else str(bound)
