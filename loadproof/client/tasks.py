"""Locust's task loop, with its meaning and without its cost: nothing sleeps where there is nothing to wait for."""

from __future__ import annotations

import logging
import traceback
from random import random
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit, sleep
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

if TYPE_CHECKING:
    from loadproof.client.user import LoadUser

logger = logging.getLogger(__name__)
_LEAVING = (StopUser, StopTest, GreenletExit)


class UserTasks(DefaultTaskSet):  # type: ignore[misc]  # Locust's classes are not typed
    """The tasks of a LoadUser.

    As Locust's DefaultTaskSet: weights, nested task sets, the queue of `schedule_task`, interrupts, stopping,
    `user_error`. A user without a wait gives way to others by its requests, and by a sleep of no length only
    after a task that made none.
    """

    user: LoadUser

    def run(self) -> None:
        user = self.user
        session = user.client
        while True:
            waits = session.waits
            try:
                if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001 Locust's own protocol
                    raise StopUser
                if user.starts is not None:
                    user.await_start()
                task = self._task_queue.popleft() if self._task_queue else self._draw(user)
                try:
                    if isinstance(task, type):
                        task(user).run()
                    else:
                        task(user)
                except RescheduleTaskImmediately:
                    continue
                except RescheduleTask:
                    pass
                if user.starts is None:
                    if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
                        raise StopUser
                    seconds = (user.wait_time or self.wait_time)()
                    if seconds > 0 or session.waits == waits:
                        self._rest(user, seconds)
            except InterruptTaskSet as error:
                raise (RescheduleTaskImmediately if error.reschedule else RescheduleTask)(
                    error.reschedule
                ) from error
            except _LEAVING:
                raise
            except Exception as error:
                user.environment.events.user_error.fire(
                    user_instance=self, exception=error, tb=error.__traceback__
                )
                if not user.environment.catch_exceptions:
                    raise
                logger.error("%s\n%s", error, traceback.format_exc())  # noqa: TRY400 as Locust words it
                # What fails before it waits for its turn must leave the others theirs.
                self._rest(user, self.wait_time() if user.starts is None else 0)

    def wait(self) -> None:
        """For scenarios that call it."""
        self._rest(self.user, self.wait_time())

    def _draw(self, user: LoadUser) -> Any:
        tasks = user.tasks
        if not tasks:
            return self.get_next_task()  # It raises, and says what is missing.
        return tasks[0] if len(tasks) == 1 else tasks[int(random() * len(tasks))]

    def _rest(self, user: LoadUser, seconds: float) -> None:
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
            raise StopUser
        user._state = LOCUST_STATE_WAITING  # noqa: SLF001
        sleep(seconds)
        if user._state == LOCUST_STATE_STOPPING:  # noqa: SLF001
            raise StopUser
        user._state = LOCUST_STATE_RUNNING  # noqa: SLF001
