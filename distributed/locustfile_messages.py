"""What a locustfile is told and says itself: its events, messages between its nodes, and the wish to end."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.exception import StopTest

from loadproof.plan.profile import first_rise_us, users_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import Runner

    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

REPORT: Final = "loadproof_report"
"""Worker -> master: what the locustfile's `report_to_master` listeners gave."""
END: Final = "loadproof_end"
"""Worker -> master: the locustfile called `runner.quit()` there, in words."""
UNHEARD: Final = ("report_to_master", "worker_report")
"""Events whose listeners of Locust's own carry its statistics; ours travel as intervals."""


@contextlib.contextmanager
def own_listeners_only(environment: Environment, *events: str) -> Iterator[None]:
    """Take out again what Locust meanwhile hangs on these events and on UNHEARD; what a locustfile has hung there stays."""
    hooks = [getattr(environment.events, event) for event in (*events, *UNHEARD)]
    before = [list(hook._handlers) for hook in hooks]  # noqa: SLF001 Locust has no other way to take a listener out
    yield
    for hook, handlers in zip(hooks, before, strict=True):
        hook._handlers = handlers  # noqa: SLF001


def deliver(runner: Runner, message: Message) -> bool:
    """Hand a message to the listener that the locustfile registered for it; False where there is none."""
    listener, concurrent = runner.custom_messages.get(message.type, (None, False))
    if listener is None:
        return False
    if concurrent:
        runner.greenlet.spawn(listener, environment=runner.environment, msg=message)
        return True
    try:
        listener(environment=runner.environment, msg=message)
    except Exception:
        logger.exception("the locustfile's listener for %s failed", message.type)
    return True


def tell_start(runner: Runner) -> None:
    """Fire `test_start`; a listener may raise StopTest."""
    try:
        runner.environment.events.test_start.fire(environment=runner.environment)
    except StopTest:
        logger.exception("a listener of test_start stops the run")
        runner.quit()


def tell_spawned(runner: Runner, plan: Plan, seconds_until: Callable[[int], float]) -> None:
    """Wait until the load has risen, and fire `spawning_complete`."""
    risen_us = first_rise_us(plan.load)
    gevent.sleep(max(0.0, seconds_until(risen_us)))
    users = users_at(plan.load, max(0, risen_us - 1))
    runner.environment.events.spawning_complete.fire(user_count=users)


def report(runner: Runner) -> dict[str, Any]:
    """What the locustfile's listeners have to tell the master since they were asked last; {} for nothing."""
    told: dict[str, Any] = {}
    runner.environment.events.report_to_master.fire(client_id=runner.client_id, data=told)
    return told
