"""The nine panels of the CodePal elasticity test, each a section; where only a cloud has the figure, the nearest of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.dashboards.board import FIRING
from monitoring.dashboards.overview import ENDED, FAILED_SHARE, PLANNED_S, RUN_S, rules
from monitoring.dashboards.panels import (
    GREEN,
    GREY,
    LIMIT,
    ORANGE,
    OUTCOMES,
    PURPLE,
    RED,
    VERDICTS,
    Column,
    Query,
    figure,
    graph,
    rows,
    section,
    states,
    verdicts,
)
from monitoring.dashboards.queries import (
    CHOSEN,
    OF_REGION,
    REQUESTS,
    latency,
    latest,
    limits,
    now,
    of_run,
    per_second,
    recorded_mean,
    worst,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Row

    from monitoring.dashboards.panels import Panel

TITLE = "loadproof: elasticity"
DESCRIPTION = "Requirements D36 to D44; in place of what only a cloud has, the nearest true figure, named as what it is."

OK = per_second(f'{REQUESTS}_count{{{CHOSEN},outcome="ok"}}')
TARGET_CPU = "sum(rate(target_cpu_seconds_total[$__rate_interval]))"
SEVERITIES = {"invalid": 3, "fail": 2, "warn": 1}
SEVERITY_MARKS = {3: ("invalid", PURPLE), 2: ("fail", RED), 1: ("warn", ORANGE), 0: ("-", GREEN)}


def panels() -> list[Panel | Row]:
    return [
        section("D36 Autoscaling behaviour: how the target grows with the load"),
        *_scaling(),
        section("D37 Error recovery"),
        *_recovery(),
        section("D38 Latency thresholds and trend"),
        *_latency(),
        section("D39 Observability checkpoints"),
        *_observability(),
        section("D40 Coordination and its efficiency: master and workers, in place of a MetaAgent"),
        *_coordination(),
        section("D41 Scenarios beside each other, in place of agents on several platforms"),
        *_scenarios(),
        section("D42 Progress of the load test"),
        *_progress(),
        section("D43 Resources: workers and target, in place of pods"),
        *_resources(),
        section("D44 Alerts"),
        *_alerts(),
    ]


def _scaling() -> list[Panel]:
    return [
        graph(
            "Load, and server processes of the target",
            "No autoscaler is asked: the target's processes that are alive are what there is to scale, on the right.",
            "short",
            Query(now("loadproof_users"), "active users"),
            Query(now("loadproof_users_planned", fold="max"), "planned users"),
            Query("sum(target_processes)", "processes"),
            right={"processes": "short"},
        ),
        graph(
            "OK requests for each CPU second of the target",
            "Flat while the target scales with the load; it falls when more load costs more than its share.",
            "short",
            Query(f"{OK} / {TARGET_CPU}", "requests a CPU second"),
        ),
    ]


def _recovery() -> list[Panel]:
    return [
        graph(
            "Failed requests",
            "Share of the requests that ended in the last seconds: how deep a fault is, and how long it takes until it is over.",
            "percentunit",
            Query(FAILED_SHARE, "failed"),
            Query(limits("error_ratio"), f"{LIMIT} {{{{rule}}}}"),
            colours={"failed": ORANGE},
        ),
        graph(
            "What failed, a second",
            "By outcome: answered wrong, no answer in time, or ended by ourselves.",
            "reqps",
            Query(per_second(f'{REQUESTS}_count{{{CHOSEN},outcome!="ok"}}', "outcome"), "{{outcome}}"),
            colours=OUTCOMES,
        ),
    ]


def _latency() -> list[Panel]:
    return [
        graph(
            "${quantile:text} of ok requests",
            "Of the last seconds and of the last five minutes, with the limit of the plan's rule on it.",
            "s",
            Query(latency("$quantile"), "now"),
            Query(f"avg_over_time(({latency('$quantile')})[5m:10s])", "mean of 5 minutes"),
            Query(limits("${quantile:text}"), f"{LIMIT} {{{{rule}}}}"),
            log=True,
        ),
        graph(
            "Trend: how far rules on latency are inside their limits",
            "As a share of the limit, of the run so far. Falling is drifting towards the limit; below 0 it is broken.",
            "percentunit",
            Query(
                f"max by (rule) ({of_run('loadproof_rule_margin_ratio')} and on (job, instance, rule) "
                'loadproof_rule_info{unit="seconds"})',
                "{{rule}}",
            ),
        ),
    ]


def _observability() -> list[Panel]:
    return [
        states(
            "Scraped",
            "Whether Prometheus reaches each of what it watches.",
            Query("max by (job, instance) (up)", "{{job}} {{instance}}"),
            {1: ("up", GREEN), 0: ("down", RED)},
            width=8,
        ),
        graph(
            "Length of a scrape",
            "How long Prometheus waits for the numbers of each.",
            "s",
            Query("max by (job, instance) (scrape_duration_seconds)", "{{job}} {{instance}}"),
            width=8,
        ),
        graph(
            "Reports of the workers",
            "Seconds that have come, a second, and on the right those that are missing.",
            "ops",
            Query(per_second(f"loadproof_intervals_total{{{OF_REGION}}}"), "reports a second"),
            Query(now(f"loadproof_intervals_missing{{{OF_REGION}}}"), "missing"),
            width=8,
            right={"missing": "short"},
        ),
    ]


def _coordination() -> list[Panel]:
    return [
        graph(
            "Placement",
            "Active users as a share of the planned ones, and workers that are up as a share of the planned: how well the master "
            "keeps the load placed.",
            "percentunit",
            Query(f"{now('loadproof_users')} / ({now('loadproof_users_planned', fold='max')} > 0)", "users"),
            Query(f"{now('loadproof_worker_up')} / {now('loadproof_workers_planned')}", "workers"),
        ),
        graph(
            "Efficiency: requests for each CPU second of the workers",
            "Requests that ended, of the regions chosen.",
            "short",
            Query(
                f"{per_second(f'{REQUESTS}_count{{{OF_REGION}}}', 'region')} / "
                f"{per_second(f'loadproof_worker_cpu_seconds_total{{{OF_REGION}}}', 'region')}",
                "{{region}}",
            ),
        ),
    ]


def _scenarios() -> list[Panel]:
    return [
        graph(
            "OK requests a second, by scenario",
            "Requests that ended well.",
            "reqps",
            Query(per_second(f'{REQUESTS}_count{{{CHOSEN},outcome="ok"}}', "scenario"), "{{scenario}}"),
            width=8,
        ),
        graph(
            "${quantile:text} of ok requests, by scenario",
            "The chosen percentile of the last seconds.",
            "s",
            Query(latency("$quantile", "scenario"), "{{scenario}}"),
            width=8,
            log=True,
        ),
        graph(
            "Numbers that scenarios record",
            "Mean since the start, such as of handoffs where a suite records them, in the unit that they are recorded in.",
            "short",
            Query(recorded_mean("scenario, metric"), "{{scenario}} {{metric}}"),
            width=8,
        ),
    ]


def _progress() -> list[Panel]:
    return [
        figure(
            "Progress",
            "Share of the planned time that is over.",
            "percentunit",
            Query(f"clamp_max({RUN_S} / {PLANNED_S}, 1)"),
            width=4,
            decimals=0,
        ),
        figure(
            "Status",
            "What the run does now, or did last.",
            "none",
            Query(f"{latest('loadproof_run_state')} == 1", "{{state}}"),
            width=4,
            names=True,
        ),
        figure(
            "Verdict so far",
            "The worst that is known; the run's verdict is given at its end.",
            "none",
            Query(worst("loadproof_verdict_so_far", "verdict", VERDICTS)),
            width=4,
            mappings=verdicts(),
        ),
        figure(
            "Requests a second",
            "That ended, whatever came of them.",
            "reqps",
            Query(ENDED),
            width=4,
            sparkline=True,
        ),
        figure(
            "Success",
            "Share of the requests that ended well in the last seconds.",
            "percentunit",
            Query(f"{OK} / {ENDED}"),
            width=4,
            sparkline=True,
        ),
        figure(
            "Failed",
            "Share that failed, timed out or was left unfinished in the last seconds.",
            "percentunit",
            Query(FAILED_SHARE),
            width=4,
            colours={None: GREEN, 1e-9: ORANGE},
            sparkline=True,
        ),
        rules(title="Thresholds"),
    ]


def _resources() -> list[Panel]:
    return [
        graph(
            "CPU",
            "Share of a core: each worker, and all processes of the target together.",
            "percentunit",
            Query(now(f"loadproof_worker_cpu_ratio{{{OF_REGION}}}", "worker", "max"), "{{worker}}"),
            Query(TARGET_CPU, "target"),
            colours={"target": GREY},
        ),
        graph(
            "Memory",
            "Resident: each worker, and all processes of the target together.",
            "bytes",
            Query(now(f"loadproof_worker_memory_bytes{{{OF_REGION}}}", "worker", "max"), "{{worker}}"),
            Query("sum(target_resident_memory_bytes)", "target"),
            colours={"target": GREY},
        ),
        graph(
            "Network of the load",
            "Bytes of answers and requests; what the machines send besides is not in it.",
            "Bps",
            Query(
                per_second(f"loadproof_received_bytes_total{{{OF_REGION}}}", "region"), "{{region}} received"
            ),
            Query(per_second(f"loadproof_sent_bytes_total{{{OF_REGION}}}", "region"), "{{region}} sent"),
        ),
        graph(
            "Writes of the target's store",
            "Write jobs a second that were kept or undone: the nearest to disk traffic that the target tells of.",
            "ops",
            Query("sum by (outcome) (rate(target_store_writes_total[$__rate_interval]))", "{{outcome}}"),
        ),
    ]


def _alerts() -> list[Panel]:
    firing = f"ALERTS{{{FIRING}}}"
    by_severity = " or ".join(
        f'(max by (alertname) (ALERTS{{{FIRING},severity="{severity}"}}) * {number})'
        for severity, number in SEVERITIES.items()
    )
    # The series that say since when an alert is active have the alert's labels, without its state.
    since = 'ALERTS_FOR_STATE{alertname=~"Loadproof.+"}'
    return [
        figure(
            "Firing",
            "By severity, now. Severities are what the verdict would be.",
            "short",
            *(
                Query(f'count(ALERTS{{{FIRING},severity="{severity}"}}) or vector(0)', severity)
                for severity in SEVERITIES
            ),
            width=4,
            height=8,
            colours={None: GREEN, 1: ORANGE},
            decimals=0,
        ),
        rows(
            "Alerts in the range",
            "How long each was active at most, which includes the time until it fired, and how many series of it fired at once.",
            "alertname",
            Column(
                "most firing at once",
                f"max_over_time(count by (alertname) ({firing})[$__range:10s])",
            ),
            Column(
                "longest active",
                f"max by (alertname) (max_over_time((time() - {since})[$__range:10s]))",
                "s",
            ),
            Column(
                "active at the end",
                f"count by (alertname) ({since}) or (max by (alertname) (last_over_time({since}[$__range])) * 0)",
            ),
            width=8,
        ),
        states(
            "History",
            "When each alert fired.",
            Query(f"({by_severity})", "{{alertname}}"),
            SEVERITY_MARKS,
            width=12,
        ),
        graph(
            "Time that Prometheus takes to look at the rules",
            "Of each group of rules: what an alert is late by at least, beside the interval. Prometheus must scrape itself.",
            "s",
            # A group is known by the path of its file: its name alone is worth showing.
            Query(
                'max by (file) (label_replace(prometheus_rule_group_last_duration_seconds, "file", "$1", '
                '"rule_group", ".*/(.+);.*"))',
                "{{file}}",
            ),
            width=24,
        ),
    ]
