"""Runs whose latencies are of interest: what the generator reports of them, and what it used."""

from __future__ import annotations

import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import generators
import plans
import processes
from plans import SCENARIOS

from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psutil

    from loadproof.measure.interval import Interval

WARM_UP_S = 3
"""At the beginning of every run; nobody reports it."""
START_S = 60.0


@dataclass(frozen=True)
class Reported:
    """What a generator says when its run is over."""

    requests: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    cpu: float
    """Share of its core that it used, by the kernel's count."""
    offered_per_s: float
    """What the target counted within the judged seconds; nan if it does not count."""


def run_ours(
    scenario: str,
    url: str,
    load: Mapping[str, Any],
    seconds: int,
    started: Callable[[], bool],
    counted: Callable[[], float] = lambda: math.nan,
    **environment: str,
) -> tuple[Reported, list[Interval]]:
    """`loadproof run` with this load (`users` or `arrivals`) for so long, and all its intervals."""
    with tempfile.TemporaryDirectory() as folder:
        phases = [
            {"phase": "warm-up", "duration": f"{WARM_UP_S}s", "warmup": True, **load},
            {"phase": plans.STEADY, "duration": f"{seconds}s", **load},
        ]
        plan = plans.write_plan(Path(folder), f"{scenario}_load_user", url, phases)

        def charged(process: psutil.Popen) -> list[psutil.Process]:
            return plans.workers(process)

        cpu, offered = _run(
            plans.run_command(plan), Path(folder), environment, seconds, started, counted, charged
        )
        seen = plans.intervals(plan)
    p50, p90, p95, p99 = plans.quantiles_ms(plans.latencies(seen, Outcome.OK), 0.5, 0.9, 0.95, 0.99)
    failed = plans.count(seen, Outcome.FAILED, Outcome.TIMEOUT)
    if failed:
        raise RuntimeError(f"{failed} requests of loadproof failed")
    return Reported(plans.count(seen, Outcome.OK), p50, p90, p95, p99, cpu, offered), seen


def run_stock(
    scenario: str,
    url: str,
    users: int,
    seconds: int,
    started: Callable[[], bool],
    counted: Callable[[], float] = lambda: math.nan,
    **environment: str,
) -> Reported:
    """Headless Locust with the scenario file of that name, its statistics without the warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        files = f"{SCENARIOS / scenario}.py,{SCENARIOS / 'reset_statistics.py'}"
        command = [
            *generators.stock_locust(files, url),
            *("--users", str(users), "--spawn-rate", str(users), "--json-file", f"{folder}/stock"),
            *("--run-time", f"{WARM_UP_S + seconds}s"),
        ]
        more = {**environment, "BENCH_RESET_S": str(WARM_UP_S)}
        cpu, offered = _run(command, Path(folder), more, seconds, started, counted, lambda process: [process])
        (said,) = json.loads(Path(folder, "stock.json").read_text())
    if said["num_failures"]:
        raise RuntimeError(f"{said['num_failures']} requests of {scenario} failed")
    percentiles = [locust_percentile(said, share) for share in (0.5, 0.9, 0.95, 0.99)]
    return Reported(said["num_requests"], *percentiles, cpu, offered)


def locust_percentile(said: Mapping[str, Any], share: float) -> float:
    """Milliseconds, as `locust.stats.calculate_response_time_percentile` has it; importing that would patch us."""
    counts = {float(value): count for value, count in said["response_times"].items()}
    wanted, above = int(said["num_requests"] * share), 0
    for value in sorted(counts, reverse=True):
        above += counts[value]
        if said["num_requests"] - above <= wanted:
            return value
    return math.nan


def _run(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: int,
    started: Callable[[], bool],
    counted: Callable[[], float],
    charged: Callable[[psutil.Popen], list[psutil.Process]],
) -> tuple[float, float]:
    """Run it to its end; share of a core, and requests a second, within its judged seconds."""
    output = folder / "output"
    env = {**generators.ENVIRONMENT, **environment}
    with processes.running(command, core=processes.GENERATOR_CORE, output=output, env=env) as process:
        processes.wait_until("the first request", started, process, START_S)
        time.sleep(WARM_UP_S)
        family = charged(process)
        spent, count, begun = processes.cpu_seconds(family), counted(), time.monotonic()
        # Not to the very end: writing results is no load.
        time.sleep(seconds - 0.5)
        count, length = counted() - count, time.monotonic() - begun
        share = (processes.cpu_seconds(family) - spent) / length
        process.wait(timeout=START_S)
        if process.returncode not in {0, 1}:
            raise RuntimeError(f"it ended with status {process.returncode}")
    return share, count / length
