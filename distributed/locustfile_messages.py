"""What a locustfile is told and says itself: its events, messages between its nodes, and the wish to end."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
from locust.exception import RPCError, StopTest
from locust.rpc import Message

from loadproof.plan.profile import first_rise_us, users_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.runners import Runner, WorkerRunner

    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

REPORT: Final = "loadproof_report"
"""Worker -> master: what the locustfile's `report_to_master` listeners gave."""
END: Final = "loadproof_end"
"""Worker -> master: the locustfile called `runner.quit()` there, in words."""
REPORTED_S: Final = 1.0
"""How often the locustfile's own `report_to_master` listeners are asked."""


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


def end(worker: WorkerRunner) -> None:
    """Ask the master to end the run."""
    with contextlib.suppress(RPCError):
        worker.client.send(Message(END, None, worker.client_id))


def keep_reporting(worker: WorkerRunner) -> NoReturn:
    """Report now and then, until killed."""
    while True:
        gevent.sleep(REPORTED_S)
        report(worker)


def report(worker: WorkerRunner) -> None:
    """Send the master what the locustfile's listeners have to tell since they were asked last."""
    told: dict[str, Any] = {}
    worker.environment.events.report_to_master.fire(client_id=worker.client_id, data=told)
    if told:
        with contextlib.suppress(RPCError):
            worker.client.send(Message(REPORT, told, worker.client_id))
