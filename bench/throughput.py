"""Requests per CPU-second of the generator: loadproof beside stock Locust and the tools that people know.

Generator on one core, nginx on another. Each round lets every generator work for some seconds, one after the
other. Counted is what nginx began to answer, and paid is the CPU time of the generator's processes (user and
system) in the same window. Of loadproof, the worker is charged and not the master; its figure is that of its own
journals, and what nginx and the kernel say of the same run is printed beside it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import generators
import plans
import processes
import results
from generators import BASE, OURS, Work
from nginx import nginx

from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    import psutil
    from nginx import Nginx

HEADING = "## Requests per CPU-second of the generator"
WORKS = (
    Work("get-50", "GET of 120 bytes, 50 users", "get", 50, "/small"),
    Work(
        "get-1000",
        "GET of 120 bytes, 1,000 users",
        "get",
        1_000,
        "/small",
        left_out=("artillery",),
        why="its loop starves the arrival of its users, and a minute is not enough to connect them",
    ),
    Work(
        "post-50",
        "POST of 1 KB JSON with a cookie, answer parsed and checked twice, 50 users",
        "post",
        50,
        "/orders",
        left_out=("wrk", "hey", "autocannon"),
        why="they neither parse nor check an answer",
    ),
    Work("tls-50", "GET of 120 bytes over TLS, 50 users", "get", 50, "/small", tls=True),
)
SETTLE_S = 1.0
RAMP_S = 2


@dataclass(frozen=True)
class Figure:
    per_cpu_second: float
    per_second: float
    generator: float
    """Share of its core that the generator used."""
    target: float
    note: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[work.name for work in WORKS], action="append")
    parser.add_argument("--peers", help=f"some of {', '.join(generators.SHORT)}, with commas; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    names = generators.chosen(arguments.peers)
    parts = []
    for work in WORKS:
        if arguments.only is None or work.name in arguments.only:
            able = [name for name in names if name not in work.left_out]
            figures = compare(work, able, arguments.rounds, arguments.seconds)
            rates = {name: [figure.per_cpu_second for figure in found] for name, found in figures.items()}
            table = results.compared(
                rates,
                "requests per CPU-second",
                BASE,
                requests_a_second={
                    name: f"{typical(found).per_second:,.0f}" for name, found in figures.items()
                },
                its_core={name: f"{typical(found).generator:.0%}" for name, found in figures.items()},
                the_core_of_nginx={name: f"{typical(found).target:.0%}" for name, found in figures.items()},
            )
            if work.left_out:
                table += f"\n\nWithout {', '.join(work.left_out)}: {work.why}."
            print(f"\n{work.title}\n\n{table}\n", flush=True)
            parts.append(f"### {work.title}\n\n{table}")
    if arguments.only is None and arguments.peers is None:
        text = f"{results.conditions(arguments.rounds, *generators.versions())}\n\n" + "\n\n".join(parts)
        results.write_section(HEADING, text)
    return 0


def typical(figures: list[Figure]) -> Figure:
    """The round with the median figure."""
    return sorted(figures, key=lambda figure: figure.per_cpu_second)[len(figures) // 2]


def compare(work: Work, names: list[str], rounds: int, seconds: int) -> dict[str, list[Figure]]:
    """The figures of every round by generator; each round begins with another one."""
    figures: dict[str, list[Figure]] = defaultdict(list)
    with nginx() as target:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                processes.wait_until("nginx is idle", lambda: target.connections() == 0, target.process)
                measure = measure_ours if name == OURS else measure_peer
                figure = measure(name, work, target, seconds)
                figures[name].append(figure)
                print(
                    f"{work.name} {name}: {figure.per_cpu_second:,.0f} per CPU-second, {figure.per_second:,.0f}/s, "
                    f"generator {figure.generator:.0%}, nginx {figure.target:.0%}{figure.note}",
                    flush=True,
                )
    return {name: figures[name] for name in names}


def measure_peer(name: str, work: Work, target: Nginx, seconds: int) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        command = generators.COMMANDS[name](work, target.tls_url if work.tls else target.url, Path(folder))
        output = Path(folder) / "output"
        with processes.running(
            command, core=processes.GENERATOR_CORE, output=output, env=generators.ENVIRONMENT
        ) as process:
            wait_for_users(name, work, target, process)
            figure = window(target, processes.tree(process), seconds)
            refuse_refusals(name, target)
    return figure


def measure_ours(name: str, work: Work, target: Nginx, seconds: int) -> Figure:
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        load = [
            {"phase": "ramp", "duration": f"{RAMP_S}s", "users": f"1..{work.users}", "warmup": True},
            {"phase": plans.STEADY, "duration": f"{seconds + 4}s", "users": work.users},
        ]
        url = target.tls_url if work.tls else target.url
        plan = plans.write_plan(folder, f"{work.scenario}_load_user", url, load)
        with processes.running(
            plans.run_command(plan),
            core=processes.GENERATOR_CORE,
            output=folder / "output",
            # Its look at the target before the first user does verify certificates.
            env={**generators.ENVIRONMENT, "SSL_CERT_FILE": str(target.certificate)},
        ) as process:
            wait_for_users(name, work, target, process)
            (worker,) = plans.workers(process)
            seen = window(target, [worker], seconds)
            refuse_refusals(name, target)
            if not worker.is_running():
                raise RuntimeError("the run was over too early: its users came late")
            process.wait(timeout=60)
        if process.returncode:
            raise RuntimeError(
                f"loadproof ended with {process.returncode}:\n{(folder / 'output').read_text()}"
            )
        judged = plans.intervals(plan, RAMP_S + 2, RAMP_S + 2 + seconds)
    failed = plans.count(judged, Outcome.FAILED, Outcome.TIMEOUT, Outcome.UNFINISHED)
    if failed:
        raise RuntimeError(f"{failed} requests of loadproof failed")
    cpu_s = sum(interval.cpu_us for interval in judged) / 1e6
    length_s = sum(interval.length_us for interval in judged) / 1e6
    done = plans.count(judged, Outcome.OK)
    return Figure(
        done / cpu_s,
        done / length_s,
        cpu_s / length_s,
        seen.target,
        f" (nginx and /proc: {seen.per_cpu_second:,.0f} per CPU-second)",
    )


def wait_for_users(name: str, work: Work, target: Nginx, process: psutil.Popen) -> None:
    """Until nearly all are connected; stock users beyond 1,024 descriptors come and go."""
    processes.wait_until(
        f"{name} connects {work.users} users", lambda: target.connections() >= 0.95 * work.users, process
    )
    time.sleep(SETTLE_S)


def window(target: Nginx, charged: list[psutil.Process], seconds: int) -> Figure:
    begun, spent = time.monotonic(), processes.cpu_seconds(charged)
    requests, target_spent = target.requests(), target.cpu_seconds()
    time.sleep(seconds)
    length, spent = time.monotonic() - begun, processes.cpu_seconds(charged) - spent
    requests, target_spent = target.requests() - requests, target.cpu_seconds() - target_spent
    return Figure(requests / spent, requests / length, spent / length, target_spent / length)


def refuse_refusals(name: str, target: Nginx) -> None:
    refused = target.refused()
    if refused:
        raise RuntimeError(f"nginx refused {len(refused)} requests of {name}, such as {refused[0]}")


if __name__ == "__main__":
    sys.exit(main())
