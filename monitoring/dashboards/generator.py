"""Is the generator fit? Where it is not, the numbers are partly its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards.panels import BLUE, GREEN, LIMIT, ORANGE, RED, Query, figure, graph, states
from monitoring.dashboards.queries import OF_REGION, RUN, latency, now, of_run, per_second

if TYPE_CHECKING:
    from monitoring.dashboards.panels import Panel

TITLE = "loadproof: workers and generator"
DESCRIPTION = "Whether workers are there, report every second and keep up with their own load."

WORKER = "{{worker}}"
BUSY = 0.9
"""Of a core: from here on the judge warns."""
LONG_SECOND_S = 2
"""From here on the judge calls the generator saturated."""


def panels() -> list[Panel]:
    return [*_there(), *_fit(), *_work()]


def _there() -> list[Panel]:
    return [
        figure(
            "Workers up",
            "Those that carry load, or did to the end, beside those that the plan asks for.",
            "short",
            Query(now(f"loadproof_worker_up{{{OF_REGION}}}"), "up"),
            Query(now(f"loadproof_workers_planned{{{OF_REGION}}}"), "planned"),
            width=6,
        ),
        figure(
            "Seconds missing",
            "Reports between a worker's first and latest that have not come. Late ones are asked for again; what is still "
            "missing at the end makes the run INVALID.",
            "short",
            Query(now(f"loadproof_intervals_missing{{{OF_REGION}}}")),
            width=6,
            colours={None: GREEN, 1: ORANGE},
            decimals=0,
        ),
        figure(
            "Longest silence",
            "Run time since the end of the latest second that a worker has reported.",
            "s",
            Query(now(f"loadproof_worker_silence_seconds{{{OF_REGION}}}", fold="max")),
            width=6,
            colours={None: GREEN, 10: RED},
            decimals=1,
        ),
        figure(
            "Lag against its limit",
            "The worst worker's P99 of pacer or receive lag in the latest second, as a share of the lag from which on it "
            "is saturated.",
            "percentunit",
            Query(
                f"max({now('loadproof_worker_pacer_lag_p99_seconds', fold='max')} or "
                f"{now('loadproof_worker_receive_lag_p99_seconds', fold='max')})"
                f" / {now('loadproof_generator_lag_limit_seconds', fold='max')}"
            ),
            width=6,
            colours={None: GREEN, 1: RED},
            sparkline=True,
        ),
        states(
            "Workers",
            "When each was there.",
            Query(now(f"loadproof_worker_up{{{OF_REGION}}}", "worker", "max"), WORKER),
            {1: ("up", GREEN), 0: ("away", RED)},
        ),
        graph(
            "Silence",
            "Run time since the end of the latest second that each worker has reported: about a second when all is well.",
            "s",
            Query(now(f"loadproof_worker_silence_seconds{{{OF_REGION}}}", "worker", "max"), WORKER),
        ),
    ]


def _fit() -> list[Panel]:
    lag_limit = Query(now("loadproof_generator_lag_limit_seconds", fold="max"), f"{LIMIT}: saturated above")
    return [
        graph(
            "Pacer lag, P99",
            "How late the workers' own timers ran, of each latest second.",
            "s",
            Query(now(f"loadproof_worker_pacer_lag_p99_seconds{{{OF_REGION}}}", "worker", "max"), WORKER),
            lag_limit,
            log=True,
        ),
        graph(
            "Receive lag, P99",
            "From the kernel's receipt of an answer until its user saw it, of each latest second.",
            "s",
            Query(now(f"loadproof_worker_receive_lag_p99_seconds{{{OF_REGION}}}", "worker", "max"), WORKER),
            lag_limit,
            log=True,
        ),
        graph(
            "CPU of the workers",
            "Share of a core. A worker is one thread: from 90 % on the run is WARN at best.",
            "percentunit",
            Query(now(f"loadproof_worker_cpu_ratio{{{OF_REGION}}}", "worker", "max"), WORKER),
            most=1.1,
            drawn_limit=BUSY,
        ),
        graph(
            "Memory of the workers",
            "Resident memory, as the latest heartbeat said.",
            "bytes",
            Query(now(f"loadproof_worker_memory_bytes{{{OF_REGION}}}", "worker", "max"), WORKER),
        ),
        graph(
            "Length of a second",
            "True length of the latest second. One of more than two seconds means a worker that stood still.",
            "s",
            Query(now(f"loadproof_interval_length_seconds{{{OF_REGION}}}", "worker", "max"), WORKER),
            drawn_limit=LONG_SECOND_S,
        ),
        graph(
            "Time that was taken from the workers",
            "By a CPU quota (throttled), or by other tenants of the machine (stolen), in each second. Where the system does "
            "not tell, there is no line.",
            "s",
            Query(
                per_second(f"loadproof_worker_throttled_seconds_total{{{OF_REGION}}}", "worker"),
                f"{WORKER} throttled",
            ),
            Query(
                per_second(f"loadproof_worker_steal_seconds_total{{{OF_REGION}}}", "worker"),
                f"{WORKER} stolen",
            ),
        ),
    ]


def _work() -> list[Panel]:
    waits = f"rate(loadproof_user_wait_seconds_bucket{{{OF_REGION}}}[$__rate_interval])"
    return [
        graph(
            "Requests begun a second",
            "By region, beside those that ended. More begun than ended is a target that falls behind.",
            "reqps",
            Query(
                per_second(f"loadproof_requests_started_total{{{OF_REGION}}}", "region"), "{{region}} begun"
            ),
            Query(
                per_second(f"loadproof_request_duration_seconds_count{{{OF_REGION}}}", "region"),
                "{{region}} ended",
            ),
        ),
        graph(
            "Starts of an open plan",
            "Arrivals a second: taken by a user, dropped as no user was free (the target's doing), or dropped as our own timer "
            "was late. A closed plan has none.",
            "ops",
            Query(per_second(f"loadproof_arrivals_total{{{OF_REGION}}}", "fate"), "{{fate}}"),
            colours={"taken": GREEN, "no_user": ORANGE, "late": RED},
        ),
        graph(
            "Wait for a free user",
            "The chosen percentile of the time from a start's turn until a user was free. Of an open plan.",
            "s",
            Query(f"histogram_quantile($quantile, sum by (region, le) ({of_run(waits)}))", "{{region}}"),
        ),
        graph(
            "Exceptions, and labels that overflow",
            "Exceptions that left a task, and figures counted as `other` as their label had too many values, a second.",
            "ops",
            Query(
                per_second(f"loadproof_task_errors_total{{{OF_REGION}}}", "region"), "{{region}} exceptions"
            ),
            Query(per_second("loadproof_label_overflow_total", "label"), "{{label}} overflows"),
        ),
        graph(
            "P99 of ok requests, by worker's region",
            "Beside the lags above: where these are near it, latencies are partly the generator's.",
            "s",
            Query(latency("0.99", "region"), "{{region}}"),
            log=True,
        ),
        graph(
            "Scrapes of the master",
            "How long a scrape takes, as Prometheus sees it.",
            "s",
            Query(f"max(scrape_duration_seconds and on (job, instance) {RUN})", "duration"),
            colours={"duration": BLUE},
        ),
    ]
