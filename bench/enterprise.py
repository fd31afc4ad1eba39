"""How many requests a second the enterprise plan holds on this machine, target included, with its spread.

Each round is a whole `loadproof run enterprise`, judged as always; the figure is that of its steady phase. The
table goes to `bench/RESULTS.md`, under the machine and the versions that it was measured with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from typing import Any

import results
from results import Spread

HEADING = "## The enterprise plan, target included"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--duration", default="90s")
    arguments = parser.parse_args()
    rounds = [measure(arguments.users, arguments.duration) for _ in range(arguments.rounds)]
    text = table(rounds, arguments.users, arguments.duration)
    print(text)
    results.write_section(HEADING, text)
    return 0


def measure(users: int, duration: str) -> dict[str, Any]:
    """One run's results.json."""
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "loadproof", "run", "enterprise", "--json"),
                *("--users", str(users), "--duration", duration),
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    found: dict[str, Any] = json.loads(ran.stdout)
    totals = found["totals"]
    print(
        f"{found['verdict']}: {totals['rate_per_s']:.0f} ok/s, P95 {totals['latency_ms']['p95']:.1f} ms",
        flush=True,
    )
    return found


def table(rounds: list[dict[str, Any]], users: int, duration: str) -> str:
    """What matters over the rounds."""
    figures = {
        "ok requests/s": [found["totals"]["rate_per_s"] for found in rounds],
        "P95, ms": [found["totals"]["latency_ms"]["p95"] for found in rounds],
        "P99, ms": [found["totals"]["latency_ms"]["p99"] for found in rounds],
        "busiest worker, share of a core": [found["generator"]["cpu_ratio_max"] for found in rounds],
    }
    verdicts = ", ".join(found["verdict"] for found in rounds)
    rows = [[name, Spread.of(values).text(2)] for name, values in figures.items()]
    return (
        f"{results.conditions(len(rounds))}\n\n{users:,} users for {duration}: {verdicts}.\n\n"
        f"{results.markdown(['figure', 'median (least to most)'], rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
