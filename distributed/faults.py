"""The faults of a run as its master sees them: what they need before the load, their keeper, what is open now."""

from __future__ import annotations

import json
import logging
import secrets
import signal
import subprocess
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

import gevent

from distributed import target_service
from distributed.messages import FaultProxy
from distributed.processes import Child, start_child, tail
from loadproof.client.origin import PORTS
from loadproof.errors import RunFolderError, TargetError, UsageError
from loadproof.faults.fault import Fault, FaultError
from loadproof.faults.kinds import Parts, make
from loadproof.faults.state import State
from loadproof.faults.switch import switches
from loadproof.faults.way import Orders
from loadproof.plan.faults import OF_TARGET, PROXIED, RESTARTING, settings_text, switches_of
from loadproof.plan.node import did_you_mean
from loadproof.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed.clock import RunClock
    from distributed.run_folder import RunFolder
    from loadproof.plan.model import Plan

logger = logging.getLogger(__name__)

STATE: Final = "faults.json"
KEEPERS: Final = 3
"""Keepers of one run: when so many have died, something is wrong that another does not mend."""
END_S: Final = 60.0
"""How long faults may take to end when the run does: a command has its own time, tried again."""


class Faults:
    """Nothing happens for a plan without any."""

    def __init__(self, plan: Plan, folder: RunFolder) -> None:
        self._plan = plan
        self._folder = folder
        self._kinds = {fault.kind for fault in plan.faults}
        self._proxy: Child | None = None
        self._orders: str | None = None
        self._target = ""
        self._pids: list[int] = []
        self._restart: list[str] = []
        self._clock: RunClock | None = None
        self._keepers: list[Child] = []
        self._reader: Any = None
        self._told = False
        self._noted: set[tuple[str, str, str]] = set()
        """Kind, who, and of a failure its text: a fault can fail to begin, and then to be reverted."""
        self._open: dict[str, int] = {}
        """Name -> run time at which it will end."""
        self.unwritable: RunFolderError | None = None

    def prepare(self, url: str, target: Child | None, listen: tuple[str, int] | None) -> FaultProxy | None:
        """What workers dial in the target's place, if anything; UsageError before any load where a fault could not be made.

        `target` is the one that the run has started itself. `listen` is where the workers can reach a proxy of ours,
        at a free port for 0; None where they reach none.
        """
        if not self._kinds:
            return None
        self._target = url
        if target is not None:
            self._pids = [target.process.pid]
            port = urllib.parse.urlsplit(url).port
            command = target_service.command(port or 0)
            self._restart = [sys.executable, *command]
        elif self._kinds & OF_TARGET:
            self._pids = target_service.local_pids(url)
        self._check(url)
        if not self._kinds & PROXIED:
            return None
        known = self._folder.manifest.get("fault_proxy")
        if known is not None:
            # The master of this run was killed, and its workers know no other address.
            listen = known["host"], known["port"]
        if listen is None:
            raise UsageError(
                f"the faults {', '.join(sorted(self._kinds & PROXIED))} are made by a proxy on this machine, which workers "
                "elsewhere must reach: name its address with --fault-proxy HOST[:PORT]"
            )
        return self._start_proxy(url, *listen)

    def _check(self, url: str) -> None:
        try:
            known = switches(url) if any(map(switches_of, self._plan.faults)) else {}
        except FaultError as error:
            raise TargetError(f"a fault of the plan cannot be made: {error}") from None
        for fault in self._plan.faults:
            for name in switches_of(fault):
                if name not in known:
                    hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
                    raise TargetError(f"the fault {fault.name}: the target has no switch {name}; {hint}")
        self._rehearse(url)

    def _rehearse(self, url: str) -> None:
        """What each would need is asked for now, which changes nothing; not where this run has begun it already."""
        try:
            state = State(str(self._folder.path / STATE))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"what this run has left open cannot be read: {self._folder.path / STATE}: {error}"
            ) from error
        parts = Parts(url, tuple(self._pids), tuple(self._restart), Orders(None), -1, lambda _: None)
        for planned in self._plan.faults:
            if planned.kind in PROXIED or state.of(planned.name) is not None:
                continue
            fault = Fault(**planned.model_dump())
            try:
                make(fault, parts).prepare()
            except (FaultError, OSError) as error:
                raise TargetError(f"the fault {fault.name} cannot be made: {error}") from None

    def _start_proxy(self, url: str, host: str, port: int) -> FaultProxy:
        parts = urllib.parse.urlsplit(url)
        self._orders = f"loadproof-{secrets.token_hex(16)}"
        where = ("--host", parts.hostname or "", "--port", str(parts.port or PORTS[parts.scheme]))
        listen = ("--listen-host", host, "--listen-port", str(port))
        child = self._proxy = start_child(
            "proxy",
            "loadproof.faults.proxy",
            [*where, *listen, "--orders", self._orders, "--seed", str(self._plan.seed or 0)],
            log=self._folder.log,
            stdout=subprocess.PIPE,
        )
        try:
            told = json.loads(target_service.first_line(child))
        except (ValueError, TargetError) as error:
            raise TargetError(
                f"the proxy before the target did not start: {error}\n{tail(self._folder.log)}"
            ) from error
        if "error" in told:
            raise UsageError(
                f"the proxy for the faults cannot listen at {host}:{port}: {told['error']}; name an address of this "
                "machine with --fault-proxy"
            )
        proxy = FaultProxy(host, told["port"])
        self._folder.write_manifest(fault_proxy={"host": proxy.host, "port": proxy.port})
        text = f"workers dial a proxy at {proxy} in place of {url}, for the plan's faults"
        self._folder.event(None, "note", text)
        return proxy

    def remember(self, events: Sequence[dict[str, Any]]) -> None:
        """Know what the master of this run, that was killed, has noted."""
        self._noted |= {_key(event["kind"], str(event["who"]), event["text"]) for event in events}

    def start(self, clock: RunClock) -> None:
        """Begin to keep them on the run's clock."""
        if self._kinds:
            self._clock = clock
            self._reader = gevent.spawn(self._keep)

    def _keep(self) -> None:
        """Hear one keeper after the other, until one has ended in order."""
        while True:
            keeper = self._start_keeper()
            self._hear(keeper)
            status = keeper.process.wait()
            if status == 0:
                return
            if self._told and status == -signal.SIGTERM:
                # It was told before it could listen.
                continue
            how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
            self._note(None, "keeper_lost", f"the keeper of the faults was {how}", str(len(self._keepers)))
            if len(self._keepers) == KEEPERS:
                self._fail_the_rest(f"{KEEPERS} keepers died; {self._folder.path / STATE} says what is open")
                return

    def _start_keeper(self) -> Child:
        assert self._clock is not None
        brief = {
            "start_ns": self._clock.start_ns,
            "seed": self._plan.seed or 0,
            "state": str(self._folder.path / STATE),
            "target": self._target,
            "pids": self._pids,
            "restart": self._restart,
            "proxy": self._orders,
            "told": self._told,
            "faults": [fault.model_dump() for fault in self._plan.faults],
        }
        keeper = start_child(
            "keeper",
            "loadproof.faults.keeper",
            [],
            log=self._folder.log,
            stdout=subprocess.PIPE,
            documents={"--brief": json.dumps(brief).encode()},
        )
        self._keepers.append(keeper)
        return keeper

    def _hear(self, keeper: Child) -> None:
        assert keeper.process.stdout is not None
        for told in keeper.process.stdout:
            if not told.endswith(b"\n"):
                # Half a line of one that was killed.
                break
            line = json.loads(told)
            if line["kind"] == "target_restarted":
                # In place: the sampler of resources looks at the same list.
                self._pids[:] = [line["pid"]]
                continue
            who = line["who"]
            fault = next(fault for fault in self._plan.faults if fault.name == who)
            if line["kind"] == "fault_begins":
                self._open[who] = fault.until_us
            elif line["kind"] == "fault_ends":
                self._open.pop(who, None)
            what = " ".join(filter(None, (fault.kind, settings_text(fault))))
            text = f"{what}: {line['text']}" if line["text"] else what
            self._note(line["at_us"], line["kind"], text, who)

    def _note(self, at_us: int | None, kind: str, text: str, who: str) -> None:
        """Once: a keeper repeats what its predecessor may not have told."""
        if _key(kind, who, text) in self._noted:
            return
        self._noted.add(_key(kind, who, text))
        if at_us is None and self._clock is not None:
            at_us = self._clock.now_us()
        try:
            self._folder.event(at_us, kind, text, who)
        except RunFolderError as error:
            self.unwritable = error

    def _fail_the_rest(self, why: str) -> None:
        for fault in self._plan.faults:
            if _key("fault_ends", fault.name, "") not in self._noted:
                self._note(None, "fault_failed", why, fault.name)

    @property
    def processes(self) -> list[int] | None:
        """Those of the target, where a fault may put others in their place."""
        return self._pids if self._kinds & RESTARTING else None

    @property
    def open(self) -> frozenset[str]:
        """The names of those that are open now."""
        return frozenset(self._open)

    def lines(self) -> tuple[str, ...]:
        """One for each that is open now."""
        now_us = 0 if self._clock is None else self._clock.now_us()
        return tuple(
            f"{name}, {format_duration(max(0, until_us - now_us))} left"
            for name, until_us in self._open.items()
        )

    def notice_proxy(self) -> None:
        """Note it when the proxy has died: no worker reaches the target any more."""
        if self._proxy is not None and not self._proxy.running() and not self._told:
            self._note(None, "fault_failed", "the proxy before the target has died", "proxy")

    def revert(self) -> None:
        """End all that are open, at once, and begin no other; returns before they have ended."""
        if self._told or self._reader is None:
            return
        self._told = True
        for keeper in self._keepers[-1:]:
            if keeper.running():
                keeper.process.send_signal(signal.SIGTERM)

    def finish(self) -> None:
        """Wait until every fault has ended."""
        if self._reader is None:
            return
        self.revert()
        self._reader.join(timeout=END_S)
        if not self._reader.dead:
            self._reader.kill()
            self._fail_the_rest(f"it had not ended {END_S:.0f} s after the run")

    def close(self) -> None:
        """Leave no process behind; a keeper ends its faults before it goes, and a restarted target with its lifeline."""
        for keeper in self._keepers:
            keeper.cut_lifeline()
        for keeper in self._keepers:
            keeper.end(END_S)
        if self._reader is not None:
            self._reader.kill()
        if self._proxy is not None:
            self._proxy.end(2.0)


def _key(kind: str, who: str, text: str) -> tuple[str, str, str]:
    return kind, who, text if kind == "fault_failed" else ""


def is_counting(plan: Plan) -> bool:
    """Whether the target's count lives as long as the run."""
    return all(fault.kind not in RESTARTING for fault in plan.faults)
