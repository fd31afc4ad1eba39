"""Events, options of its own, messages between master and worker, reports to the master, data dealt to users."""

import csv
import pathlib
import sys

from gevent.lock import Semaphore
from locust import HttpUser, constant, events, task
from locust.runners import MasterRunner, WorkerRunner

names = []
sizes = {"bytes": 0}
all_there = Semaphore()
all_there.acquire()


def told(what):
    """What the test reads: the master's and the worker's output."""
    print(f"TOLD {what}", file=sys.stderr, flush=True)


@events.init_command_line_parser.add_listener
def add_options(parser):
    parser.add_argument("--greeting", env_var="LOCUST_GREETING", default="unset", help="How to greet.")
    parser.add_argument("--hidden", include_in_web_ui=False, default="hidden")
    parser.add_argument("--password", is_secret=True, default="secret")


@events.init.add_listener
def register(environment, **_rest):
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message("names_taken", lambda environment, msg: told(f"master heard {msg.data}"))
    if isinstance(runner, WorkerRunner):
        told(f"worker {runner.worker_index}")
        runner.register_message("names", take_names)
        with pathlib.Path(__file__).with_name("visitors.csv").open(encoding="utf-8") as file:
            told(f"rows {len(list(csv.DictReader(file)))}")


def take_names(environment, msg, **_rest):
    names.extend(msg.data)
    environment.runner.send_message("names_taken", f"{len(msg.data)} names")


@events.test_start.add_listener
def deal_names(environment, **_rest):
    told(f"start with {environment.parsed_options.greeting}")
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        everybody = [f"name-{number}" for number in range(runner.target_user_count)]
        for index, client in enumerate(runner.clients):
            runner.send_message("names", everybody[index :: runner.worker_count], client)


@events.spawning_complete.add_listener
def let_go(user_count, **_rest):
    told(f"spawned {user_count}")
    all_there.release()


@events.request.add_listener
def count(response_length, **_rest):
    sizes["bytes"] += response_length


@events.report_to_master.add_listener
def send_size(data, **_rest):
    data["bytes"], sizes["bytes"] = sizes["bytes"], 0


@events.worker_report.add_listener
def add_size(data, **_rest):
    sizes["bytes"] += data["bytes"]


@events.test_stopping.add_listener
def stopping(**_rest):
    told("stopping")


@events.test_stop.add_listener
def stopped(**_rest):
    told("stopped")


@events.quitting.add_listener
def quitting(environment, **_rest):
    if isinstance(environment.runner, MasterRunner):
        total = environment.stats.total
        told(f"master has {total.num_requests} requests, {total.fail_ratio:.2f} failed, {sizes['bytes'] > 0}")
        environment.process_exit_code = 1


class Named(HttpUser):
    wait_time = constant(0.05)

    def __init__(self, environment):
        super().__init__(environment)
        self.name = names.pop()

    def on_start(self):
        all_there.wait()

    @task
    def greet(self):
        options = self.environment.parsed_options
        assert (options.hidden, options.password) == ("hidden", "secret")
        self.client.get(f"/{options.greeting}/{self.name}", name=f"/{options.greeting}")
