"""The one table of what the exporter serves: name, type, labels, unit and meaning of every metric.

Names are Prometheus' own: base units (seconds, bytes, ratios), `_total` for counters, `_info` for what only labels tell.
The `locust_*` names are those that dashboards for Locust already ask for; their unit is the millisecond, as Locust's is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client.metrics_core import Metric


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


_SUFFIX: Final = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
_UNITS: Final = ("seconds", "bytes", "ratio")


@dataclass(frozen=True)
class Described:
    """One metric; `name` is that of its samples, of a histogram without `_bucket`, `_count`, `_sum`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    @property
    def unit(self) -> str:
        """What the name says: `seconds`, `bytes`, `ratio`, or nothing for a plain number."""
        return next((unit for unit in _UNITS if self._family.endswith(f"_{unit}")), "")

    def family(self) -> Metric:
        """An empty family of it, to add samples to."""
        return Metric(self._family, self.help, self.kind.value, self.unit)

    @property
    def _family(self) -> str:
        return self.name.removesuffix(_SUFFIX.get(self.kind, ""))


def _counter(name: str, labels: str, text: str) -> Described:
    return Described(name, Kind.COUNTER, tuple(labels.split()), text)


def _gauge(name: str, labels: str, text: str) -> Described:
    return Described(name, Kind.GAUGE, tuple(labels.split()), text)


def _histogram(name: str, labels: str, text: str) -> Described:
    return Described(name, Kind.HISTOGRAM, tuple(labels.split()), text)


