"""Serves a run's live metrics to Prometheus, until it has seen the end of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from gevent.pywsgi import WSGIServer

from distributed.hosts import is_loopback
from distributed.placement import seats
from loadproof.errors import UsageError
from loadproof.plan.profile import phase_at, users_at
from monitoring.application import Application
from monitoring.exporter import Exporter
from monitoring.look import Look, RunState

if TYPE_CHECKING:
    from gevent.event import Event

    from distributed.master import Master
    from distributed.placement import Seat
    from distributed.trouble import Trouble
    from distributed.watch import Watch
    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

LAST_SCRAPES: Final = 3
LINGER_S: Final = 15.0
CONNECTIONS: Final = 20


@dataclass(frozen=True)
class MetricsAddress:
    """Where to serve metrics; off loopback only to who has the token."""

    host: str
    port: int
    token: str | None = None


class MetricsServer:
    """Bound when it is made, so that a run that cannot be watched as asked does not begin.

    UsageError where the address is taken, or off loopback without a token.
    """

    def __init__(self, address: MetricsAddress, plan: Plan, run: str, trouble: Trouble) -> None:
        where = f"{address.host}:{address.port}"
        if address.token is None and not is_loopback(address.host):
            raise UsageError(f"metrics at {where} would be open to the network: give a token, or 127.0.0.1")
        self._plan = plan
        self._trouble = trouble
        self._master: Master | None = None
        self.watch: Watch | None = None
        """What looks after the run, once the load begins."""
        self._ended = False
        planned = {seat.worker: seat.region for seat in seats(plan.regions)}
        self.exporter = Exporter(plan, run, planned, self._look)
        self._application = Application(self.exporter, address.token)
        self._server = WSGIServer(
            (address.host, address.port), self._application, log=None, error_log=None, spawn=CONNECTIONS
        )
        try:
            self._server.start()
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {where}: {error.strerror}; name another address"
            ) from error
        self.port: int = self._server.server_port

    def follow(self, master: Master) -> None:
        """Tell of this master's run from now on."""
        self._master = master

    def add(self, seat: Seat, interval: Interval) -> None:
        """One second of a worker of the plan."""
        self.exporter.add(seat.worker, interval)

    def linger(self, asked: Event) -> None:
        """Return when the ended run was scraped three times, after 15 s, or when somebody asks; at once if nobody ever came."""
        self._ended = True
        before = self._application.scrapes
        until = time.monotonic() + LINGER_S
        while before and self._application.scrapes < before + LAST_SCRAPES and time.monotonic() < until:
            if asked.wait(timeout=0.1):
                return

    def close(self) -> None:
        self._server.stop(timeout=1)

    def _look(self) -> Look:
        master, plan = self._master, self._plan
        clock = None if master is None else master.load.clock
        if master is None or clock is None:
            return Look(RunState.WAITING, 0)
        since_us = clock.now_us()
        if self._ended:
            state = RunState.ENDED
        elif since_us < 0:
            state = RunState.WAITING
        else:
            state = RunState.DRAINING if master.state == "stopping" else RunState.RUNNING
        now_us = max(0, since_us)
        phase = phase_at(plan.load, now_us)
        nodes = {seat.worker: master.clients.get(seat.worker) for seat in master.roster.at_work()}
        return Look(
            state,
            now_us,
            phase=None if phase is None else phase.name,
            users_planned=users_at(plan.load, now_us),
            workers={
                worker: "running" if node is None else str(node.state) for worker, node in nodes.items()
            },
            # 0 until a worker has measured it for the first time.
            memory={
                worker: node.memory_usage for worker, node in nodes.items() if node and node.memory_usage
            },
            addresses={
                worker: plain(address)
                for worker, address in master.server.addresses.items()
                if worker in nodes
            },
            torn=sum(admitted.lost is not None for admitted in master.roster.epochs),
            rules=self._trouble.results,
            faults=frozenset() if self.watch is None else self.watch.faults.open,
            guards=frozenset(
                (trip.guard, trip.level) for trip in (() if self.watch is None else self.watch.guards.tripped)
            ),
        )


def plain(address: str) -> str:
    """An IPv4 address as such, also where a socket for both kinds writes it as one of IPv6."""
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
