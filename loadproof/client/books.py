"""Where this process counts its requests: one recorder in a loadproof run, nothing of ours in plain Locust."""

from __future__ import annotations

import logging
import traceback
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from gevent import GreenletExit, sleep
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser

from loadproof.client.connection import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadproof.measure.recorder import Recorder

RUN_HEADER: Final = "Loadproof-Run"
PARKED_S: Final = 0.05
_MEANT_FOR_LOCUST: Final = (
    StopUser,
    StopTest,
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    GreenletExit,
)
logger = logging.getLogger(__name__)


class Books:
    """The books of this process. Sessions are many and their classes shared, so it cannot belong to one."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.run: str | None = None
        self.listener: Callable[..., None] | None = None
        """Our own listener of `events.request`, which hears of stock users."""
        self.own_listeners = 0
        self.deadlines = Deadlines()

    def begin(self, recorder: Recorder, run: str) -> None:
        """Count into this recorder from now on; once a process."""
        if self.recorder is not None:
            raise RuntimeError("a process records one run")
        self.recorder = recorder
        self.run = run
        self.deadlines.open = recorder.open

    def check_leave(self) -> None:
        """StopUser where no request may begin: this process has lost its master, and others carry its load."""
        if self.recorder is not None and monotonic_ns() > self.recorder.load_until_ns:
            # A scenario may swallow the exception and ask again, and must not keep everybody from ending.
            sleep(PARKED_S)
            raise StopUser

    def listen(self, environment: Environment, listener: Callable[..., None]) -> None:
        """Hear of the requests of stock users, before any listener of a locustfile.

        Such a one may raise StopUser, and must not find our ticket in its context.
        """
        self.listener = listener
        self.own_listeners = 1
        environment.events.request._handlers.insert(0, listener)  # noqa: SLF001 there is no other way to be first

    def end(self) -> None:
        """Count no more, as tests do that record one run after another."""
        self.__init__()  # type: ignore[misc]

    def listened(self, environment: Environment) -> bool:
        """Whether somebody else wants to hear of each request."""
        handlers = environment.events.request._handlers  # noqa: SLF001 there is no other way to know
        return len(handlers) > self.own_listeners

    def tell(self, environment: Environment, meta: dict[str, Any]) -> None:
        """Fire `events.request` for all but ourselves, who know already."""
        for handler in list(environment.events.request._handlers):  # noqa: SLF001
            if handler is self.listener:
                continue
            try:
                handler(**meta)
            except _MEANT_FOR_LOCUST:
                raise
            except Exception:  # noqa: BLE001 as Locust does: a listener cannot end a user
                logger.error("Uncaught exception in event handler: \n%s", traceback.format_exc())  # noqa: TRY400


books: Final = Books()


def active_recorder() -> Recorder | None:
    """The recorder of the loadproof run in this process; None in plain Locust."""
    return books.recorder
