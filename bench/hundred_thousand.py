"""100,000 users at once from one machine, each with a connection of its own, against nginx on the same machine.

A whole `loadproof run`, judged as always: six regions with a worker each, so that none needs more than 20,000
descriptors. Watched from outside: the connections that nginx holds, the resident memory of all processes of the
generator together (shared pages counted in each), and the requests that nginx counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import generators
import plans
import processes
import results
from nginx import nginx

if TYPE_CHECKING:
    import psutil
    from nginx import Nginx

HEADING = "## 100,000 users on one machine"
WORKERS = 6
SERVERS = 8
OWN_REQUESTS = 2
"""What a run itself asks a target: for its health and for its count."""


@dataclass
class Watched:
    """From outside, over the steady phase."""

    connections: list[int] = field(default_factory=list)
    master_bytes: list[int] = field(default_factory=list)
    worker_bytes: list[int] = field(default_factory=list)

    def look(self, process: psutil.Process, target: Nginx) -> None:
        self.connections.append(target.connections())
        workers = plans.workers(process)
        rest = [one for one in processes.tree(process) if one not in workers]
        self.worker_bytes.append(processes.resident_bytes(workers))
        self.master_bytes.append(processes.resident_bytes(rest))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--ramp", type=int, default=180, help="seconds")
    parser.add_argument("--seconds", type=int, default=120, help="of the steady phase")
    parser.add_argument("--pace", type=float, default=55.0, help="seconds between a user's requests")
    arguments = parser.parse_args()
    with nginx(workers=SERVERS, core=None) as target:
        judged, watched, counted = run(target, arguments)
    text = table(arguments, judged, watched, counted)
    print(text)
    if arguments.users == parser.get_default("users"):
        results.write_section(HEADING, f"{results.conditions(1)}\n\n{text}")
    return 0


def run(target: Nginx, arguments: argparse.Namespace) -> tuple[dict[str, Any], Watched, int]:
    """The run's results.json, what was seen meanwhile, and the requests that nginx counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = plans.write_plan(
            folder,
            "minutely_load_user",
            target.url,
            [
                {
                    "phase": "ramp",
                    "duration": f"{arguments.ramp}s",
                    "users": f"0..{arguments.users}",
                    "warmup": True,
                },
                {"phase": plans.STEADY, "duration": f"{arguments.seconds}s", "users": arguments.users},
            ],
            regions=[{"name": f"region-{number}"} for number in range(1, WORKERS + 1)],
            rules=["error_ratio <= 0%", "p99 <= 1s"],
        )
        output = folder / "output"
        environment = {**generators.ENVIRONMENT, "BENCH_PACE_S": str(arguments.pace)}
        watched = Watched()
        with processes.running(
            plans.run_command(plan, judged=True), core=None, output=output, env=environment
        ) as process:
            # The run's own look at the target is a connection too, long before the first user.
            processes.wait_until("the first users", lambda: target.connections() > 5, process)
            begun = time.monotonic()
            while (
                process.poll() is None and time.monotonic() < begun + arguments.ramp + arguments.seconds - 2
            ):
                if time.monotonic() > begun + arguments.ramp + min(arguments.pace, arguments.seconds / 2):
                    watched.look(process, target)
                time.sleep(1)
            process.wait(timeout=300)
            counted = target.requests() - OWN_REQUESTS
        report = next(plans.run_folder(plan).glob("results.json"))
        return json.loads(report.read_text()), watched, counted


def table(arguments: argparse.Namespace, judged: dict[str, Any], watched: Watched, counted: int) -> str:
    accounting, latency = judged["accounting"], judged["totals"]["latency_ms"]
    parts = [accounting[outcome] for outcome in ("ok", "failed", "unfinished")]
    total = max(one + other for one, other in zip(watched.master_bytes, watched.worker_bytes, strict=True))
    answered = accounting["exchanges_answered"]
    rows = [
        ["verdict", judged["verdict"] + "".join(f"; {reason['text']}" for reason in judged["reasons"])],
        ["connections held in the steady phase, least", f"{min(watched.connections):,}"],
        ["resident memory of the generator, most", f"{total / 1e9:.2f} GB"],
        ["of that its master", f"{max(watched.master_bytes) / 1e6:.0f} MB"],
        ["a user, master and workers included", f"{total / arguments.users / 1024:.1f} KiB"],
        ["ok requests a second", f"{judged['totals']['rate_per_s']:,.1f}"],
        ["P50, P99", f"{latency['p50']:.2f} ms, {latency['p99']:.2f} ms"],
        ["busiest worker, share of a core", f"{judged['generator']['cpu_ratio_max']:.0%}"],
        [
            f"{accounting['started']:,} requests started = ok + failed + unfinished",
            f"{' + '.join(f'{part:,}' for part in parts)}: {closed(accounting['started'] == sum(parts))}",
        ],
        [
            "answered on the wire = counted by nginx",
            f"{answered:,} = {counted:,}: {closed(answered == counted)}",
        ],
    ]
    head = f"{arguments.users:,} users, each with a connection and a request every {arguments.pace:g} s, {WORKERS} workers"
    length = f"{arguments.ramp} s of ramp, {arguments.seconds} s steady"
    return f"{head}; {length}; {SERVERS} nginx processes on the same machine.\n\n" + results.markdown(
        ["figure", "value"], rows
    )


def closed(agree: bool) -> str:
    return "closed" if agree else "NOT CLOSED"


if __name__ == "__main__":
    sys.exit(main())
