"""An hour of a master's work in one process, as fast as it goes: its memory, and what an interval takes.

Every record passes the very master that a run has, from its message handler on, into journals on disk, Locust's
statistics, the live figures and the rules in trouble; only the socket is left out.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import locust
import psutil
import results
from locust.env import Environment
from locust.rpc import Message
from made_intervals import USERS, MadeIntervals
from plans import SCENARIOS

from distributed import messages
from distributed.limits import limits_us
from distributed.link.keys import make_keys
from distributed.link.sockets import Server, use
from distributed.master import Master
from distributed.placement import seats
from distributed.run_folder import RunFolder
from distributed.suite import load_suite
from distributed.trouble import Trouble
from distributed.worker_process import raise_file_limit
from loadproof.measure.codec import encode
from loadproof.measure.interval import Header
from loadproof.measure.record import frame
from loadproof.measure.wire import FORMAT_VERSION
from loadproof.plan.reader import read_plan
from loadproof.plan.writer import dump_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadproof.plan.model import Plan

HOUR_S: Final = 3_600
LOOK_S: Final = 600
REGIONS: Final = 4
VARIETY: Final = 4
"""Different intervals in each second: making one takes longer than reading it."""
PLAN: Final = """\
name: hour
locustfile: {locustfile}
target: http://127.0.0.1:9
load: [{{phase: steady, duration: 1h, users: {users}}}]
regions: [{regions}]
rules: [p95 <= 200ms, p99 <= 1s, error_ratio <= 1%]
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10, help="of each series in each second")
    parser.add_argument("--seconds", type=int, default=HOUR_S)
    arguments = parser.parse_args()
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        print(run(arguments.workers, arguments.requests, arguments.seconds, Path(folder)))
    return 0


def run(workers: int, requests: int, seconds: int, folder: Path) -> str:
    source = folder / "hour.yaml"
    regions = ", ".join(
        f"{{name: region-{number}, workers: {workers // REGIONS}}}" for number in range(REGIONS)
    )
    locustfile = SCENARIOS / "idle_load_user.py"
    source.write_text(PLAN.format(users=workers * USERS, regions=regions, locustfile=locustfile))
    plan = read_plan(source, environ={})
    planned = seats(plan.regions)
    master, trouble = made_master(plan, folder)
    limits = limits_us(plan)
    for seat in planned:
        join(master, seat.worker, seat.region)
        header = Header(FORMAT_VERSION, "run", seat.worker, seat.region, 0, limits)
        say(master, seat.worker, messages.RECORD, messages.Record(0, 0, frame(encode(header))))
    many = [MadeIntervals(requests, seed, limits, "steady") for seed in range(VARIETY)]
    used = 0.0
    process = psutil.Process()
    rows = []
    for second in range(seconds):
        records = [frame(encode(made.at(second))) for made in many]
        begun = time.thread_time()
        for number, seat in enumerate(planned):
            record = messages.Record(0, second + 1, records[number % VARIETY])
            say(master, seat.worker, messages.RECORD, record)
        master.live.figures(workers)
        used += time.thread_time() - begun
        if (second + 1) % LOOK_S == 0:
            begun = time.thread_time()
            trouble._judge((second + 1) * 1_000_000)  # noqa: SLF001 now, not when it is next due
            look = time.thread_time() - begun
            resident = process.memory_info().rss / 1e6
            rows.append([f"{(second + 1) // 60} min", f"{resident:.1f} MB", f"{look * 1e3:,.0f} ms"])
            print(*rows[-1], file=sys.stderr, flush=True)
    assert master.dropped_messages == 0
    assert master.live.requests == master.stats.total.num_requests
    intervals = seconds * workers
    return (
        f"An hour of {workers} workers with {requests} requests a series, {intervals:,} intervals and "
        f"{master.live.requests:,} requests, in one process as fast as it goes:\n\n"
        + results.markdown(["after", "resident", "CPU of a look at the rules"], rows)
        + f"\n\nAn interval takes {used / intervals * 1e3:.2f} ms of CPU, without the link."
    )


def made_master(plan: Plan, folder: Path) -> tuple[Master, Trouble]:
    """A master as `loadproof master` makes it, with a socket that nobody connects to."""
    suite = load_suite(None, plan.locustfile)
    keys, _ = make_keys(seat.worker for seat in seats(plan.regions))
    use(Server("127.0.0.1", 0, keys))
    environment = Environment(user_classes=list(suite.classes.values()), events=locust.event.Events())
    run_folder = RunFolder(folder / "reports", plan.name, datetime.datetime.now(datetime.UTC))
    create: Callable[..., Any] = environment._create_runner  # noqa: SLF001 Locust's own way to a runner of one's own
    orders = messages.Orders("run", dump_plan(plan))
    master: Master = create(Master, plan, orders, suite, seats(plan.regions), run_folder)
    trouble = Trouble(plan)
    master.on_interval = trouble.add
    return master, trouble


def join(master: Master, worker: str, region: str) -> None:
    # As if its connection had just spoken.
    master.server._speaking[worker] = worker.encode()  # noqa: SLF001
    hello = messages.Hello(
        protocol=messages.PROTOCOL,
        worker=worker,
        region=region,
        life="0123456789abcdef",
        connection=1,
        pid=1,
        suite_sha256=master.suite.sha256,
        plan_sha256=master.orders.plan_sha256,
        version=locust.__version__,
    )
    say(master, worker, messages.HELLO, hello)


def say(master: Master, worker: str, kind: str, message: Any) -> None:
    master.handle_message(worker, Message(kind, messages.write(message), worker))


if __name__ == "__main__":
    sys.exit(main())
