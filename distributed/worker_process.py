"""A worker's process: from its command line to its exit status."""

from __future__ import annotations

import argparse
import gc
import hashlib
import logging
import os
import resource
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import gevent
import locust
from locust import argument_parser
from locust.env import Environment

from distributed.fault_proxy import go_by
from distributed.hosts import is_loopback
from distributed.joining import connect, exchange_clocks, fetch_orders, plan_of
from distributed.link.keys import read_worker_keys
from distributed.link.sockets import Client, use
from distributed.messages import FaultProxy
from distributed.placement import Seat
from distributed.processes import take_forks_along, watch_lifeline
from distributed.scrubbed_output import scrub_output
from distributed.suite import load_suite
from distributed.worker import Worker
from loadproof.errors import LoadproofError, UsageError
from loadproof.measure.scrub import Scrubber, secrets_of
from loadproof.plan.model import EMBEDDED
from loadproof.plan.prometheus import token_variable
from loadproof.plan.reader import read_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.link.keys import WorkerKeys
    from distributed.messages import Orders
    from distributed.suite import Suite
    from loadproof.plan.model import Plan


def main() -> int:
    """Run one worker until its master lets it go or its starter is gone."""
    arguments = _arguments()
    logging.basicConfig(
        level=arguments.log_level,
        format=f"%(asctime)s {arguments.worker} %(levelname)s %(name)s: %(message)s",
    )
    try:
        return _run(arguments)
    except LoadproofError as error:
        print(f"{arguments.worker}: {error}", file=sys.stderr)
        return int(error.exit_code)


