"""The picture of docs/measuring.md: what loadproof and stock Locust report of a target that stalls.

    python bench/stall_picture.py [--seconds 30] [--picture docs/images/stall.svg]

The target stands still for the last second of every ten. Planned are 1,000 starts a second: an open plan of
loadproof, and stock Locust with `constant_pacing` and as many users as make that rate.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import generators
import plans
import processes
import vl_convert
from known_target import known_target
from plans import SCENARIOS

from analyzer.chart_style import BLUE, CONFIG, FAINT, ORANGE, RED
from loadproof.measure.histogram import Histogram
from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE, POOL = 1_000, 2_000
WARM_UP_S = 3
PATIENCE_S = 60.0
PERCENTILES = ("50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%")
"""Those of Locust's statistics."""
EXPECTED, OURS = "what the plan's starts met", "loadproof, open model"
STOCK_USERS = {10: ORANGE, 100: RED}


def stock_name(users: int) -> str:
    return f"Locust, {users} users, constant_pacing({users / RATE:g})"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/stall.svg"))
    arguments = parser.parse_args()
    found = {EXPECTED: expected_ms(), OURS: ours_ms(arguments.seconds)}
    print(OURS, found[OURS], flush=True)
    for users in STOCK_USERS:
        found[stock_name(users)] = stock_ms(users, arguments.seconds)
        print(stock_name(users), found[stock_name(users)], flush=True)
    arguments.picture.write_text(
        vl_convert.vegalite_to_svg(spec(found), vl_version="5.21", allowed_base_urls=[]), encoding="utf-8"
    )
    return 0


def expected_ms() -> list[float]:
    """A tenth of evenly spread starts falls into the stall, and waits for what is left of it; else nothing."""
    return [max(0.0, 1_000 * (1 - 10 * (1 - share))) for share in shares()]


def shares() -> list[float]:
    return [float(name.rstrip("%")) / 100 for name in PERCENTILES]


def ours_ms(seconds: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, known_target("--stall") as target:
        load = {"arrivals": f"{RATE}/s", "users": POOL}
        phases = [
            {"phase": "warm-up", "duration": f"{WARM_UP_S}s", "warmup": True, **load},
            {"phase": "steady", "duration": f"{seconds}s", **load},
        ]
        plan = plans.write_plan(Path(folder), "get_load_user", target.url, phases)
        run(plans.run_command(plan), Path(folder), seconds)
        judged = plans.intervals(plan, 0, WARM_UP_S + seconds + 60)
    total = Histogram()
    for interval in judged:
        for key, series in interval.series.items():
            if key.phase == "steady":
                if key.outcome is not Outcome.OK:
                    raise RuntimeError(f"{series.histogram.count} requests of loadproof were {key.outcome}")
                total += series.histogram
    return [value / 1_000 for share in shares() if (value := total.quantile(share)) is not None]


def stock_ms(users: int, seconds: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, known_target("--stall") as target:
        files = f"{SCENARIOS / 'paced_fast_http_user.py'},{SCENARIOS / 'reset_statistics.py'}"
        command = [
            *generators.stock_locust(files, target.url),
            *("--users", str(users), "--spawn-rate", str(users), "--csv", f"{folder}/stock"),
            *("--run-time", f"{WARM_UP_S + seconds}s"),
        ]
        run(command, Path(folder), seconds, BENCH_PACE_S=str(users / RATE), BENCH_RESET_S=str(WARM_UP_S))
        with Path(folder, "stock_stats.csv").open() as file:
            row = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    return [float(row[name]) for name in PERCENTILES]


def run(command: Sequence[str], folder: Path, seconds: int, **environment: str) -> None:
    """To its end, on the generator's core."""
    output = folder / "output"
    env = {**generators.ENVIRONMENT, **environment}
    with processes.running(command, core=processes.GENERATOR_CORE, output=output, env=env) as process:
        process.wait(timeout=seconds + PATIENCE_S)
        if process.returncode not in {0, 1}:
            raise RuntimeError(f"{command[0]} ended with status {process.returncode}")


def spec(found: dict[str, list[float]]) -> dict[str, Any]:
    colours = {EXPECTED: FAINT, OURS: BLUE} | {
        stock_name(users): colour for users, colour in STOCK_USERS.items()
    }
    values = [
        {"who": who, "percentile": f"P{name.rstrip('%')}", "ms": ms}
        for who, each in found.items()
        for name, ms in zip(PERCENTILES, each, strict=True)
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "config": CONFIG,
        "background": "white",
        "width": 560,
        "height": 260,
        "title": {
            "text": "A target that stalls 1 s in every 10",
            "subtitle": f"reported latency by percentile, {RATE:,} starts a second planned",
            "anchor": "start",
        },
        "data": {"values": values},
        "mark": {"type": "line", "point": {"size": 30}, "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "percentile",
                "type": "ordinal",
                "sort": None,
                "title": "percentile",
                "axis": {"labelAngle": 0},
            },
            "y": {"field": "ms", "type": "quantitative", "title": "latency (ms)"},
            "color": {
                "field": "who",
                "type": "nominal",
                "scale": {"domain": list(colours), "range": list(colours.values())},
                "legend": {"title": None, "columns": 2, "labelLimit": 400},
            },
            "strokeDash": {
                "condition": {"test": f"datum.who === {json.dumps(EXPECTED)}", "value": [5, 4]},
                "value": [1, 0],
            },
        },
    }


if __name__ == "__main__":
    sys.exit(main())
