"""Memory of the generator for each idle user that holds a connection: loadproof beside stock Locust.

A user makes one request and then only waits. The figure is the growth of the process's resident memory from one
user to all of them, divided by the users that came; of loadproof it is the worker's.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import generators
import plans
import processes
import results
from generators import BASE, OURS
from nginx import nginx

if TYPE_CHECKING:
    import psutil
    from nginx import Nginx

HEADING = "## Memory per idle user"
ALONE_S = 5
SETTLE_S = 1.0
USERS_PER_S = 1_000
PATIENCE_S = 240.0
NAMES = [OURS, BASE, "HttpUser"]


@dataclass(frozen=True)
class Crowd:
    name: str
    title: str
    users: int
    tls: bool = False
    verified: bool = False
    left_out: str | None = None


CROWDS = (
    Crowd("1000", "1,000 users", 1_000),
    Crowd("10000", "10,000 users", 10_000, left_out="HttpUser"),
    Crowd("tls-1000", "1,000 users over TLS, certificate not verified", 1_000, tls=True),
    Crowd(
        "verified-300",
        "300 users over TLS, certificate verified",
        300,
        tls=True,
        verified=True,
        left_out="HttpUser",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[crowd.name for crowd in CROWDS], action="append")
    parser.add_argument("--peers", help="some of loadproof, fasthttp, http, with commas; default all")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = [name for name in generators.chosen(arguments.peers) if name in NAMES]
    parts = []
    for crowd in CROWDS:
        if arguments.only is None or crowd.name in arguments.only:
            able = [name for name in names if name != crowd.left_out]
            table = results.compared(compare(crowd, able, arguments.rounds), "KiB a user", BASE, digits=1)
            print(f"\n{crowd.title}\n\n{table}\n", flush=True)
            parts.append(f"### {crowd.title}\n\n{table}")
    if arguments.only is None and arguments.peers is None:
        results.write_section(HEADING, f"{results.conditions(arguments.rounds)}\n\n" + "\n\n".join(parts))
    return 0


def compare(crowd: Crowd, names: list[str], rounds: int) -> dict[str, list[float]]:
    """KiB a user of every round by generator."""
    figures: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            # A fresh one each time: its counts tell that each user made exactly one request.
            with nginx() as target:
                figures[name].append(measure(name, crowd, target))
            print(f"{crowd.name} {name}: {figures[name][-1]:,.1f} KiB a user", flush=True)
    return {name: figures[name] for name in names}


def measure(name: str, crowd: Crowd, target: Nginx) -> float:
    url = target.tls_url if crowd.tls else target.url
    environment = {**generators.ENVIRONMENT, "SSL_CERT_FILE": str(target.certificate)}
    with tempfile.TemporaryDirectory() as folder:
        if crowd.verified:
            bundle = Path(folder) / "bundle.pem"
            bundle.write_bytes(Path(certifi.where()).read_bytes() + target.certificate.read_bytes())
            environment["BENCH_CA_BUNDLE"] = str(bundle)
        if name == OURS:
            command = plans.run_command(our_plan(Path(folder), crowd, url))
        else:
            file = {BASE: "idle_fast_http_user", "HttpUser": "idle_http_user"}[name]
            scenario = f"{plans.SCENARIOS / file}.py,{plans.SCENARIOS / 'one_then_all.py'}"
            command = generators.stock_locust(scenario, url)
            environment |= {
                "BENCH_ALONE_S": str(ALONE_S),
                "BENCH_USERS": str(crowd.users),
                "BENCH_SPAWN_RATE": str(USERS_PER_S),
            }
        output = Path(folder) / "output"
        core = processes.GENERATOR_CORE
        with processes.running(command, core=core, output=output, env=environment) as process:
            wait_for(name, 1, target, process)
            charged = plans.workers(process) if name == OURS else [process]
            alone = processes.resident_bytes(charged)
            if target.connections() > 1:
                raise RuntimeError(f"{name} has more than one user too early")
            wait_for(name, crowd.users, target, process)
            grown = processes.resident_bytes(charged) - alone
            made = target.requests()
    if target.refused() or made > crowd.users + 10:
        raise RuntimeError(f"{name} made {made} requests for {crowd.users} users: {target.refused()[:1]}")
    return grown / (crowd.users - 1) / 1024


def our_plan(folder: Path, crowd: Crowd, url: str) -> Path:
    load = [
        {"phase": "alone", "duration": f"{ALONE_S}s", "users": 1, "warmup": True},
        {
            "phase": "ramp",
            "duration": f"{math.ceil(crowd.users / USERS_PER_S)}s",
            "users": f"1..{crowd.users}",
        },
        {"phase": "idle", "duration": f"{PATIENCE_S:.0f}s", "users": crowd.users},
    ]
    return plans.write_plan(folder, "idle_load_user", url, load)


def wait_for(name: str, users: int, target: Nginx, process: psutil.Popen) -> None:
    processes.wait_until(
        f"{name} connects {users} users",
        lambda: target.connections() >= users,
        process,
        PATIENCE_S,
    )
    time.sleep(SETTLE_S)


if __name__ == "__main__":
    sys.exit(main())
