"""The exporter: a run's live numbers for Prometheus, folded from its workers' intervals.

It opens no socket: the master adds what it hears, and serves the application where it likes.
"""

from __future__ import annotations

import itertools
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from loadproof.plan.guards import each_side
from loadproof.verdict.generator import lag_limit_us
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from monitoring.families import Families
from monitoring.labels import Labels
from monitoring.locust_totals import LocustTotals
from monitoring.look import Look, RunState
from monitoring.rule_families import collect_rules
from monitoring.totals import Totals
from monitoring.verdict_so_far import WORST_FIRST, verdict_so_far
from monitoring.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan


class Exporter:
    """Of one run. `planned` are worker -> region; `look` tells of the run when a scrape comes."""

    def __init__(self, plan: Plan, run: str, planned: Mapping[str, str], look: Callable[[], Look]) -> None:
        rules = [parse_rule(rule.text) for rule in plan.rules]
        self._plan = plan
        self._look = look
        self._lag_limit_us = int(lag_limit_us(rules))
        suite = plan.suite or plan.locustfile or ""
        self._run = (run, plan.name, suite, plan.target, version("loadproof"))
        labels = Labels()
        self._totals = Totals(latency_limits_us(rules), self._lag_limit_us, labels)
        self._workers = Workers(planned, labels)
        self._locust = LocustTotals(labels)

    def add(self, worker: str, interval: Interval) -> None:
        """One second of one worker, in any order, each once; it stays as it is.

        KeyError for a worker that the plan does not have, ValueError for other limits than the plan's: nothing is added.
        """
        self._totals.add(self._workers.region(worker), interval)
        self._workers.add(worker, interval)
        self._locust.add(interval)

    def collect(self) -> Iterator[Metric]:
        """All families that have something to tell; what `prometheus_client` calls for a scrape."""
        look = self._look()
        up = look.workers or {}
        families = Families()
        self._collect_run(families, look)
        self._totals.collect(families)
        self._workers.collect(families, look)
        collect_rules(families, look.rules)
        self._collect_verdict(families, look)
        families.add("locust_up", 1)
        families.add("locust_running", int(look.state is RunState.RUNNING))
        self._workers.collect_locust(families, up)
        self._locust.collect(families, look.at_us)
        yield from families

    def discovered(self, port: int) -> list[dict[str, Any]]:
        """The hosts of the workers that are up, each at this port, as Prometheus' HTTP service discovery reads them."""
        return self._workers.discovered(self._look().addresses or {}, port)

    def _collect_verdict(self, families: Families, look: Look) -> None:
        worst = verdict_so_far(look.rules, look.torn, self._plan.tolerate.torn_epochs)
        if worst is not None:
            for verdict in WORST_FIRST:
                families.add("loadproof_verdict_so_far", int(verdict == worst), verdict)

    def _collect_run(self, families: Families, look: Look) -> None:
        families.add("loadproof_run_info", 1, *self._run)
        for state in RunState:
            families.add("loadproof_run_state", int(look.state is state), state.value)
        families.add("loadproof_run_time_seconds", look.at_us / 1e6)
        families.add("loadproof_run_planned_seconds", self._plan.duration_us / 1e6)
        for phase in self._plan.load:
            families.add("loadproof_phase", int(phase.name == look.phase), phase.name)
        for fault in self._plan.faults:
            families.add("loadproof_fault", int(fault.name in look.faults), fault.name, fault.kind)
        for guard in itertools.chain.from_iterable(map(each_side, self._plan.guards)):
            for level in ("warn", "stop"):
                if getattr(guard, level) is not None:
                    reached = (guard.name, level) in look.guards
                    families.add("loadproof_guard", int(reached), guard.name, level)
        families.add("loadproof_users_planned", look.users_planned)
        families.add("loadproof_generator_lag_limit_seconds", self._lag_limit_us / 1e6)
