"""What a master costs by the number of its workers: CPU and memory, beside stock Locust's, and memory over an hour.

Each master is a real one on a core of its own: `loadproof master` with a key set, and `locust --master`. Workers are
simulated on the other core, many in a process, and say what real ones would, over the real link: ours an interval a
second from a journal each, encrypted; stock Locust's a report every 3 seconds. The two take turns, round by round.
`master_hour.py` then takes an hour in one process, as fast as it goes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import generators
import made_intervals
import plans
import processes
import results

from distributed.link.keys import make_keys, write_master_side, write_worker_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psutil

HEADING = "## What a master costs"
HERE = Path(__file__).parent
OURS = "loadproof"
STOCK = "Locust"
REGIONS = 4
SIMULATORS = 2
FEW, MANY = 10, 100
"""Requests of each series in a second: workers of 200 and of 2,000 requests a second."""
SETTLE_S = 6.0
MOST_SENT = 1.5
"""Bytes that workers send for each of their journals, with heartbeats and clocks, when every record goes once."""
QUARTER = 0.25
FRAME_BYTES = 42
"""What ZMTP and CURVE put around a message: flags and size 9, command name 8, nonce 8, box 16, inner flags 1
(https://rfc.zeromq.org/spec/26/)."""


@dataclass(frozen=True)
class Case:
    master: str
    workers: int
    requests: int
    """Of each series in each second."""


@dataclass(frozen=True)
class Cost:
    share: float
    """Of a core."""
    resident: int
    sent: float
    heard: float
    """Bytes of messages that a worker sends and hears in a second."""
    journal: float
    """Bytes of journal that a worker fills in a second."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[OURS, STOCK])
    parser.add_argument("--without-hour", action="store_true")
    arguments = parser.parse_args()
    most = arguments.workers
    some = most // 5
    cases = [
        Case(OURS, most, FEW),
        Case(STOCK, most, FEW),
        Case(OURS, some, FEW),
        Case(OURS, some, MANY),
        Case(STOCK, most, MANY),
    ]
    cases = [case for case in cases if arguments.only in {None, case.master}]
    costs: dict[Case, list[Cost]] = defaultdict(list)
    for number in range(arguments.rounds):
        for case in cases[number % len(cases) :] + cases[: number % len(cases)]:
            costs[case].append(measure(case, arguments.seconds))
            print(case, costs[case][-1], flush=True)
    text = table({case: costs[case] for case in cases})
    if arguments.only is None:
        text += f"\n\n{ceiling(costs, most)}"
    if not arguments.without_hour:
        text += f"\n\n{hour(most)}"
    print(text)
    if arguments.only is None and not arguments.without_hour and most == parser.get_default("workers"):
        results.write_section(HEADING, f"{results.conditions(arguments.rounds)}\n\n{text}")
    return 0


def measure(case: Case, seconds: int) -> Cost:
    """RuntimeError unless the master counted what its workers made."""
    with tempfile.TemporaryDirectory() as name, answering() as target:
        return (of_ours if case.master == OURS else of_stock)(case, seconds, Path(name), target)


def of_ours(case: Case, seconds: int, folder: Path, target: str) -> Cost:
    plan = plans.write_plan(
        folder,
        "idle_load_user",
        target,
        [
            {
                "phase": plans.STEADY,
                "duration": f"{seconds + 2 * SETTLE_S:.0f}s",
                "users": case.workers * made_intervals.USERS,
            }
        ],
        regions=[
            {"name": f"region-{number}", "workers": case.workers // REGIONS} for number in range(REGIONS)
        ],
        rules=["p95 <= 200ms", "p99 <= 1s", "error_ratio <= 1%"],
    )
    names = [
        f"region-{region}-{number:02d}"
        for region in range(REGIONS)
        for number in range(1, case.workers // REGIONS + 1)
    ]
    keys, journals = folder / "keys", folder / "own-journals"
    keys.mkdir()
    journals.mkdir()
    of_master, of_workers = make_keys(names)
    write_master_side(keys, of_master)
    write_worker_side(keys, of_workers)
    (port,) = processes.free_ports(1)
    command = [sys.executable, "-m", "loadproof", "master", str(plan), "--keys", str(keys)]
    command += ["--port", str(port), "--no-analysis", "--quiet"]
    command += ["--reports", str(folder / "reports"), "--charts", str(folder / "charts")]
    simulator = ["simulated_workers.py", "--keys", str(keys), "--journals", str(journals)]
    simulator += ["--locustfile", str(plans.SCENARIOS / "idle_load_user.py")]
    with working(command, simulator, port, names, case.requests, folder) as (master, told):
        processes.wait_until("all join and begin", lambda: begun(folder), master, 120)
        share, resident = watched(master, seconds, lambda: told()["acknowledged"] / case.workers)
        master.wait(timeout=120)
        sums = told(ended=True)
    manifest = json.loads((plans.run_folder(plan) / "manifest.json").read_text())
    made = sums["intervals"] * made_intervals.SERIES * case.requests
    finished = sum(epoch["how"] == "fin" for epoch in manifest["epochs"])
    if (finished, manifest["locust_counted"], manifest["dropped_messages"]) != (case.workers, made, 0):
        raise RuntimeError(f"{finished} journals ended, {manifest['locust_counted']:,} of {made:,} counted")
    journal = sum(path.stat().st_size for path in (plans.run_folder(plan) / "journals").iterdir())
    if sums["sent"] > MOST_SENT * journal:
        raise RuntimeError(
            "the master fell behind, and workers sent their records again: the machine is too busy"
        )
    worker_seconds = sums["intervals"]
    # With an interval go a heartbeat and a question for the clock, and each is answered.
    return Cost(
        share,
        resident,
        sums["sent"] / worker_seconds + 3 * FRAME_BYTES,
        sums["heard"] / worker_seconds + 3 * FRAME_BYTES,
        journal / worker_seconds,
    )


def of_stock(case: Case, seconds: int, folder: Path, target: str) -> Cost:
    (port,) = processes.free_ports(1)
    command = generators.stock_locust(plans.SCENARIOS / "idle_fast_http_user.py", target)
    command += ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
    users = str(case.workers * made_intervals.USERS)
    length = f"{seconds + 2 * SETTLE_S:.0f}s"
    command += ["--expect-workers", str(case.workers), "--users", users, "--spawn-rate", users, "-t", length]
    names = [f"worker-{number:03d}" for number in range(case.workers)]
    output = folder / "master.out"
    with working(command, ["simulated_stock_workers.py"], port, names, case.requests, folder) as (
        master,
        told,
    ):
        processes.wait_until("all join", lambda: connections(master, port) >= case.workers, master, 120)
        share, resident = watched(master, seconds, lambda: told()["reports"] * 3 / case.workers)
        master.wait(timeout=120)
        sums = told(ended=True)
    made = sums["reports"] * made_intervals.SERIES * case.requests * 3
    (total,) = [line for line in output.read_text().splitlines() if "Aggregated" in line][:1]
    counted = int(total.split()[1])
    # What is on its way when it stops is lost; more would be a mistake of ours.
    if not 0.9 * made <= counted <= made:
        raise RuntimeError(f"{counted:,} of {made:,} counted")
    worker_seconds = sums["reports"] * 3
    return Cost(share, resident, sums["sent"] / worker_seconds, sums["heard"] / worker_seconds, 0)


@contextlib.contextmanager
def working(
    command: Sequence[str],
    simulator: Sequence[str],
    port: int,
    names: Sequence[str],
    requests: int,
    folder: Path,
) -> Iterator[tuple[psutil.Popen, Any]]:
    """The master, and how to learn what all of its workers told at their end."""
    with contextlib.ExitStack() as stack:
        output = folder / "master.out"
        environment = generators.ENVIRONMENT
        master = stack.enter_context(
            processes.running(command, core=processes.GENERATOR_CORE, output=output, env=environment)
        )
        simulators, outputs = [], []
        for number in range(SIMULATORS):
            outputs.append(folder / f"simulator-{number}.out")
            words = [sys.executable, str(HERE / simulator[0]), *simulator[1:], "--port", str(port)]
            words += ["--requests", str(requests), *names[number::SIMULATORS]]
            running = processes.running(
                words, core=processes.TARGET_CORE, output=outputs[-1], env=environment
            )
            simulators.append(stack.enter_context(running))

        def told(*, ended: bool = False) -> dict[str, int]:
            sums: dict[str, int] = defaultdict(int)
            for simulated, file in zip(simulators, outputs, strict=True):
                if ended:
                    simulated.wait(timeout=30)
                *_, last, _ = file.read_text().split("\n")
                for what, amount in json.loads(last).items():
                    sums[what] += amount
            return sums

        yield master, told


def watched(master: psutil.Popen, seconds: int, told: Callable[[], float]) -> tuple[float, int]:
    """The master's share of a core for a second's reports a second, and its resident bytes.

    `told` gives the seconds that its workers have reported so far: on a busy machine they may fall behind.
    """
    time.sleep(SETTLE_S)
    family = processes.tree(master)
    used, since = processes.cpu_seconds(family), told()
    time.sleep(seconds)
    share = (processes.cpu_seconds(family) - used) / (told() - since)
    return share, processes.resident_bytes(family)


def begun(folder: Path) -> bool:
    return any('"phase"' in path.read_text() for path in folder.glob("reports/*/events.jsonl"))


def connections(master: psutil.Popen, port: int) -> int:
    return sum(
        one.laddr.port == port and one.status == "ESTABLISHED" for one in master.net_connections("tcp")
    )


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """The URL of a target that answers, so that the run begins; nobody loads it."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def table(costs: dict[Case, list[Cost]]) -> str:
    rows = []
    for case, found in costs.items():
        share = results.Spread.of([cost.share * 100 for cost in found])
        cost = found[-1]
        rows.append(
            [
                case.master,
                f"{case.workers}",
                f"{case.workers * made_intervals.SERIES * case.requests:,}",
                share.text(1),
                f"{share.median / case.workers * 10:.2f}",
                f"{statistics.median(one.resident for one in found) / 1e6:.0f} MB",
                f"{cost.sent / 1e3:.1f}, {cost.heard / 1e3:.1f}",
                f"{cost.journal / 1e3:.1f}" if cost.journal else "-",
            ]
        )
    head = ["master", "workers", "requests a second", "% of a core", "ms of CPU a worker-second", "resident"]
    head += ["KB a worker sends, hears a second", "KB of journal a worker-second"]
    return (
        f"{made_intervals.SERIES} series from each worker: of loadproof an interval a second, encrypted and kept; of "
        "stock Locust a report every 3 s, in the clear and added up. Bytes of loadproof with heartbeat, clock and "
        f"encryption, without TCP's.\n\n{results.markdown(head, rows)}"
    )


def ceiling(costs: dict[Case, list[Cost]], most: int) -> str:
    """By the straight line through the two numbers of workers, and one beside it for busier workers."""

    def share(workers: int, requests: int) -> float:
        return statistics.median(cost.share for cost in costs[Case(OURS, workers, requests)])

    some = most // 5
    slope = (share(most, FEW) - share(some, FEW)) / (most - some)
    base = share(most, FEW) - most * slope
    slopes = {FEW: slope, MANY: (share(some, MANY) - base) / some}
    lines = [
        f"A worker of {made_intervals.SERIES * requests:,} requests a second costs {each:.3%} of a core: with the "
        f"{base:.1%} that the rest takes, a quarter of a core is full at {int((QUARTER - base) / each):,} of them, a "
        f"whole one at {int((1 - base) / each):,}."
        for requests, each in slopes.items()
    ]
    per_request = (slopes[MANY] - slopes[FEW]) / made_intervals.SERIES / (MANY - FEW)
    fixed = slopes[FEW] - made_intervals.SERIES * FEW * per_request
    return " ".join(
        [
            *lines,
            f"That is {fixed * 1e3:.2f} ms of CPU for an interval and {per_request * 1e6:.2f} µs for each request in it.",
        ]
    )


def hour(workers: int) -> str:
    command = ["taskset", "-c", str(processes.GENERATOR_CORE), sys.executable, str(HERE / "master_hour.py")]
    done = subprocess.run(
        [*command, "--workers", str(workers)], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
