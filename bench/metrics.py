"""What it costs a run to be watched: a scrape a second, beside the same run unscraped.

An open plan of 5,000 requests a second to nginx, twenty names from two regions; master and workers share one core. Both
kinds of run serve metrics, and take turns; only one of them is asked for them, every second, as Prometheus asks.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import generators
import nginx
import plans
import processes
import results
from results import Spread

from loadproof.measure.interval import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADING = "## What it costs to be watched"
RATE, USERS = 5_000, 500
REGIONS = ("eu-west-1", "us-east-1")
WARM_UP_S = 5
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # Prometheus 2.42's
SCRAPED, ALONE = "scraped each second", "not scraped"


@dataclass(frozen=True)
class Found:
    share: float
    """Of a core, by the master alone."""
    p99_ms: float
    rate_per_s: float
    scrape_bytes: int
    scrape_ms: float
    """Median time that a scrape took, waiting for the core included; 0 where nobody scraped."""


@dataclass
class Scraper:
    port: int
    lengths: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def scrape(self) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": ACCEPT})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        begun = time.monotonic()
        with opener.open(request, timeout=10) as answer:
            self.lengths.append(len(answer.read()))
        self.seconds.append(time.monotonic() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="that are measured of each run")
    arguments = parser.parse_args()
    # A Prometheus runs elsewhere: what our scraper takes must not be taken from the run.
    os.sched_setaffinity(0, {processes.TARGET_CORE})
    found: dict[str, list[Found]] = defaultdict(list)
    for number in range(arguments.rounds):
        for kind in (SCRAPED, ALONE) if number % 2 else (ALONE, SCRAPED):
            one = measure(arguments.seconds, scraped=kind == SCRAPED)
            found[kind].append(one)
            print(kind, one, flush=True)
    text = f"{results.conditions(arguments.rounds)}\n\n{table(found, arguments.seconds)}"
    print(text)
    results.write_section(HEADING, text)
    return 0


def measure(seconds: int, *, scraped: bool) -> Found:
    """RuntimeError when requests fail."""
    with tempfile.TemporaryDirectory() as name, nginx.nginx() as target:
        load = {"arrivals": f"{RATE}/s", "users": USERS}
        plan = plans.write_plan(
            Path(name),
            "many_names_load_user",
            target.url,
            [
                {"phase": "warm-up", "duration": f"{WARM_UP_S}s", "warmup": True, **load},
                {"phase": plans.STEADY, "duration": f"{seconds}s", **load},
            ],
            regions=[{"name": region, "workers": 1} for region in REGIONS],
            rules=["p95 <= 50ms, goal < 20ms", "p99 <= 200ms", "error_ratio <= 1%"],
        )
        (port,) = processes.free_ports(1)
        command = [*plans.run_command(plan), "--metrics", str(port)]
        begun = target.requests() + 100
        with processes.running(
            command,
            core=processes.GENERATOR_CORE,
            output=Path(name) / "run.out",
            env=generators.ENVIRONMENT,
        ) as master:
            processes.wait_until("the load begins", lambda: target.requests() > begun, master)
            scraper = Scraper(port)
            with each_second(scraper) if scraped else contextlib.nullcontext():
                time.sleep(WARM_UP_S)
                used, since = processes.cpu_seconds([master]), time.monotonic()
                # The last seconds are the end's.
                time.sleep(seconds - 2)
                share = (processes.cpu_seconds([master]) - used) / (time.monotonic() - since)
            master.wait(timeout=120)
        seen = plans.intervals(plan)
        failed = plans.count(seen, Outcome.FAILED, Outcome.TIMEOUT)
        if failed:
            raise RuntimeError(f"{failed} requests failed")
        (p99,) = plans.quantiles_ms(plans.latencies(seen, Outcome.OK), 0.99)
        return Found(
            share,
            p99,
            plans.count(seen, Outcome.OK) / seconds,
            Spread.of(scraper.lengths).median if scraped else 0,
            1_000 * Spread.of(scraper.seconds).median if scraped else 0,
        )


@contextlib.contextmanager
def each_second(scraper: Scraper) -> Iterator[None]:
    """Scrape from the beginning to the end of the block, in a thread of ours."""
    over = threading.Event()

    def scrape() -> None:
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            scraper.scrape()
            due += 1

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def table(found: dict[str, list[Found]], seconds: int) -> str:
    rows = [
        [
            kind,
            Spread.of([one.rate_per_s for one in ones]).text(),
            Spread.of([100 * one.share for one in ones]).text(2),
            Spread.of([one.p99_ms for one in ones]).text(2),
        ]
        for kind in (SCRAPED, ALONE)
        for ones in [found[kind]]
    ]
    pairs = list(zip(found[SCRAPED], found[ALONE], strict=True))
    differences = [
        "scraped less not scraped, round by round",
        "",
        Spread.of([100 * (one.share - other.share) for one, other in pairs]).text(2),
        Spread.of([one.p99_ms - other.p99_ms for one, other in pairs]).text(2),
    ]
    ratios = [
        "scraped by not scraped, round by round",
        "",
        results.ratios([one.share for one, _ in pairs], [other.share for _, other in pairs]).text(2),
        results.ratios([one.p99_ms for one, _ in pairs], [other.p99_ms for _, other in pairs]).text(2),
    ]
    size = Spread.of([one.scrape_bytes for one in found[SCRAPED]]).median
    wait = Spread.of([one.scrape_ms for one in found[SCRAPED]]).text(1)
    return (
        f"{RATE:,} requests a second for {seconds} s a run, twenty names, two regions with a worker each; they and the "
        f"master on one core. A scrape is {size / 1e3:,.0f} kB and takes {wait} ms, waiting for the core included.\n\n"
        + results.markdown(
            ["run", "ok requests/s", "master, % of a core", "P99, ms"], [*rows, differences, ratios]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
