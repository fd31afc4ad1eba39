"""`LoadUser`: what a scenario derives from."""

from __future__ import annotations

import contextlib
import itertools
import logging
import traceback
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gevent import GreenletExit
from locust import User
from locust.exception import StopTest, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING
from locust.user.users import RestMixin

from loadproof.client.books import active_recorder
from loadproof.client.rows import Rows, UserRows
from loadproof.client.session import HttpSession
from loadproof.client.settings import settings_of
from loadproof.client.tasks import UserTasks
from loadproof.client.websockets import WebSocket
from loadproof.errors import UndeclaredNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from locust.env import Environment

logger = logging.getLogger(__name__)


class Answer(Protocol):
    """The part of a response that a check looks at to know whether there is anything to look at."""

    @property
    def ok(self) -> bool: ...

    @property
    def status_code(self) -> int: ...


class Starts(Protocol):
    """Says when a user may begin its next task."""

    def take(self) -> int | None:
        """Wait, and return when the task was due, on CLOCK_MONOTONIC in nanoseconds.

        None where latencies do not count from then.
        """


class LoadUser(User, RestMixin):  # type: ignore[misc]  # Locust's classes are not typed
    """A Locust user whose requests, checks and metrics are recorded exactly.

    Declare every check and metric by name, so that a rule on one that never ran is told from a misspelt one.
    In plain Locust it works too: failed checks then show among Locust's failures as type CHECK.
    """

    abstract = True
    network_timeout: float = 60.0
    """Seconds to wait for the next bytes of an answer."""
    connection_timeout: float = 60.0
    """Seconds for name, connection and TLS together."""
    total_timeout: float | None = None
    """Seconds for a whole request with its redirects; None for no limit."""
    max_redirects: int = 30
    insecure: bool = False
    """Take any certificate. FastHttpUser does so by default; a target with a bad one would pass unseen."""
    authorities: str | None = None
    """File or folder of certificate authorities, in place of the system's."""
    client_certificate: str | tuple[str, str] | None = None
    """A PEM file with certificate and key, or a file of each."""
    default_headers: Mapping[str, str] | None = None
    proxy_host: str | None = None
    """An HTTP proxy, in place of what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say."""
    proxy_port: int | None = None
    source_addresses: tuple[str, ...] = ()
    """Local addresses to connect from, one a user in turn: each has its own 28,000 ports to one destination."""
    checks: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]] = ()
    expected_health: ClassVar[Mapping[str, str]] = {}
    """Fields that the target's `GET /gateway/health` must carry, checked before the first user."""
    rows: ClassVar[Rows | None] = None
    """Data for users, such as `Rows("accounts.csv")`; see `row`."""
    slot: int | None = None
    """Which of the run's users this is, unique over all workers; None in plain Locust."""
    slots: int | None = None
    """How many users the run has at its peak."""
    starts: Starts | None = None
    """Set by whoever plans this user's tasks; None where they follow `wait_time`."""
    _own_rows: UserRows | None = None
    _made = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if self.host is None:
            self.host: str | None = environment.host
        sources = self.source_addresses
        source = sources[next(LoadUser._made) % len(sources)] if sources else None
        self.client = HttpSession(environment, settings_of(self), self.context, source)

    def run(self) -> None:
        """What Locust's `User.run` does, with tasks that do not sleep without a need."""
        self._state = LOCUST_STATE_RUNNING
        self._taskset_instance = UserTasks(self)
        try:
            try:
                self.on_start()
            except Exception as error:
                logger.error("%s\n%s", error, traceback.format_exc())  # noqa: TRY400 as Locust words it
                if not isinstance(error, StopUser | StopTest):
                    self.environment.events.user_error.fire(
                        user_instance=self, exception=error, tb=error.__traceback__
                    )
                raise
            self._taskset_instance.run()
        except (GreenletExit, StopUser, StopTest):
            # What it asks for may no longer begin.
            with contextlib.suppress(StopUser):
                self.on_stop()
        finally:
            self.client.close()

    def await_start(self) -> None:
        """Wait for the next task's turn, as one that may be stopped meanwhile."""
        assert self.starts is not None
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_WAITING
        self.client.intended_ns = self.starts.take()
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_RUNNING

    def websocket(
        self,
        url: str,
        name: str | None = None,
        *,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> WebSocket:
        """A WebSocket for the length of a `with` block: one request, named as any other.

        `url` is a path of the host, or absolute with ws or wss. `timeout` is in seconds, for the connection, the
        answer and each wait for a message; without it the class's time-outs hold. Cookies, certificates, proxies
        and source addresses are those of `client`.

        The block raises WebSocketError when no connection comes about or the server ends it; see there.
        """
        return WebSocket(self.client, url, name, subprotocols=subprotocols, headers=headers, timeout=timeout)

    def check(
        self,
        name: str,
        outcome: bool | Callable[[], bool],
        *,
        on: Answer | None = None,
        detail: str | Callable[[], str] | None = None,
    ) -> bool:
        """Assert something about an answer or about several; counted apart from HTTP failures.

        A callable is asked only if the answer `on` is ok, and its exceptions count as a failed check: a body
        that cannot be read is a finding, not an accident. If `on` failed, the check is counted as skipped and
        the result is False. `detail` is kept as evidence of a failed check.

        Raises UndeclaredNameError if the class does not declare `name` in `checks`.
        """
        if name not in self.checks:
            raise self._undeclared("check", name, self.checks)
        scenario = type(self).__name__
        recorder = active_recorder()
        # Locust calls status 0, which is no answer at all, ok as well.
        if on is not None and not (on.ok and on.status_code):
            if recorder is not None:
                recorder.check(scenario, name, None)
            return False
        problem = ""
        try:
            passed = bool(outcome() if callable(outcome) else outcome)
        except Exception as error:  # noqa: BLE001 whatever a check trips over is what it found
            passed = False
            problem = f"{type(error).__name__}: {error}"
        text = None if passed else _evidence(detail, problem)
        if recorder is not None:
            recorder.check(scenario, name, passed, text)
        elif not passed:
            self._report_to_plain_locust(name, text)
        return passed

    def metric(self, name: str, value: float) -> None:
        """Record a number of the scenario's own, for rules on `metric(NAME)`.

        Raises UndeclaredNameError if the class does not declare `name` in `metrics`.
        """
        if name not in self.metrics:
            raise self._undeclared("metric", name, self.metrics)
        recorder = active_recorder()
        if recorder is not None:
            recorder.metric(type(self).__name__, name, value)

    def row(self) -> dict[str, Any]:
        """The next row of this user's share of `rows`, which no other user of the run gets.

        Raises StopUser when the share is used up and the rows are not for reuse.
        """
        if self._own_rows is None:
            if self.rows is None:
                raise UsageError(f"{type(self).__name__} has no rows: set `rows = Rows(FILE)` on the class")
            self._own_rows = UserRows(self.rows, self.slot, self.slots)
        row = self._own_rows.take()
        if row is None:
            raise StopUser
        return row

    def _undeclared(self, kind: str, name: str, declared: tuple[str, ...]) -> UndeclaredNameError:
        known = ", ".join(declared) or "none"
        error = UndeclaredNameError(
            f"{type(self).__name__} uses the {kind} {name!r}, which it does not declare: add it to the class's "
            f"`{kind}s` (declared: {known})"
        )
        recorder = active_recorder()
        if recorder is not None:
            recorder.undeclared(str(error))
        return error

    def _report_to_plain_locust(self, name: str, detail: str | None) -> None:
        message: Any = AssertionError(f"check {name} failed" + (f": {detail}" if detail else ""))
        self.environment.events.request.fire(
            request_type="CHECK",
            name=name,
            response_time=0,
            response_length=0,
            exception=message,
            context={},
            response=None,
            start_time=None,
            url=None,
        )


def _evidence(detail: str | Callable[[], str] | None, problem: str) -> str | None:
    """What a failed check leaves to argue from; whoever cannot say it says at least why not."""
    try:
        text = detail() if callable(detail) else detail
    except Exception as error:  # noqa: BLE001 the evidence of a broken answer may be just as broken
        text = f"no detail: {type(error).__name__}: {error}"
    return "; ".join(part for part in (text, problem) if part) or None
