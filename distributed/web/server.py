"""Serves the web UI for as long as the process lives, and begins a run whenever somebody presses Start."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import gevent
import locust
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from locust.event import EventHook
from locust.stats import update_stats_history

from distributed.hosts import is_loopback
from distributed.web.gate import LOGIN, Gate
from distributed.web.login import Login
from distributed.web.runs import WebRuns
from distributed.web.ui import PlanWebUI
from loadproof.errors import LoadproofError, NotStartedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import NoReturn, Self

    from loadproof.plan.model import Plan

CONNECTIONS: Final = 200
HISTORY_S: Final = 5.0
"""Between two points of Locust's charts that a page shows when it is loaded anew."""
POINTS: Final = 1_000


@dataclass(frozen=True)
class WebAddress:
    """Where to serve the web UI, to whom, and when runs begin and the process ends."""

    host: str
    port: int
    token: str | None = None
    """None shows one-time links in the terminal."""
    autostart: bool = False
    """Begin the first run without a browser."""
    autoquit_s: float | None = None
    """End so long after a run has ended; None waits for the next start."""


class WebServer:
    """Bound when it is made, so that a run that cannot be watched as asked does not begin.

    UsageError where the address is taken, or off loopback without a token.
    """

    def __init__(self, address: WebAddress, plan: Plan, say: Callable[[str], None]) -> None:
        where = f"{address.host}:{address.port}"
        if address.token is None and not is_loopback(address.host):
            raise UsageError(
                f"the web UI at {where} would be open to the network: give a token with --web-token FILE, or 127.0.0.1"
            )
        self._address = address
        self._say = say
        self._login = Login(address.token)
        self.runs = WebRuns(plan, autostart=address.autostart)
        self._quit = Event()
        self._signal: int | None = None
        self._server = WSGIServer((address.host, address.port), log=None, error_log=None, spawn=CONNECTIONS)
        try:
            self._server.init_socket()
        except OSError as error:
            raise UsageError(
                f"the web UI cannot be served at {where}: {error.strerror}; name another --web-port"
            ) from error
        self.port: int = self._server.server_port
        self._server.application = self._gate = Gate(
            PlanWebUI(self.runs).app, self._login, address.host, self.port, self._link_spent
        )

    def __enter__(self) -> Self:
        self._server.start()
        self._greenlets = [gevent.spawn(self._keep_history)]
        self._signals = [
            gevent.signal_handler(number, self._signalled, number)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        ]
        if self._address.token is None:
            self._say_link()
        else:
            self._say(f"web UI at http://{self._place()}/, with the token of --web-token")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handler in self._signals:
            handler.cancel()
        gevent.killall(self._greenlets)
        self._server.stop(timeout=1)

    def repeat(self, once: Callable[[WebRuns], int]) -> int:
        """Do one run after the other until a signal, or `autoquit_s` after one; the exit code of the last.

        A first run that cannot begin ends the process as it does without a web UI; a later one is only told of.
        """
        code: int | None = None
        while True:
            heard = _listeners()
            try:
                code = once(self.runs)
            except NotStartedError as error:
                self._say(str(error))
                return error.exit_code if self._signal is None else 128 + self._signal
            except LoadproofError as error:
                if code is None:
                    raise
                self.runs.failed(str(error))
                self._say(str(error))
            finally:
                # A locustfile's listeners of `init` hang up others, and are called for every run.
                for hook, handlers in heard.items():
                    hook._handlers = handlers  # noqa: SLF001 Locust has no other way to take a listener out
            if self._quit.is_set() or not self._next_is_asked():
                return code

    def _next_is_asked(self) -> bool:
        if self._address.autoquit_s is None:
            self._say("press Start in the web UI for another run, or Ctrl-C here to end")
        gevent.wait([self.runs.start_asked, self._quit], timeout=self._address.autoquit_s, count=1)
        return self.runs.start_asked.is_set() and not self._quit.is_set()

    def _signalled(self, number: int) -> None:
        self._signal = number
        self._quit.set()

    def _place(self) -> str:
        host = self._address.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def _say_link(self) -> None:
        self._say(f"web UI, once: http://{self._place()}{LOGIN}?link={self._login.new_link()}")

    def _link_spent(self, address: str) -> None:
        if self._address.token is None:
            self._say(f"somebody at {address} has opened the web UI; for another browser:")
            self._say_link()

    def _keep_history(self) -> NoReturn:
        """What Locust does beside its own runs, but for no more points than a chart can show."""
        while True:
            gevent.sleep(HISTORY_S)
            runner = self.runs.environment.runner
            if self.runs.goes_on and runner is not None:
                update_stats_history(runner)
                del runner.stats.history[:-POINTS]


def _listeners() -> dict[Any, list[Any]]:
    """Who listens to each of Locust's events now."""
    hooks = [hook for hook in vars(locust.events).values() if isinstance(hook, EventHook)]
    return {hook: list(hook._handlers) for hook in hooks}  # noqa: SLF001 as above