def _run(arguments: argparse.Namespace) -> int:
    keys = read_worker_keys(arguments.key, arguments.master_key)
    # The run's own plan: the environment has had its say already.
    plan = read_plan(arguments.plan, environ={})
    suite = load_suite(plan.suite, plan.locustfile, plan.flows)
    starter_gone = gevent.get_hub().loop.async_()
    starter_gone.start(os._exit, 1)
    if arguments.lifeline_fd is not None:
        watch_lifeline(arguments.lifeline_fd, starter_gone.send)
    client = Client(arguments.master_host, arguments.master_port, keys)
    seat = Seat(arguments.worker, arguments.region)
    connect(client)
    worker = _worker(
        client,
        seat,
        plan,
        plan_digest(arguments.plan),
        suite,
        arguments.target,
        _proxy_of(arguments),
        arguments.journal_dir,
        smoke=arguments.smoke,
    )
    starter_gone.stop()
    starter_gone.start(worker.orphan)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (trouble := _until_left(worker)) is not None:
        print(f"{arguments.worker}: {trouble}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class OwnHost:
    """A worker that somebody starts by hand, on whatever host."""

    master: str
    port: int
    region: str
    keys: WorkerKeys
    journals: Path
    """A folder for each run is made in it."""
    locustfile: Path | None
    """The worker's own copy, if the plan runs one: what a master names is never imported."""
    say: Callable[[str], None]


def run_on_own_host(started: OwnHost) -> None:
    """Run one worker until its master lets it go or a signal asks it to; LoadproofError says why it could not."""
    client = Client(started.master, started.port, started.keys)
    seat = Seat(started.keys.worker, started.region)
    started.say(f"{seat.worker}: waiting for the master at {client.place}")
    connect(client)
    orders = fetch_orders(client, seat)
    plan = plan_of(orders)
    suite = _own_suite(plan, started.locustfile)
    journals = started.journals / orders.run
    try:
        journals.mkdir(parents=True, exist_ok=True)
        # With it `recover` can judge the run from its workers' folders alone.
        (journals / "plan.yaml").write_text(orders.plan, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write journals to {journals}: {error.strerror}; name another folder with --journal-dir"
        ) from error
    target = _target_of(plan, orders)
    worker = _worker(
        client, seat, plan, orders.plan_sha256, suite, target, orders.fault_proxy, journals, smoke=False
    )
    gevent.signal_handler(signal.SIGINT, worker.leave)
    started.say(f"{seat.worker}: takes part in {orders.run}; its journal goes to {journals}")
    if (trouble := _until_left(worker)) is not None:
        raise (
            UsageError(f"{seat.worker}: {trouble}")
            if not worker.begun
            else LoadproofError(f"{seat.worker}: {trouble}")
        )
    started.say(f"{seat.worker}: done")


def _own_suite(plan: Plan, locustfile: Path | None) -> Suite:
    """The user classes as they are on this host; the master compares their digest with its own."""
    if (plan.locustfile is None) != (locustfile is None):
        wanted = "runs no locustfile: leave out -f"
        if plan.locustfile is not None:
            wanted = f"runs a locustfile: give this worker its copy with -f {Path(plan.locustfile).name}"
        raise UsageError(f"the plan {wanted}")
    flows = []
    for flow in plan.flows:
        if flow.rows is not None:
            file = Path.cwd() / Path(flow.rows.file).name
            if not file.is_file():
                raise UsageError(f"the flow {flow.name} reads rows: put your copy at {file}")
            flows.append(replace(flow, rows=replace(flow.rows, file=str(file))))
        else:
            flows.append(flow)
    return load_suite(plan.suite, None if locustfile is None else str(locustfile), flows)


def _target_of(plan: Plan, orders: Orders) -> str:
    if plan.target != EMBEDDED:
        return plan.target
    if orders.embedded_url is None or not is_loopback(urlsplit(orders.embedded_url).hostname or ""):
        raise UsageError("the master's embedded target is not on this machine: its plan needs a target's URL")
    return orders.embedded_url


def _proxy_of(arguments: argparse.Namespace) -> FaultProxy | None:
    if arguments.fault_proxy is None:
        return None
    host, port = arguments.fault_proxy
    return FaultProxy(host, int(port))


def _worker(
    client: Client,
    seat: Seat,
    plan: Plan,
    plan_sha256: str,
    suite: Suite,
    target: str,
    proxy: FaultProxy | None,
    journals: Path,
    *,
    smoke: bool,
) -> Worker:
    """The runner, at work as soon as its master says so."""
    raise_file_limit()
    take_forks_along()
    # The token of the plan's Prometheus is the master's alone, but a local worker inherits its environment.
    token = os.environ.get(token_variable(plan.prometheus))
    scrub = Scrubber((*secrets_of(plan.secrets, os.environ).values(), *filter(None, [token])))
    scrub_output(scrub)
    environment = make_environment(plan, suite.classes, target)
    go_by(proxy, plan, target, environment.user_classes)
    exchanges = exchange_clocks(client, seat)
    use(client)
    worker: Worker = environment._create_runner(  # noqa: SLF001 Locust's own way to a runner class of one's own
        Worker, seat, plan, plan_sha256, suite, journals, exchanges, smoke=smoke
    )
    worker.scrub = scrub
    environment.events.init.fire(environment=environment, runner=worker, web_ui=None)
    tame_garbage_collector()
    gevent.signal_handler(signal.SIGTERM, worker.leave)
    return worker


def _until_left(worker: Worker) -> str | None:
    """Wait for the worker's end; what went wrong, in words."""
    worker.left.wait()
    worker.environment.events.quitting.fire(environment=worker.environment, reverse=True)
    return worker.refused


def make_environment(plan: Plan, classes: dict[str, type], target: str) -> Environment:
    """Locust's environment for these user classes, with its option defaults and the suite's own options."""
    for user_class in classes.values():
        user_class.host = target  # type: ignore[attr-defined]
    for name, weight in (plan.scenarios or {}).items():
        # Locust leaves out a class whose own weight is 0, whatever the plan says.
        classes[name].weight = weight  # type: ignore[attr-defined]
    options = _locust_options()
    options.host, options.num_users = target, plan.max_users
    options.run_time = plan.duration_us // 1_000_000
    environment = Environment(
        user_classes=[classes[name] for name in (classes if plan.scenarios is None else plan.scenarios)],
        events=locust.events,
        host=target,
        parsed_options=options,
    )
    environment.stop_timeout = 0.0
    return environment


def _locust_options() -> argparse.Namespace:
    """Locust's options and those that the locustfile adds, from their defaults, environment and config files."""

    def refuse(message: str) -> NoReturn:
        raise UsageError(
            f"Locust's options cannot be read: {message}; set them by their environment variables or in locust.conf"
        )

    parser = argument_parser.get_empty_argument_parser()
    argument_parser.setup_parser_arguments(parser)
    locust.events.init_command_line_parser.fire(parser=parser)
    parser.error = refuse
    options: argparse.Namespace = parser.parse_args([])
    return options


def plan_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def raise_file_limit() -> None:
    """Each user holds a connection; the soft limit of 1,024 is a shell's, not the kernel's."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tame_garbage_collector() -> None:
    """Keep what is loaded out of every collection, and let one be rare: a scenario's requests make no cycles.

    With Python's own thresholds collections cost 3 to 4 % of a fast worker, and more with many idle users.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m distributed.worker_process")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--fault-proxy", nargs=2, metavar=("HOST", "PORT"))
    parser.add_argument("--master-host", default="127.0.0.1")
    parser.add_argument("--master-port", type=int, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--master-key", type=Path, required=True)
    parser.add_argument("--journal-dir", type=Path, required=True)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--log-level", default="WARNING")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
