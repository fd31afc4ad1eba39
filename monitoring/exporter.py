"""The exporter: a run's live numbers for Prometheus, folded from its workers' intervals.

It opens no socket: the master adds what it hears, and serves `application` where it likes.
"""

from __future__ import annotations

import hmac
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from loadproof.verdict.generator import lag_limit_us
from loadproof.verdict.grammar import latency_limits_us, parse_rule
from monitoring.exposition import content_type, exposition
from monitoring.families import Families
from monitoring.labels import Labels
from monitoring.locust_totals import LocustTotals
from monitoring.look import Look, RunState
from monitoring.rule_families import collect_rules
from monitoring.totals import Totals
from monitoring.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from loadproof.measure.interval import Interval
    from loadproof.plan.model import Plan

PATH: Final = "/metrics"


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
        self._workers.collect(families, look.at_us, up)
        collect_rules(families, look.rules)
        families.add("locust_up", 1)
        families.add("locust_running", int(look.state is RunState.RUNNING))
        self._workers.collect_locust(families, up)
        self._locust.collect(families, look.at_us)
        yield from families

    def _collect_run(self, families: Families, look: Look) -> None:
        families.add("loadproof_run_info", 1, *self._run)
        for state in RunState:
            families.add("loadproof_run_state", int(look.state is state), state.value)
        families.add("loadproof_run_time_seconds", look.at_us / 1e6)
        families.add("loadproof_run_planned_seconds", self._plan.duration_us / 1e6)
        for phase in self._plan.load:
            families.add("loadproof_phase", int(phase.name == look.phase), phase.name)
        families.add("loadproof_users_planned", look.users_planned)
        families.add("loadproof_generator_lag_limit_seconds", self._lag_limit_us / 1e6)


class Application:
    """WSGI: `GET /metrics` in the classic format or in OpenMetrics, as the scraper asks.

    With a token it answers only who sends it as `Authorization: Bearer`.
    """

    def __init__(self, exporter: Exporter, token: str | None = None) -> None:
        self._exporter = exporter
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self.scrapes = 0
        """How many were answered in full."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return _refuse(start_response, "404 Not Found", f"metrics are at {PATH}\n")
        if environ.get("REQUEST_METHOD") != "GET":
            return _refuse(start_response, "405 Method Not Allowed", "use GET\n", ("Allow", "GET"))
        said = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if self._authorization is not None and not hmac.compare_digest(said, self._authorization):
            return _refuse(
                start_response,
                "401 Unauthorized",
                "send the token of this run as Authorization: Bearer\n",
                ("WWW-Authenticate", "Bearer"),
            )
        kind = content_type(environ.get("HTTP_ACCEPT"))
        # Not compressed: that would cost more than it saves on a scrape's short way.
        body = exposition(self._exporter.collect(), kind)
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        self.scrapes += 1
        return [body]


def _refuse(
    start_response: Callable[..., Any], status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
    return [text.encode()]
