"""One run on this machine: target, master and workers from start to end, into a run folder."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import gevent
from locust.exception import RPCError

from distributed import manifest, target_service
from distributed.absences import Absences
from distributed.clock import RunClock
from distributed.cluster_log import read_cluster_log
from distributed.fault_proxy import check_clients
from distributed.faults import Faults, is_counting
from distributed.limits import join_timeout_us
from distributed.link.keys import Shared, make_keys
from distributed.link.sockets import Server, use
from distributed.local_worker import start_worker
from distributed.master import Master
from distributed.messages import Orders
from distributed.metrics_server import MetricsServer
from distributed.placement import seats
from distributed.preflight import preflight
from distributed.prometheus import Sampler
from distributed.quorum import await_workers
from distributed.run_folder import RunFolder, read_events, utc_now
from distributed.run_log import logging_to
from distributed.searching import Searching
from distributed.stop import Stop
from distributed.stop_request import StopRequest
from distributed.stop_wishes import StopWishes
from distributed.trouble import Trouble
from distributed.users_edit import edit_users, editable
from distributed.watch import Watch
from distributed.worker_process import make_environment, plan_digest, raise_file_limit
from loadproof.errors import ExitCode, NotStartedError, UsageError
from loadproof.plan.edits import EditedLoad
from loadproof.plan.model import EMBEDDED
from loadproof.plan.writer import dump_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from distributed.link.keys import MasterKeys, WorkerKeys
    from distributed.live import View
    from distributed.messages import FaultProxy
    from distributed.placement import Seat
    from distributed.processes import Child
    from distributed.run_options import Options
    from distributed.suite import Suite
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

JOIN_S: Final = 60.0
"""How long planned workers may take to join before the run starts without them, to end INVALID."""
HEAD_START_S: Final = 0.5
"""Between the message that begins the load and the zero of the run clock."""


@dataclass
class Ended:
    """A run that is over: its folder is complete but for the reports."""

    folder: Path
    stop: Stop
    """Who ended it before its plan did, if anybody."""
    complete: bool
    """Every journal is whole on disk here."""

    @property
    def unjudged(self) -> ExitCode:
        """What is known without judging it: an abort rule is a FAIL, and what was cut short or is torn cannot pass."""
        if self.stop.rule is not None:
            return ExitCode.FAIL
        return ExitCode.OK if self.complete and self.stop.by is None else ExitCode.INVALID


def run_plan(plan: Plan, suite: Suite, options: Options, show: Callable[[View], bool]) -> Ended:
    """Run a plan with local workers; `show` is given a View several times a second, and True from it is a wish for the end.

    Raises UsageError before any load if the target does not answer or the reports folder cannot be written.
    """
    raise_file_limit()
    folder = (
        RunFolder(options.reports, plan.name, utc_now())
        if options.go_on is None
        else RunFolder.again(options.go_on)
    )
    run = _Run(plan, suite, options, show, folder)
    with logging_to(folder.log, options.log_level):
        try:
            return run.conduct()
        finally:
            run.clear()


class _Run:
    def __init__(
        self, plan: Plan, suite: Suite, options: Options, show: Callable[[View], bool], folder: RunFolder
    ) -> None:
        plan = self.plan = editable(plan)
        self.suite = suite
        self.options = options
        self.show = show
        self.folder = folder
        self.remembered = None if options.go_on is None else read_cluster_log(options.go_on)
        self.run = folder.manifest.get("run", f"{folder.path.name}-{time.time_ns() % 0xFFFF:04x}")
        self.stop = Stop()
        self.workers: dict[str, Child] = {}
        self.target: Child | None = None
        self.master: Master | None = None
        self.watch: Watch | None = None
        self.trouble = Trouble(plan)
        self.faults = Faults(plan, folder)
        self.searching = (
            None
            if plan.search is None or options.smoke
            else Searching(plan, folder, far=options.listen is not None)
        )
        folder.on_sample = self._sampled
        self.prometheus = Sampler(plan, folder, os.environ)
        self.metrics: MetricsServer | None = None
        self.web = options.web
        self.never_started = False
        self.wishes: StopWishes | None = None
        self.complete = False
        self.shared: Shared | None = None

    def conduct(self) -> Ended:
        plan, folder = self.plan, self.folder
        wishes = self.wishes = StopWishes(self.stop, folder, self._now_us)
        if self.options.metrics is not None:
            self.metrics = MetricsServer(self.options.metrics, plan, self.run, self.trouble)
        if self.web is not None:
            self.web.prepare(plan, self.trouble, wishes.obey, self._edit_users)
        url = self._reach_target()
        if self.remembered is None:
            self._write_beginning(url)
        listen = self.options.listen
        # Only workers go by it; everything else asks the target itself.
        proxy = self.faults.prepare(
            url, self.target, ("127.0.0.1", 0) if listen is None else listen.fault_proxy
        )
        keys = self._make_master(url, proxy, wishes)
        clock = self._take_up() if self.remembered is not None else self._begin(url, keys)
        if clock is not None:
            if self.web is not None:
                self.web.begun()
            self._go_through(clock, url)
        return self._close(clock or RunClock(time.monotonic_ns()), url)

    def _make_master(
        self, url: str, proxy: FaultProxy | None, wishes: StopWishes
    ) -> Mapping[str, WorkerKeys]:
        """It listens from now on; the keys are for workers that are started here."""
        plan, folder, listen = self.plan, self.folder, self.options.listen
        planned = seats(plan.regions)
        keys, of_workers = make_keys(seat.worker for seat in planned)
        if listen is not None and listen.keys is not None:
            keys = listen.keys.only(seat.worker for seat in planned)
        server = _serve("127.0.0.1", 0, keys) if listen is None else _serve(listen.host, listen.port, keys)
        use(server)
        folder.write_manifest(key_fingerprints=keys.fingerprints)
        if listen is not None and listen.keys is None:
            self.shared = Shared(server.port, of_workers)
        environment = make_environment(plan, self.suite.classes, url)
        if proxy is not None and listen is None:
            check_clients(url, environment.user_classes)
        master = self.master = environment._create_runner(  # noqa: SLF001 Locust's own way to a runner of one's own
            Master,
            plan,
            Orders(self.run, dump_plan(plan), url if plan.target == EMBEDDED else None, proxy),
            self.suite,
            planned,
            folder,
        )
        environment.events.init.fire(environment=environment, runner=master, web_ui=None)
        master.on_quit = wishes.heed_locustfile
        master.on_interval = self._hear
        if self.metrics is not None:
            self.metrics.follow(master)
        if self.web is not None:
            self.web.follow(master)
        return of_workers

    def _go_through(self, clock: RunClock, url: str) -> None:
        """From the load's first second until every journal has ended."""
        assert self.master is not None
        master, folder = self.master, self.folder
        watch = self.watch = Watch(
            self.plan,
            master,
            self.workers,
            folder,
            clock,
            self.stop,
            self.trouble,
            self.faults,
            self._show,
            self.searching,
        )
        if self.metrics is not None:
            self.metrics.watch = watch
        if self.remembered is not None:
            events = read_events(folder.path)
            watch.remember(events)
            self.faults.remember(events)
        self.faults.start(clock)
        samplers = [
            gevent.spawn(watch.sample, self._processes(url)),
            gevent.spawn(watch.sample_told, url),
        ]
        if not self.options.smoke:
            self.prometheus.start(clock, watch.unwritable)
        watch.until_settled()
        self.prometheus.stop()
        master.tell_stopping()
        gevent.killall(samplers)

    def _begin(self, url: str, of_workers: Mapping[str, WorkerKeys]) -> RunClock | None:
        """Wait for the workers and place the load; None if the run was stopped before."""
        master, plan, listen = self.master, self.plan, self.options.listen
        assert master is not None
        if listen is None:
            for seat in seats(plan.regions):
                self.workers[seat.worker] = start_worker(
                    seat,
                    of_workers[seat.worker],
                    url,
                    master.orders.fault_proxy,
                    master.port,
                    self.folder,
                    self.options,
                )
            patience_us, say = plan.join_timeout_us, None
            patience_s = JOIN_S if patience_us is None else patience_us / 1e6
        else:
            planned, say = len(seats(plan.regions)), listen.say
            patience_s = join_timeout_us(plan) / 1e6
            say(f"waiting for {planned} worker{'s'[: planned != 1]} at {listen.host}:{master.port}")
        await_workers(plan, master.load.membership, self.workers, self.folder, self.stop, patience_s, say)
        if self.web is not None:
            try:
                self.web.await_start(self.stop)
            except NotStartedError:
                master.dismiss()
                self.never_started = True
                raise
        if self.stop.by is not None:
            return None
        clock = RunClock(time.monotonic_ns() + int(HEAD_START_S * 1e9))
        master.begin_load(clock)
        return clock

    def _take_up(self) -> RunClock:
        """Go on where the master of this run folder was killed."""
        assert self.master is not None
        assert self.remembered is not None
        clock = RunClock(self.remembered.start_ns)
        if isinstance(self.plan.load, EditedLoad):
            self.plan.load.edits += self.remembered.edits
            if self.searching is not None:
                self.searching.remember(self.folder.manifest["search"])
        self.master.take_up(clock, self.remembered)
        self.folder.event(clock.now_us(), "master_back", "the master was started anew, and goes on")
        return clock

    def _write_beginning(self, url: str) -> None:
        """What is known before the load; UsageError if the target does not answer as it must."""
        plan, folder = self.plan, self.folder
        health = preflight(url, self.suite.expected_health(plan.scenarios))
        folder.plan.write_text(dump_plan(plan), encoding="utf-8")
        notes = () if self.options.smoke else self.prometheus.check()
        for note in (*self.options.notes, *health.notes, *notes):
            folder.event(None, "note", note)
        folder.write_manifest(
            **manifest.beginning(
                self.run,
                plan,
                plan_digest(folder.plan),
                self.suite.sha256,
                url,
                health,
                smoke=self.options.smoke,
            )
        )

    def clear(self) -> None:
        """Leave nothing behind: processes, sockets, signal handlers, the workers' own journals if copied."""
        if self.metrics is not None:
            self.metrics.close()
        self.faults.close()
        for child in self.workers.values():
            child.cut_lifeline()
        for child in self.workers.values():
            child.end(2.0)
        if self.target is not None:
            self.target.end(5.0)
        if self.wishes is not None:
            self.wishes.close()
        if self.master is not None:
            self.master.finish()
        if self.shared is not None:
            self.shared.close()
        if self.complete:
            shutil.rmtree(self.folder.worker_journals, ignore_errors=True)
        self.folder.close()
        if self.never_started or (self.master is None and self.remembered is None):
            # Nothing was run: an empty run folder would only be in the way.
            shutil.rmtree(self.folder.path, ignore_errors=True)

    def _reach_target(self) -> str:
        if self.plan.target != EMBEDDED:
            return self.plan.target
        self.target, url = target_service.start_embedded(self.folder.log)
        return url

    def _processes(self, url: str) -> dict[str, list[int]]:
        """What is sampled: the roots of the process trees of generator and, where it is local, target."""
        processes = {}
        if self.workers:
            processes["generator"] = [child.process.pid for child in self.workers.values()]
        pid = self.target.process.pid if self.target is not None else target_service.local_pid(url)
        if pid is not None:
            processes["target"] = self.faults.processes or [pid]
        return processes

    def _close(self, clock: RunClock, url: str) -> Ended:
        assert self.master is not None
        # A signal from here on stops no load: compose sends one as soon as the first worker has left.
        stop = replace(self.stop)
        if self.web is not None:
            self.web.over()
        self.faults.finish()
        counts, why_not = target_service.counts(url, self.run)
        if not is_counting(self.plan):
            counts, why_not = None, "the target was killed in the course of the run, and its count with it"
        self.master.dismiss()
        self.complete = self.master.roster.secure_copies()
        self.folder.write_manifest(
            **manifest.ending(
                self.master,
                clock,
                stop,
                Absences() if self.watch is None else self.watch.quorum_lost,
                [] if self.watch is None else self.watch.guards.tripped,
                counts,
                why_not,
                target_is_ours=self.target is not None and is_counting(self.plan),
            )
        )
        if self.metrics is not None:
            self.metrics.linger(self.stop.asked)
        return Ended(self.folder.path, stop, self.complete)

    def _hear(self, seat: Seat, interval: Interval) -> None:
        self.trouble.add(seat, interval)
        if self.searching is not None:
            self.searching.add(seat, interval)
        if self.metrics is not None:
            self.metrics.add(seat, interval)
        if self.web is not None:
            self.web.add(seat, interval)

    def _now_us(self) -> int | None:
        """Run time; None before it begins."""
        return None if self.master is None else self.master.load.now_us

    def _sampled(self, at_us: int, name: str, value: float) -> None:
        self.trouble.sample(at_us, name, value)
        if self.searching is not None:
            self.searching.sample(at_us, name, value)
        if self.watch is not None:
            self.watch.guards.sample(at_us, name, value)

    def _show(self, view: View) -> None:
        if self.show(view) and self.wishes is not None:
            self.wishes.obey(StopRequest("a key in the terminal", "", at_once=False))

    def _edit_users(self, users: int, who: str) -> str:
        """What is said to who wants so many users; ValueError says why not."""
        if self.master is None or self.stop.by is not None:
            raise ValueError("users can be edited while the load goes on, and it does not")
        return edit_users(self.plan, self.master.load, self.folder, users, who)


def _serve(host: str, port: int, keys: MasterKeys) -> Server:
    try:
        return Server(host, port, keys)
    except RPCError as error:
        raise UsageError(f"{error}; name another with --bind or --port") from error
