"""Beside a stock scenario: forget the statistics of the first BENCH_RESET_S seconds, as a plan's warm-up does."""

import os
from typing import Any

import gevent
from locust import events
from locust.env import Environment


@events.test_start.add_listener
def reset_later(environment: Environment, **_: Any) -> None:
    gevent.spawn_later(float(os.environ["BENCH_RESET_S"]), environment.stats.reset_all)
