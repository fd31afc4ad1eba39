"""Every way in which a run is told to end: a signal, `loadproof stop`, a key, a button, its own locustfile."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import gevent

from distributed.stop import HAND
from distributed.stop_request import StopRequest, heed_requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.run_folder import RunFolder
    from distributed.stop import Stop


class StopWishes:
    """Hears them, from now until it is closed: the first is the run's `stop` and an event; each drains in order.

    A second wish, or one that says so, ends what is in flight too. Nothing is lost either way.
    """

    def __init__(self, stop: Stop, folder: RunFolder, now_us: Callable[[], int | None]) -> None:
        self._stop = stop
        self._folder = folder
        self._now_us = now_us
        self._signals: list[Any] = [
            gevent.signal_handler(number, self._signalled, number)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        ]
        self._requests = gevent.spawn(heed_requests, folder.path, self.obey)

    def obey(self, request: StopRequest) -> None:
        """A wish by hand."""
        why = f"{request.who}: {request.why}" if request.why else request.who
        self._stop.times += 2 if request.at_once else 1
        if self._stop.ask(HAND, why):
            self._folder.event(self._now_us(), "stop", f"{HAND}: {why}: draining")
        self._stop.asked.set()

    def heed_locustfile(self) -> None:
        """The locustfile called `runner.quit()`."""
        if self._stop.ask("the locustfile", "it called runner.quit()"):
            self._folder.event(self._now_us(), "stop", "the locustfile ends the run: draining")

    def _signalled(self, number: int) -> None:
        self._stop.times += 1
        name = signal.Signals(number).name
        if self._stop.ask(name, f"stopped by {name}", signal=number):
            self._folder.event(self._now_us(), "stop", f"{name}: draining; once more ends it at once")
        self._stop.asked.set()

    def close(self) -> None:
        for handler in self._signals:
            handler.cancel()
        self._requests.kill()
