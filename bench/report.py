"""How long `loadproof report` takes, and how much memory: for an hour of 100 million requests, and for 30 s.

The run folders are those of `made_journals.py`. Each figure is that of the command as a user types it, with Python's
start, every report file and every chart; memory is the largest of its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import made_journals
import results
from results import Spread

HEADING = "## Reports of large runs"
HOUR, HALF_MINUTE = 3_600, 30


@dataclass(frozen=True)
class Taken:
    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=27_800)
    arguments = parser.parse_args()
    rows = []
    for name, seconds in (("an hour", HOUR), ("30 s", HALF_MINUTE)):
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            requests = made_journals.make(made, seconds, arguments.rate, workers=16)
            size = sum(path.stat().st_size for path in (made / "journals").iterdir())
            rounds = [measure(made) for _ in range(arguments.rounds)]
            rows.append(row(f"{name}, {requests:,} requests, {size / 1e6:,.0f} MB", rounds))
            print(rows[-1], flush=True)
    table = results.markdown(["run", "seconds", "CPU-seconds", "peak memory, MiB"], rows)
    results.write_section(HEADING, f"{results.conditions(arguments.rounds)}\n\n{table}\n\n{WHAT}")
    return 0


WHAT = (
    "Of 27,800 requests a second from 16 workers in 4 regions: 5 scenarios with 4 endpoints each, every fourth with "
    "first bytes of its own, 0.09 % errors; 18 rules. All report files and PNG charts are written."
)


def measure(run: Path) -> Taken:
    """The command, judged once; what it wrote is deleted."""
    with tempfile.TemporaryDirectory() as charts:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.monotonic()
        command = [sys.executable, "-m", "loadproof", "report", str(run), "--charts", charts, "--quiet"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"loadproof report ended with {os.waitstatus_to_exitcode(status)}")
    verdict = json.loads((run / "results.json").read_text(encoding="utf-8"))["verdict"]
    if verdict != "PASS":
        raise RuntimeError(f"the made-up run is {verdict}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(wall, cpu, used.ru_maxrss / 1_024)


def row(name: str, rounds: list[Taken]) -> list[str]:
    return [
        name,
        Spread.of([one.wall_s for one in rounds]).text(1),
        Spread.of([one.cpu_s for one in rounds]).text(1),
        Spread.of([one.peak_mib for one in rounds]).text(),
    ]


if __name__ == "__main__":
    sys.exit(main())
