"""Settings that every test shares."""

import os
import sys

import databases as real
import pytest
from hypothesis import HealthCheck, settings

# `import locust` patches the whole process for gevent, and pytest-xdist's own threads do not survive that. Tests
# that need the patches run a program of their own; `commands.environment` gives it an environment without this.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"

# A property says what must be true, not how long that takes on a busy machine, nor how lucky its draws are.
BY_CHANCE = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
settings.register_profile("new", deadline=None, suppress_health_check=BY_CHANCE)
settings.register_profile("known", settings.get_profile("new"), derandomize=True)


def pytest_configure(config):
    """The same tree is judged alike by the same examples; `make test-long`, or the profile `new`, draws new ones."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("new" if config.option.markexpr == "long" else "known")


@pytest.fixture(autouse=True)
def _on_time():
    """gevent's timers count from when its loop last looked at the clock: after a test that waited without it they are over."""
    if "gevent" in sys.modules:
        sys.modules["gevent"].get_hub().loop.update_now()


@pytest.fixture(scope="session")
def databases():
    """A real PostgreSQL and a real Redis, which start when the first test asks for them."""
    with real.databases() as running:
        yield running


@pytest.fixture(params=real.STORES)
def storage(request, tmp_path):
    """Where a test's own targets keep what they are told, by option: a file, or a database and the Redis."""
    if request.param == "sqlite":
        return {"store": f"sqlite://{tmp_path}/kept.db"}
    running = request.getfixturevalue("databases")
    return {"store": running.postgres.new(), "redis": running.redis.url}
