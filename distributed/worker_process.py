"""A worker's process: from its command line to its exit status."""

from __future__ import annotations

import argparse
import gc
import hashlib
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import gevent
import locust
from locust import argument_parser
from locust.env import Environment

from distributed.link.keys import read_worker_keys
from distributed.link.sockets import Client, use
from distributed.placement import Seat
from distributed.processes import watch_lifeline
from distributed.suite import load_suite
from distributed.worker import Worker
from loadproof.errors import LoadproofError, UsageError
from loadproof.plan.reader import read_plan

if TYPE_CHECKING:
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
    raise_file_limit()
    keys = read_worker_keys(arguments.key, arguments.master_key)
    # The run's own plan: the environment has had its say already.
    plan = read_plan(arguments.plan, environ={})
    suite = load_suite(plan.suite, plan.locustfile, plan.flows)
    environment = make_environment(plan, suite.classes, arguments.target)
    use(Client(arguments.master_host, arguments.master_port, keys))
    worker = environment._create_runner(  # noqa: SLF001 Locust's own way to a runner class of one's own
        Worker,
        Seat(arguments.worker, arguments.region),
        plan,
        plan_digest(arguments.plan),
        suite,
        arguments.journal_dir,
        smoke=arguments.smoke,
    )
    environment.events.init.fire(environment=environment, runner=worker, web_ui=None)
    tame_garbage_collector()
    gone = gevent.get_hub().loop.async_()
    gone.start(worker.orphan)
    if arguments.lifeline_fd is not None:
        watch_lifeline(arguments.lifeline_fd, gone.send)
    gevent.signal_handler(signal.SIGTERM, worker.stop_loading)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.left.wait()
    environment.events.quitting.fire(environment=environment, reverse=True)
    if worker.refused is not None:
        print(f"{arguments.worker}: {worker.refused}", file=sys.stderr)
        return 1
    return 0


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
