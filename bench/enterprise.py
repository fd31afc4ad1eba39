"""How many requests a second the enterprise plan holds on this machine, target included, with its spread.

Each round is a whole `loadproof run enterprise`, judged as always; the figure is that of its steady phase. The
table goes to `bench/RESULTS.md`, under the machine and the versions that it was measured with.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "RESULTS.md"
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
    write_section(HEADING, text)
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
    results: dict[str, Any] = json.loads(ran.stdout)
    totals = results["totals"]
    print(
        f"{results['verdict']}: {totals['rate_per_s']:.0f} ok/s, P95 {totals['latency_ms']['p95']:.1f} ms",
        flush=True,
    )
    return results


def table(rounds: list[dict[str, Any]], users: int, duration: str) -> str:
    """Minimum, median and maximum of what matters over the rounds."""
    manifest = rounds[0]["manifest"]
    machine, versions = manifest["machine"], manifest["versions"]
    figures = {
        "ok requests/s": [found["totals"]["rate_per_s"] for found in rounds],
        "P95, ms": [found["totals"]["latency_ms"]["p95"] for found in rounds],
        "P99, ms": [found["totals"]["latency_ms"]["p99"] for found in rounds],
        "busiest worker, share of a core": [found["generator"]["cpu_ratio_max"] for found in rounds],
    }
    lines = [
        f"{users:,} users for {duration}, {len(rounds)} rounds, {datetime.now(UTC):%Y-%m-%d}: "
        + ", ".join(found["verdict"] for found in rounds)
        + ".",
        "",
        (
            f"{machine['processors']} processors ({platform.machine()}), "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}; "
            f"Python {versions['python']}, Locust {versions['locust']}."
        ),
        "",
        "| figure | min | median | max |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {min(values):,.2f} | {statistics.median(values):,.2f} | {max(values):,.2f} |"
        for name, values in figures.items()
    ]
    return "\n".join(lines)


def write_section(heading: str, text: str) -> None:
    """Put the text under its heading, in place of what stood there."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Measured\n"
    sections = old.split("\n## ")
    title = heading.removeprefix("## ")
    kept = [section for section in sections[1:] if not section.startswith(title)]
    RESULTS.write_text(
        "\n## ".join([sections[0].rstrip() + "\n", *kept, f"{title}\n\n{text}\n"]), encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
