"""Exporters of made-up runs, and what a scrape of them says."""

from __future__ import annotations

from judging import phase, plan_of
from prometheus_client.parser import text_string_to_metric_families

from loadproof.plan.model import Fault, Guard, Region
from monitoring.application import Application
from monitoring.exporter import Exporter
from monitoring.look import Look, RunState

RULES = ("p95 <= 2s", "p99 <= 5s", "max <= 1ms", "check(compliance) >= 95%")
"""Their limits are those of `measuring.LIMITS_US`."""
REGIONS = (Region(name="eu-west-1", workers=2), Region(name="us-east-1"))
FAULTS = (
    Fault(kind="pause", name="frozen", at_us=20_000_000, for_us=5_000_000),
    Fault(kind="latency", name="far", at_us=30_000_000, for_us=5_000_000),
)
GUARDS = (Guard(name="memory", warn=1, stop=2), Guard(name="duration", stop=100))
PLANNED = {"eu-west-1-01": "eu-west-1", "eu-west-1-02": "eu-west-1", "us-east-1-01": "us-east-1"}
UP = dict.fromkeys(PLANNED, "running")


def look(at_s=60, *, state=RunState.RUNNING, up=UP, **more):
    return Look(
        state, round(at_s * 1_000_000), **{"phase": "steady", "users_planned": 9, "workers": up, **more}
    )


def exporter_of(*seconds, seen=None):
    """An exporter that was given (worker, interval)s, and is told to `seen` when it is scraped."""
    plan = plan_of(*RULES, load=(phase("ramp", 10), phase("steady", 50)), regions=REGIONS).model_copy(
        update={"faults": FAULTS, "guards": GUARDS}
    )
    told = seen or look()
    exporter = Exporter(plan, "judged-1", PLANNED, told if callable(told) else lambda: told)
    for worker, interval in seconds:
        exporter.add(worker, interval)
    return exporter


def scrape(application, accept=None, path="/metrics", method="GET", authorization=None, query=""):
    """Status, headers and body, as a WSGI server would send them."""
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": query}
    if accept is not None:
        environ["HTTP_ACCEPT"] = accept
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    said = []
    body = b"".join(application(environ, lambda status, headers: said.append((status, dict(headers)))))
    return *said[0], body


def samples(exporter):
    """Sample name and labels as (label, value) pairs -> value, read with the library's parser."""
    body = scrape(Application(exporter))[2].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def value(found, sample, /, **labels):
    """None where there is no such sample."""
    return found.get((sample, frozenset(labels.items())))


def total(found, sample, /, **labels):
    """The sum over all samples of that name that have these labels."""
    return sum(
        number for (one, pairs), number in found.items() if one == sample and set(labels.items()) <= pairs
    )
