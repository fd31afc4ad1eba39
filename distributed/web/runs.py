"""The runs that one process does for its web UI: which one there is, how far it is, and what is wished of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event
from locust.env import Environment

from distributed.stop_request import StopRequest
from distributed.web.tabs import Tabs
from loadproof.errors import NotStartedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed.master import Master
    from distributed.placement import Seat
    from distributed.stop import Stop
    from distributed.trouble import Trouble
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

FILES: Final = (
    *("report.html", "summary.md", "results.json", "junit.xml", "requests.csv", "metrics.csv"),
    *("events.jsonl", "plan.yaml"),
)
"""Of a run folder, for download."""


class State(StrEnum):
    PREPARING = "the target and the workers are coming up"
    READY = "ready: press Start"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining: users finish what they have begun"
    REPORTING = "the run is over, its reports are being written"
    ENDED = "ended"


_OF_LOCUST: Final = {
    State.PREPARING: "ready",
    State.READY: "ready",
    State.STARTING: "spawning",
    State.RUNNING: "running",
    # Locust's page asks for nothing more in its own word for this, and would never learn of the end.
    State.DRAINING: "running",
    State.REPORTING: "running",
    State.ENDED: "stopped",
}


class CurrentEnvironment:
    """Locust's web UI keeps the environment that it is made with; this one stands for that of the latest run."""

    def __init__(self) -> None:
        self.__dict__["latest"] = Environment()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["latest"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "latest":
            self.__dict__["latest"] = value
        else:
            setattr(self.__dict__["latest"], name, value)


class WebRuns:
    """One run at a time. The run itself says how far it is, a browser what it wants."""

    def __init__(self, plan: Plan, *, autostart: bool) -> None:
        self.plan = plan
        self.environment = CurrentEnvironment()
        self.tabs: Tabs | None = None
        self.verdict: str | None = None
        """Of the latest run, once it is judged."""
        self.said = ""
        """Why the latest run could not begin."""
        self.folders: dict[str, Path] = {}
        """Name -> folder of every run that has ended, in order."""
        self.start_asked = Event()
        self._state = State.PREPARING
        self._master: Master | None = None
        self._stop: Callable[[StopRequest], None] | None = None
        self._edit_users: Callable[[int, str], str] | None = None
        if autostart:
            self.start_asked.set()

    @property
    def state(self) -> State:
        if self._state is State.RUNNING and self._master is not None and self._master.state == "stopping":
            return State.DRAINING
        if self._state is State.READY and self.start_asked.is_set():
            return State.STARTING
        return self._state

    @property
    def locust_state(self) -> str:
        """The same in the words that Locust's page knows."""
        state = self.state
        if state is State.PREPARING and (self.folders or self.start_asked.is_set()):
            return "spawning"
        return _OF_LOCUST[state]

    @property
    def workers(self) -> tuple[int, int] | None:
        """How many are here of how many planned; None before any could be."""
        if self._master is None:
            return None
        return len(self._master.load.membership.present), sum(one.workers for one in self.plan.regions)

    @property
    def goes_on(self) -> bool:
        return self.state in {State.RUNNING, State.DRAINING}

    def prepare(
        self,
        plan: Plan,
        trouble: Trouble,
        stop: Callable[[StopRequest], None],
        edit_users: Callable[[int, str], str],
    ) -> None:
        """A run is made; `stop` takes a wish for its end, `edit_users` one for another number of users."""
        self.plan = plan
        self.tabs = Tabs(plan, trouble)
        self.verdict, self.said = None, ""
        self._stop = stop
        self._edit_users = edit_users
        self._master = None
        self._state = State.PREPARING

    def follow(self, master: Master) -> None:
        """Show this master's run from now on."""
        assert self.tabs is not None
        self._master = master
        self.environment.latest = master.environment
        self.tabs.follow(master)

    def add(self, seat: Seat, interval: Interval) -> None:
        """One second of a worker of the run."""
        assert self.tabs is not None
        self.tabs.add(seat, interval)

    def await_start(self, stop: Stop) -> None:
        """Target and workers are there: return when the load is to begin; NotStartedError when somebody wants the end."""
        self._state = State.READY
        gevent.wait([self.start_asked, stop.asked], count=1)
        if not self.start_asked.is_set():
            raise NotStartedError("nothing was run: the end was wanted before anybody pressed Start")

    def begun(self) -> None:
        self.start_asked.clear()
        self._state = State.RUNNING

    def over(self) -> None:
        """Every journal has ended; what is left is to judge and to write."""
        self._stop = None
        self._state = State.REPORTING

    def ended(self, folder: Path) -> None:
        """The reports are written, as far as they ever will be."""
        assert self.tabs is not None
        self.folders[folder.name] = folder
        self.verdict = self.tabs.judged(folder)
        self._state = State.ENDED

    def failed(self, said: str) -> None:
        """The run could not begin."""
        self.start_asked.clear()
        self.said = said
        self._stop = None
        self._state = State.ENDED

    def ask_start(self) -> str:
        """What is said to who pressed Start; ValueError says why not."""
        if self.goes_on or self.start_asked.is_set():
            raise ValueError("a run goes on already")
        if self.state is State.REPORTING:
            raise ValueError("the reports of the last run are still being written: try again in a moment")
        self.start_asked.set()
        return f"{self.plan.title} starts"

    def ask_users(self, users: int, who: str) -> str:
        """Let the run that goes on have so many users; ValueError says why not."""
        if self._edit_users is None or not self.goes_on:
            raise ValueError("no run goes on")
        return self._edit_users(users, who)

    def ask_stop(self, who: str) -> str:
        """End the run in order; ValueError says why not."""
        if self._stop is None or not self.goes_on:
            raise ValueError("no run goes on")
        self._stop(StopRequest(who, "Stop was pressed", at_once=False))
        return "the run ends: users finish what they have begun"
