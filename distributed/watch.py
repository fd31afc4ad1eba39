"""What is looked after while a run goes on: phases, wishes to stop, workers that die, and the display."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any, Final

from distributed.absences import Absences
from distributed.guards import Guards, Reading, Tripped
from distributed.limits import join_timeout_us, stop_timeout_us
from distributed.live import View
from distributed.resources import sample_resources
from distributed.stop import GUARD
from distributed.told import sample_told
from loadproof.errors import RunFolderError
from loadproof.plan.profile import phase_at, users_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from distributed.clock import RunClock
    from distributed.faults import Faults
    from distributed.master import Master
    from distributed.processes import Child
    from distributed.run_folder import RunFolder
    from distributed.searching import Searching
    from distributed.stop import Stop
    from distributed.trouble import Trouble
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

TICK_S: Final = 0.1
GONE_US: Final = 15_000_000
"""How long a worker whose connection was closed is waited for after the load, in case its network did that."""
AFTER_DRAIN_S: Final = 20.0
"""How long journals may still take once every worker must have drained."""


class Watch:
    """Watches one run from the zero of its clock to the end of its last journal."""

    def __init__(
        self,
        plan: Plan,
        master: Master,
        workers: Mapping[str, Child],
        folder: RunFolder,
        clock: RunClock,
        stop: Stop,
        trouble: Trouble,
        faults: Faults,
        show: Callable[[View], None],
        searching: Searching | None = None,
    ) -> None:
        self._plan = plan
        self._master = master
        self._workers = workers
        self._folder = folder
        self._clock = clock
        self._stop = stop
        self._trouble = trouble
        self.faults = faults
        self._show_view = show
        self._searching = searching
        self._showing = True
        self._phase: str | None = None
        self.quorum_lost = Absences()
        self._unwritable: RunFolderError | None = None
        self.guards = Guards(plan)
        self._guarded_second = -1

    def remember(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Know what the master of this run, that was killed, has noted."""
        for event in events:
            at_us, who, text = event["at_us"], event["who"], event["text"]
            at_us = self._clock.now_us() if at_us is None else at_us
            match kind := event["kind"]:
                case "phase":
                    self._phase = who
                case "worker_away":
                    self._master.load.absences.begin(who, at_us, text)
                case "worker_back":
                    self._master.load.absences.end(who, at_us)
                case "quorum_lost":
                    self.quorum_lost.begin(who, at_us, text)
                case "quorum_back":
                    self.quorum_lost.end(who, at_us)
                case "guard_warn" | "guard_blind":
                    self.guards.remember(Tripped(who, kind.removeprefix("guard_"), at_us, text))
                case "stop" | "abort" | "guard":
                    by, rule = (kind, who) if kind != "stop" else (text.partition(":")[0], None)
                    if kind == "guard":
                        self.guards.remember(Tripped(who, "stop", at_us, text))
                        rule = None
                    self._stop.ask(by, text, rule=rule, at_ns=self._clock.start_ns + at_us * 1_000)

    def until_settled(self) -> None:
        """Return when every journal has ended or is lost; RunFolderError when the run folder takes no more."""
        master, clock = self._master, self._clock
        patience_us = stop_timeout_us(self._plan) + int(AFTER_DRAIN_S * 1_000_000)
        asked_us: int | None = None
        while self._goes_on(asked_us):
            unwritable = self._unwritable or master.load.unwritable or self.faults.unwritable
            if unwritable is not None:
                raise unwritable
            now = clock.now_us()
            current = phase_at(self._plan.load, now) if now >= 0 else None
            if current is not None and current.name != self._phase and asked_us is None:
                self._phase = current.name
                self._folder.event(now, "phase", f"phase {current.name} begins", current.name)
            if asked_us is None and self._stop.by is None and self._search_is_over(now):
                asked_us = now
                self._folder.event(now, "drain", "the search is over; users finish what they have begun")
                master.tell_stopping()
                master.stop_loading()
            if asked_us is None and now >= self._plan.duration_us:
                asked_us = now
                if self._searching is not None:
                    self._searching.finish(now, stopped=False)
                self._folder.event(now, "drain", "the plan is over; users finish what they have begun")
                master.tell_stopping()
            if self._stop.asked.is_set():
                self._stop.asked.clear()
                if self._searching is not None:
                    self._searching.finish(now, stopped=True)
                self.faults.revert()
                master.tell_stopping()
                master.stop_loading(at_once=self._stop.times > 1)
                asked_us = now if asked_us is None else asked_us
            if asked_us is None and self._stop.by is None:
                self._heed_aborts(now)
            if asked_us is None and self._stop.by is None:
                self._heed_quorum(now)
            if asked_us is None and self._stop.by is None:
                self._heed_guards(now)
            self._notice_deaths()
            self.faults.notice_proxy()
            if asked_us is not None:
                self._give_up_the_silent(now, late=now > asked_us + patience_us)
            self._show(draining=asked_us is not None)
            self._stop.asked.wait(timeout=TICK_S)

    def _give_up_the_silent(self, now_us: int, *, late: bool) -> None:
        """After the load: who has not ended its journal by now, or whose process ended long ago, never will."""
        load = self._master.load
        for worker in list(self._master.roster.admitted):
            since_us = load.absences.since_us(worker) if load.membership.is_gone(worker) else None
            if late:
                self._master.roster.lose(worker, "its journal did not end in time")
            elif since_us is not None and now_us - since_us > GONE_US:
                self._master.roster.lose(worker, "its connection was closed, and it did not come back")

    def _goes_on(self, asked_us: int | None) -> bool:
        """Some journal has not ended, or another worker may still come."""
        settled = all(admitted.settled for admitted in self._master.roster.epochs)
        return not settled or (asked_us is None and not self._workers)

    def _heed_quorum(self, now_us: int) -> None:
        """Note which regions have too few workers; end a run for which they do not come back in time."""
        if self._master.load.membership.over:
            # A worker whose clock is ahead ends just before the plan does.
            return
        present = [seat.region for seat in self._master.load.membership.present]
        for region in self._plan.regions:
            since_us = self.quorum_lost.since_us(region.name)
            missing = present.count(region.name) < region.quorum
            if missing and since_us is None:
                why = f"fewer than {region.quorum} worker{'s'[: region.quorum != 1]}"
                self.quorum_lost.begin(region.name, max(0, now_us), why)
                self._folder.event(now_us, "quorum_lost", why, region.name)
            elif not missing and since_us is not None:
                self.quorum_lost.end(region.name, now_us)
                self._folder.event(now_us, "quorum_back", "its workers are back", region.name)
            elif (
                since_us is not None and now_us - since_us > join_timeout_us(self._plan) and not self._workers
            ):
                why = f"region {region.name} had too few workers for too long"
                self._stop.ask("quorum", why)
                self._folder.event(now_us, "stop", why, region.name)

    def sample(self, processes: dict[str, list[int]]) -> None:
        """Write down what these processes take, once a second, until killed."""
        try:
            prometheus = self._plan.prometheus
            elsewhere = prometheus.resources if prometheus is not None else ()
            sample_resources(self._folder, self._clock, processes, elsewhere)
        except RunFolderError as error:
            self.unwritable(error)

    def sample_told(self, url: str) -> None:
        """Write down what the target tells of itself, until killed or it is clear that it does not."""
        try:
            prometheus = self._plan.prometheus
            elsewhere = prometheus.resources if prometheus is not None else ()
            sample_told(self._folder, self._clock, url, elsewhere)
        except RunFolderError as error:
            self.unwritable(error)

    def unwritable(self, error: RunFolderError) -> None:
        """The run folder takes no more: `until_settled` ends with this error."""
        self._unwritable = error

    def _heed_aborts(self, now_us: int) -> None:
        """End the run in order when an abort rule is broken."""
        fired = self._trouble.fired(now_us)
        if fired is None:
            return
        self._stop.ask("abort", fired.reason, rule=fired.rule)
        self._folder.event(now_us, "abort", fired.reason, fired.rule)

    def _heed_guards(self, now_us: int) -> None:
        """Warn, or end the run in order, where it takes more than it may; looks once a second."""
        second = now_us // 1_000_000
        if not self.guards or now_us < 0 or second == self._guarded_second:
            return
        self._guarded_second = second
        master = self._master
        if not self._workers:
            # Workers elsewhere tell of themselves what can be seen of those here.
            nodes = [
                master.clients[seat.worker]
                for seat in master.roster.at_work()
                if seat.worker in master.clients
            ]
            if nodes:
                self.guards.sample(now_us, "generator.rss", sum(node.memory_usage for node in nodes))
                self.guards.sample(now_us, "generator.cpu", max(node.cpu_usage for node in nodes) / 100)
        live = master.live
        reading = Reading(now_us, live.users, live.requests, live.failures, _free_bytes(self._folder.path))
        trips = self.guards.look(reading)
        if self._searching is not None:
            self._searching.guarded(self.guards.reached)
        for trip in trips:
            if trip.level == "stop":
                self._stop.ask(GUARD, trip.why)
            kind = GUARD if trip.level == "stop" else f"guard_{trip.level}"
            self._folder.event(now_us, kind, trip.why, trip.guard)

    def _search_is_over(self, now_us: int) -> bool:
        if self._searching is None:
            return False
        self._searching.look(now_us, self._master.load)
        return self._searching.over

    def _show(self, *, draining: bool) -> None:
        if not self._showing:
            return
        try:
            self._show_view(self._view(draining=draining))
        except (Exception, SystemExit):  # rich ends the process when the reader of its output is gone
            self._showing = False
            logger.exception("the display failed; the run goes on without it")

    def _notice_deaths(self) -> None:
        for worker, child in self._workers.items():
            admitted = self._master.roster.admitted.get(worker)
            if child.running() or admitted is None or admitted.settled:
                continue
            self._master.salvage(worker, self._folder.worker_journals / f"{worker}-{admitted.epoch}.journal")
            status = child.process.returncode
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            self._master.roster.lose(worker, f"its process {how}")

    def _view(self, *, draining: bool) -> View:
        now = max(0, self._clock.now_us())
        phase = phase_at(self._plan.load, now)
        at_work = self._master.roster.at_work()
        live = self._master.live
        figures = live.figures(len(at_work))
        regions = {region.name: (0, region.workers) for region in self._plan.regions}
        for seat in at_work:
            up, planned = regions[seat.region]
            regions[seat.region] = (up + 1, planned)
        return View(
            at_us=now,
            phase=None if phase is None else phase.name,
            left_us=max(0, self._plan.duration_us - now),
            users=live.users,
            users_planned=users_at(self._plan.load, now),
            **figures._asdict(),
            requests=live.requests,
            failures=live.failures,
            dropped=live.dropped,
            workers=regions,
            trouble=(*(trip.why for trip in self.guards.tripped), *self._trouble.lines()),
            faults=self.faults.lines(),
            search=None if self._searching is None else self._searching.line,
            draining=draining,
        )


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