TABLE: Final = (
    Described(
        "loadproof_run_info",
        Kind.INFO,
        ("run", "plan", "suite", "target", "version"),
        "The run that is told of.",
    ),
    _gauge("loadproof_run_state", "state", "1 for what the run does now: waiting, running, draining, ended."),
    _gauge("loadproof_run_time_seconds", "", "The run clock: time since the load began."),
    _gauge("loadproof_run_planned_seconds", "", "How long the plan's load lasts."),
    _gauge("loadproof_phase", "phase", "1 for the phase that the plan is in, 0 for the others."),
    _gauge("loadproof_fault", "fault kind", "1 while a fault of the plan is on, else 0."),
    _gauge(
        "loadproof_guard", "guard level", "1 once a guard of the plan has reached this level: warn or stop."
    ),
    _gauge("loadproof_users", "region scenario", "Active users, of the workers that are up."),
    _gauge("loadproof_users_planned", "", "Users of the plan at this time."),
    _histogram(
        "loadproof_request_duration_seconds",
        "region scenario name method outcome",
        "Requests that ended, and how long they took; outcome is ok, failed, timeout or unfinished.",
    ),
    _counter("loadproof_requests_started_total", "region", "Requests begun."),
    _gauge("loadproof_requests_in_flight", "region", "Requests begun and not ended."),
    _gauge("loadproof_oldest_request_seconds", "region", "Age of the oldest request in flight."),
    _counter("loadproof_received_bytes_total", "region", "Bytes of answers."),
    _counter("loadproof_sent_bytes_total", "region", "Bytes of requests."),
    _counter(
        "loadproof_arrivals_total",
        "region scenario fate",
        "Intended starts of an open plan: taken, or dropped as no_user was free or our timer was late.",
    ),
    _counter(
        "loadproof_exchanges_total",
        "region result",
        "What went over the wire, hops and retries too: answered, unanswered, unconnected.",
    ),
    _counter("loadproof_checks_total", "region scenario check result", "Checks: passed, failed, or skipped."),
    _counter(
        "loadproof_scenario_values_total",
        "scenario metric",
        "How often scenarios recorded a number of theirs.",
    ),
    _gauge(
        "loadproof_scenario_values_added",
        "scenario metric",
        "Those numbers added up, in the unit that they are recorded in; it falls where they are negative.",
    ),
    _counter("loadproof_task_errors_total", "region", "Exceptions that left a task."),
    _counter(
        "loadproof_label_overflow_total",
        "label",
        "Times that something was counted as other, as its label had too many values.",
    ),
    _gauge("loadproof_workers_planned", "region", "Workers that the plan asks for."),
    _gauge("loadproof_worker_up", "region worker", "1 for a worker that carries load or did to the end."),
    _counter("loadproof_intervals_total", "region worker", "Seconds that a worker has reported."),
    _gauge(
        "loadproof_intervals_missing",
        "region worker",
        "Seconds between a worker's first report and its latest that have not come.",
    ),
    _gauge(
        "loadproof_worker_silence_seconds",
        "region worker",
        "Run time since the end of the latest second that the worker has reported.",
    ),
    _gauge("loadproof_interval_length_seconds", "region worker", "True length of the latest second."),
    _histogram("loadproof_pacer_lag_seconds", "region", "How late the workers' own timers ran."),
    _histogram(
        "loadproof_receive_lag_seconds",
        "region",
        "From the kernel's receipt of an answer until its user saw it.",
    ),
    _histogram(
        "loadproof_user_wait_seconds", "region", "From a start's turn until a user was free; of an open plan."
    ),
    _gauge(
        "loadproof_worker_pacer_lag_p99_seconds", "region worker", "P99 of the latest second's pacer lag."
    ),
    _gauge(
        "loadproof_worker_receive_lag_p99_seconds", "region worker", "P99 of the latest second's receive lag."
    ),
    _gauge("loadproof_generator_lag_limit_seconds", "", "The lag from which on a worker is saturated."),
    _counter("loadproof_worker_cpu_seconds_total", "region worker", "CPU time of the worker's process."),
    _gauge("loadproof_worker_cpu_ratio", "region worker", "Share of a core in the latest second."),
    _gauge(
        "loadproof_worker_memory_bytes",
        "region worker",
        "Resident memory of the worker's process, as its latest heartbeat said.",
    ),
    _counter(
        "loadproof_worker_throttled_seconds_total",
        "region worker",
        "Time that a CPU quota held the worker back.",
    ),
    _counter(
        "loadproof_worker_steal_seconds_total",
        "region worker",
        "Time that other tenants took from its machine.",
    ),
    Described(
        "loadproof_rule_info",
        Kind.INFO,
        ("rule", "statistic", "argument", "selector", "operator", "unit"),
        "A rule of the plan, or one that they imply; unit is seconds, ratio, per_s, bytes or count.",
    ),
    _gauge("loadproof_rule_value", "rule", "Its value so far, in its unit."),
    _gauge("loadproof_rule_limit", "rule", "Its limit."),
    _gauge("loadproof_rule_goal", "rule end", "Its goal; end says whether it is the most or the least."),
    _gauge(
        "loadproof_rule_margin_ratio", "rule", "How far inside its limit, as a share of it; broken below 0."
    ),
    _gauge("loadproof_rule_goal_met", "rule", "1 if the value so far reaches the goal, else 0."),
    _gauge(
        "loadproof_rule_state",
        "rule state",
        "1 for how it would end now: PASS, WARN, FAIL, NO_DATA; looked at every few seconds.",
    ),
    _gauge(
        "loadproof_verdict_so_far",
        "verdict",
        "1 for the worst that is known by now: FAIL, INVALID, NO_DATA, WARN, PASS; the run's verdict comes at its end.",
    ),
    _gauge("locust_up", "", "Always 1."),
    _gauge("locust_running", "", "1 while the load goes on, else 0."),
    _gauge("locust_users", "", "Active users."),
    _gauge("locust_workers_count", "", "Workers that the plan asks for."),
    _gauge("locust_workers_running_count", "", "Workers whose state is running."),
    _gauge("locust_workers_hatching_count", "", "Workers whose state is spawning."),
    _gauge("locust_workers_missing_count", "", "Workers that are not up."),
    _gauge("locust_worker_detail", "id state", "Active users of a worker, with its state in Locust's words."),
    _gauge("locust_requests_fail_ratio", "", "Share of the answered requests that failed, since the start."),
    _gauge(
        "locust_requests_current_response_time_percentile_50",
        "",
        "Median of the last 10 s over all endpoints, in milliseconds.",
    ),
    _gauge(
        "locust_requests_current_response_time_percentile_95",
        "",
        "P95 of the last 10 s over all endpoints, in milliseconds.",
    ),
    _gauge("locust_errors", "method name error", "Occurrences of an error."),
    _gauge("locust_requests_num_requests", "method name", "Requests that the target answered, and timeouts."),
    _gauge("locust_requests_num_failures", "method name", "Those of them that failed."),
    _gauge("locust_requests_avg_response_time", "method name", "In milliseconds."),
    _gauge("locust_requests_min_response_time", "method name", "In milliseconds."),
    _gauge("locust_requests_max_response_time", "method name", "In milliseconds."),
    _gauge("locust_requests_median_response_time", "method name", "In milliseconds, rounded as Locust does."),
    _gauge("locust_requests_current_rps", "method name", "Requests a second over the last 10 s."),
    _gauge("locust_requests_current_fail_per_sec", "method name", "Failures a second over the last 10 s."),
    _gauge("locust_requests_avg_content_length", "method name", "Bytes of an answer."),
)
"""Every metric. No line sums others up: whoever adds the endpoints up gets the whole, once."""

BY_NAME: Final = {metric.name: metric for metric in TABLE}
